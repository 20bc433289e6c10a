#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dsbench::loadgen {

// "HTTP/1.1 200 OK", taken apart.
struct StatusLine {
  std::int32_t status = 0;  // 100 to 999
  int version = 11;         // 10, 11; 20 where it is allowed
};
// Nothing for what is no status line. Both wires judge by this one, so that they agree on garbage. `http2`
// takes "HTTP/2 200 " too, which is how libcurl shows a head of HTTP/2.
[[nodiscard]] std::optional<StatusLine> parse_status_line(std::string_view line, bool http2 = false);

// Eats the bytes of one connection, yields what its responses say: HTTP/1.1 and 1.0 (RFC 9112), as forgiving
// as libcurl 7.88 and with the same verdicts, because both wires must record the same. Knows nothing of
// sockets. However the bytes are cut, the pieces are the same, but that a body comes in as many as it was cut
// into. Holds no more than an unfinished line.
//
//   parser.begin();                                             // before each response
//   parser.feed(bytes); while (auto piece = parser.next()) …
//   if (connection closed) parser.close();                      // its last word
//
// `bytes` must stay until next() has returned nothing. After end, malformed and torn there is nothing more.
class HttpResponseParser {
 public:
  // A line of a head, and of a trailer, may be this long; what is longer is malformed or torn.
  static constexpr std::size_t longest_line = 100 * 1024;
  static constexpr std::size_t longest_trailer = 4096;
  static constexpr std::size_t longest_head = 300 * 1024;

  enum class Kind : std::uint8_t {
    interim,    // a 1xx other than 101: the answer is still to come
    status,     // of the answer; `status` says which
    header,     // a line of its head or trailer; only when asked for
    head_over,  // the body follows
    body,       // a piece of it, without its framing
    end,        // whole
    malformed,  // no HTTP, or a head that contradicts itself
    torn,       // the body cannot be whole: its framing broke, or the connection closed
  };
  struct Piece {
    Kind kind = Kind::end;
    std::int32_t status = 0;
    std::string_view text;
  };

  void begin();
  // Header lines of the present response are yielded too. May be set once its status is known.
  void want_headers() { want_headers_ = true; }

  void feed(std::string_view bytes) { input_ = bytes; }
  [[nodiscard]] std::optional<Piece> next();
  // The other side closed, orderly: end for a body that the close delimits, else torn.
  [[nodiscard]] Kind close();

  // After `end`: another response may follow on this connection. Not when bytes came that nobody asked for.
  [[nodiscard]] bool persistent() const { return persistent_ && input_.empty(); }

 private:
  enum class State : std::uint8_t {
    status_line,
    header_line,
    fixed,  // left_ bytes
    chunk_size,
    chunk_extension,  // up to the LF
    chunk_data,       // left_ bytes
    chunk_end,        // CR LF after it
    trailer_begin,    // a line of the trailer, or the last CR LF
    trailer,
    trailer_lf,
    last_lf,
    until_close,
    over,
  };

  std::optional<Piece> finish(Kind kind);
  // A whole line with its LF; nothing when it is not there yet.
  std::optional<std::string_view> take_line(std::size_t limit);
  std::optional<Piece> take_status(std::string_view line);
  std::optional<Piece> take_header(std::string_view line);
  std::optional<Piece> end_head();
  bool take_transfer_encoding(std::string_view value);
  std::optional<Piece> take_chunk_byte();

  std::string_view input_;
  std::string line_;  // an unfinished line
  std::uint64_t left_ = 0;
  std::optional<std::uint64_t> length_;
  std::size_t head_bytes_ = 0;
  State state_ = State::status_line;
  std::int32_t status_ = 0;
  std::uint32_t header_lines_ = 0;
  std::uint8_t digits_ = 0;  // of a chunk size
  bool clear_line_ = false;
  bool old_version_ = false;
  bool bodiless_ = false;
  bool chunked_ = false;
  bool foreign_coding_ = false;  // a transfer coding that nobody asked for
  bool ignore_length_ = false;
  bool persistent_ = true;
  bool want_headers_ = false;
  bool overlong_ = false;
};

}  // namespace dsbench::loadgen
