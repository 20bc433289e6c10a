#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace dsbench::testing {

// One thing a scripted answer does.
struct ScriptStep {
  enum class Kind {
    send,   // writes the bytes as they stand, in one piece
    pause,  // waits, or until the client goes away or the server ends
    close,  // closes orderly (FIN)
    reset,  // closes with RST
    hold,   // never answers more; waits for the client to go away
  };
  Kind kind = Kind::send;
  std::string bytes;
  std::chrono::milliseconds time{0};
};
using Script = std::vector<ScriptStep>;

[[nodiscard]] ScriptStep send(std::string bytes);
[[nodiscard]] ScriptStep pause(std::chrono::milliseconds time);
[[nodiscard]] ScriptStep close();
[[nodiscard]] ScriptStep reset();
[[nodiscard]] ScriptStep hold();

// "data: …\n\n" of a chat chunk with this content; of a finish; of a usage; of the end.
[[nodiscard]] std::string chunk(std::string_view content);
[[nodiscard]] std::string finish(std::string_view reason = "length");
[[nodiscard]] std::string usage(int prompt_tokens, int completion_tokens);
[[nodiscard]] std::string done_marker();
// A whole stream of `tokens` chunks, role chunk, finish, usage and end marker.
[[nodiscard]] std::string whole_stream(int tokens, int prompt_tokens = 8);

// A response with these body pieces, each sent by itself, chunked, keep-alive.
[[nodiscard]] Script chunked(const std::vector<std::string>& pieces, std::string_view headers = "");
// The same with Content-Length, and delimited by the close.
[[nodiscard]] Script with_length(const std::string& body, std::string_view status = "200 OK",
                                 std::string_view headers = "");
[[nodiscard]] Script until_close(const std::string& body);
// The head of a chunked event stream, and one piece of its body.
[[nodiscard]] std::string stream_head(std::string_view headers = "");
[[nodiscard]] std::string as_chunk(std::string_view bytes);

struct SeenRequest {
  std::uint64_t number = 0;         // over all connections, from 0
  std::uint64_t connection = 0;     // from 0
  std::uint64_t on_connection = 0;  // number on its connection, from 0
  std::string head;                 // request line and headers
  std::string body;
};

// A loopback HTTP/1.1 server that does what a script says, for tests: plain sockets, one thread a connection,
// few of them. The port is the kernel's choice. Every request that was read whole is remembered before it is
// answered.
class ScriptedHttpServer {
 public:
  // `on_accept` is played to every new connection before anything is read from it.
  // With `unix_path` it listens there instead of on a port, and takes the file away at its end.
  explicit ScriptedHttpServer(std::function<Script(const SeenRequest&)> answer, Script on_accept = {},
                              std::string unix_path = {});
  ~ScriptedHttpServer();
  ScriptedHttpServer(const ScriptedHttpServer&) = delete;
  ScriptedHttpServer& operator=(const ScriptedHttpServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<SeenRequest> requests() const;
  [[nodiscard]] std::uint64_t connections() const { return connections_.load(); }
  // Times that a client went away while its answer was not complete.
  [[nodiscard]] std::uint64_t aborted() const { return aborted_.load(); }

 private:
  void accept_loop();
  void serve(int fd, std::uint64_t connection);
  bool read_request(int fd, std::string& buffer, SeenRequest& request);
  // False: the client or the server is gone, or the script closed.
  bool play(int fd, const Script& script);
  bool wait_gone(int fd, int millis);

  std::function<Script(const SeenRequest&)> answer_;
  Script on_accept_;
  std::string unix_path_;
  int listener_ = -1;
  int stop_ = -1;  // an eventfd that is readable once the server ends
  std::uint16_t port_ = 0;
  std::atomic<std::uint64_t> connections_{0}, aborted_{0};
  mutable std::mutex mutex_;
  std::vector<SeenRequest> requests_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace dsbench::testing
