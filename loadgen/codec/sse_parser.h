#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dsbench::loadgen {

// One server-sent event. The views live until the next call of feed() or next().
struct SseEvent {
  std::string_view event;  // empty: none was named
  std::string_view data;   // the data lines, joined with '\n'
};

// Eats bytes, yields events (WHATWG HTML, "Server-sent events"): CR, LF and CRLF ends of line, a byte order
// mark, data over several lines, comments. Knows nothing of sockets. However a stream is cut into pieces, the
// events are the same.
//
//   parser.feed(bytes);
//   while (auto event = parser.next()) use(*event);
//
// `bytes` must stay until next() has returned nothing. An event whose lines lie within one piece is not
// copied. As the standard says, an event without its blank line at the end of the stream is no event.
class SseParser {
 public:
  // What may be held back for one unfinished event. Beyond it the stream is refused: nothing is yielded any
  // more.
  static constexpr std::size_t default_limit = std::size_t{1} << 20;

  explicit SseParser(std::size_t limit = default_limit) : limit_{limit} {}

  void feed(std::string_view bytes);
  [[nodiscard]] std::optional<SseEvent> next();

  // For the next stream; keeps the memory.
  void reset();

  [[nodiscard]] bool overflowed() const { return overflowed_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }
  // Lines that start with a colon: keep-alives.
  [[nodiscard]] std::uint64_t comments() const { return comments_; }
  // Lines whose field the standard does not know: a body that is no event stream has only these.
  [[nodiscard]] std::uint64_t unknown_lines() const { return unknown_lines_; }
  // The line that has begun and not ended is of no field that the standard knows.
  [[nodiscard]] bool partial_is_foreign() const;
  // No line has begun, and no data waits for its blank line.
  [[nodiscard]] bool between_events() const { return line_.empty() && !has_data_; }

 private:
  void take_line(std::string_view line, bool in_input);
  void skip_byte_order_mark();
  void keep_data();
  [[nodiscard]] std::size_t held() const;

  std::size_t limit_;
  std::string_view input_;
  std::string line_;       // the beginning of a line whose end has not come
  std::string data_;       // data lines so far, when they could not stay a view
  std::string_view view_;  // the only data line so far, inside input_
  std::string event_;
  bool has_data_ = false;  // a data line (perhaps an empty one) was seen
  bool data_in_view_ = false;
  bool clear_event_ = false;
  bool skip_newline_ = false;  // the last line ended in CR; an LF right after belongs to it
  std::uint8_t mark_seen_ =
      0;  // bytes of the byte order mark matched so far; 4: the start of the stream is over
  bool overflowed_ = false;
  std::uint64_t events_ = 0, comments_ = 0, unknown_lines_ = 0;
};

}  // namespace dsbench::loadgen
