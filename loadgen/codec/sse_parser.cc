#include "loadgen/codec/sse_parser.h"

#include "loadgen/codec/byte_scan.h"

namespace dsbench::loadgen {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::uint8_t mark_done = 4;

// First CR or LF; npos when there is none.
std::size_t find_line_end(std::string_view text) {
  const char* const end = text.data() + text.size();
  const char* const at = bytes::find_line_end(text.data(), end);
  return at == end ? std::string_view::npos : static_cast<std::size_t>(at - text.data());
}

}  // namespace

void SseParser::feed(std::string_view bytes) {
  input_ = bytes;
}

void SseParser::reset() {
  input_ = {};
  line_.clear();
  data_.clear();
  view_ = {};
  event_.clear();
  has_data_ = data_in_view_ = clear_event_ = skip_newline_ = overflowed_ = false;
  mark_seen_ = 0;
  events_ = comments_ = unknown_lines_ = 0;
}

// The same whether the data could stay a view or not: where a stream is cut must not decide whether it is
// refused.
std::size_t SseParser::held() const {
  return line_.size() + (data_in_view_ ? view_.size() : data_.size());
}

bool SseParser::partial_is_foreign() const {
  if (line_.empty()) return false;
  const std::string_view field = std::string_view{line_}.substr(0, line_.find(':'));
  for (const std::string_view known : {"data", "event", "id", "retry"}) {
    if (field == known || (field.size() == line_.size() && known.substr(0, field.size()) == field))
      return false;
  }
  return !field.empty();  // empty: a comment
}

void SseParser::keep_data() {
  if (!data_in_view_) return;
  data_.assign(view_);
  data_in_view_ = false;
}

void SseParser::skip_byte_order_mark() {
  while (mark_seen_ < byte_order_mark.size() && !input_.empty()) {
    if (input_.front() != byte_order_mark[mark_seen_]) {
      line_.assign(byte_order_mark.substr(0, mark_seen_));  // it was the beginning of a line after all
      mark_seen_ = mark_done;
      return;
    }
    input_.remove_prefix(1);
    ++mark_seen_;
  }
  if (mark_seen_ == byte_order_mark.size()) mark_seen_ = mark_done;
}

std::optional<SseEvent> SseParser::next() {
  if (overflowed_) return std::nullopt;
  if (clear_event_) {  // the event handed out last is no longer looked at
    event_.clear();
    data_.clear();
    clear_event_ = false;
  }
  if (mark_seen_ != mark_done) skip_byte_order_mark();
  while (!input_.empty()) {
    if (skip_newline_) {
      skip_newline_ = false;
      if (input_.front() == '\n') {
        input_.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = find_line_end(input_);
    if (end == std::string_view::npos) {
      if (held() + input_.size() > limit_) {
        overflowed_ = true;
        return std::nullopt;
      }
      line_.append(input_);
      input_ = {};
      break;
    }
    const std::string_view rest = input_.substr(0, end);
    skip_newline_ = input_[end] == '\r';
    input_.remove_prefix(end + 1);
    const bool blank = line_.empty() && rest.empty();
    if (!blank) {
      if (held() + rest.size() > limit_) {
        overflowed_ = true;
        return std::nullopt;
      }
      if (line_.empty()) {
        take_line(rest, true);
      } else {
        line_.append(rest);
        take_line(line_, false);
        line_.clear();
      }
      continue;
    }
    if (!has_data_) {  // an event without data is none; its name is forgotten
      event_.clear();
      continue;
    }
    const SseEvent event{event_, data_in_view_ ? view_ : std::string_view{data_}};
    has_data_ = data_in_view_ = false;
    clear_event_ = true;
    ++events_;
    return event;
  }
  keep_data();  // the piece may go away now
  return std::nullopt;
}

void SseParser::take_line(std::string_view line, bool in_input) {
  const std::size_t colon = line.find(':');
  if (colon == 0) {
    ++comments_;
    return;
  }
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (field == "data") {
    if (!has_data_ && in_input) {
      view_ = value;
      data_in_view_ = true;
    } else {
      keep_data();
      if (has_data_) data_.push_back('\n');
      data_.append(value);
    }
    has_data_ = true;
  } else if (field == "event") {
    event_.assign(value);
  } else if (field != "id" && field != "retry") {
    ++unknown_lines_;
  }
}

}  // namespace dsbench::loadgen
