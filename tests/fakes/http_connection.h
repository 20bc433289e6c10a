#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dsbench::fakes {

struct HttpResponse {
  int status = 0;
  std::string head;  // status line and headers, with the empty line
  std::string body;  // without chunk framing
};

// A client's end of one connection to 127.0.0.1, as plain as can be, so that a test can misbehave. Blocking;
// a read that takes longer than a minute throws.
class HttpConnection {
 public:
  // `receive_buffer` in bytes; 0 leaves the system's.
  explicit HttpConnection(std::uint16_t port, int receive_buffer = 0);
  ~HttpConnection() { close(); }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void send(std::string_view bytes);
  // Everything up to and with `marker`.
  std::string read_until(std::string_view marker);
  // Until the server closes; a reset counts as that.
  std::string read_to_end();
  // Bytes that have come within `milliseconds`; empty when none has.
  bool readable_within(int milliseconds);
  // One whole response: by Content-Length, by chunks, or to the end of the connection.
  HttpResponse read_response();
  // POST with a JSON body, and its response.
  HttpResponse post(std::string_view path, std::string_view body);
  HttpResponse get(std::string_view path);

  void close();
  void close_sending_half();

 private:
  bool fill();  // false at the end

  int fd_ = -1;
  std::string buffer_;
};

[[nodiscard]] std::string post_text(std::string_view path, std::string_view body,
                                    std::string_view headers = "");

}  // namespace dsbench::fakes
