#include "loadgen/wire/http_response_parser.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace dsbench::loadgen {
namespace {

using Kind = HttpResponseParser::Kind;

constexpr std::string_view protocol = "HTTP/";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
bool is_space(char c) {
  return is_blank(c) || (c >= '\n' && c <= '\r');
}

// `word` is in small letters.
bool starts_with(std::string_view text, std::string_view word) {
  return text.size() >= word.size() &&
         std::equal(word.begin(), word.end(), text.begin(), [](char w, char t) { return w == lower(t); });
}
bool contains(std::string_view text, std::string_view word) {
  for (; text.size() >= word.size(); text.remove_prefix(1)) {
    if (starts_with(text, word)) return true;
  }
  return false;
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// What has come of a first line could still become a status line.
bool may_be_status_line(std::string_view begun) {
  const std::size_t n = std::min(begun.size(), protocol.size());
  return std::equal(begun.begin(), begun.begin() + static_cast<std::ptrdiff_t>(n), protocol.begin(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

enum class LengthVerdict { number, overflow, nonsense };
// As libcurl reads it: blanks, then digits; what follows is not looked at.
LengthVerdict parse_length(std::string_view text, std::uint64_t& out) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  if (text.empty() || !is_digit(text.front())) return LengthVerdict::nonsense;
  std::uint64_t n = 0;
  for (const char c : text) {
    if (!is_digit(c)) break;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (n > (most - digit) / 10) return LengthVerdict::overflow;
    n = n * 10 + digit;
  }
  out = n;
  return LengthVerdict::number;
}

}  // namespace

std::optional<StatusLine> parse_status_line(std::string_view line, bool http2) {
  StatusLine out;
  if (line.starts_with("HTTP/1.1 ")) {
    line.remove_prefix(9);
  } else if (line.starts_with("HTTP/1.0 ")) {
    out.version = 10;
    line.remove_prefix(9);
  } else if (http2 && line.starts_with("HTTP/2 ")) {
    out.version = 20;
    line.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  if (line.size() < 3 || !std::all_of(line.begin(), line.begin() + 3, is_digit)) return std::nullopt;
  if (line[0] == '0' || (line.size() > 3 && is_digit(line[3]))) return std::nullopt;
  out.status = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  return out;
}

void HttpResponseParser::begin() {
  input_ = {};
  line_.clear();
  if (line_.capacity() > 1024) line_.shrink_to_fit();  // one long header is not held for ever
  left_ = 0;
  length_.reset();
  head_bytes_ = 0;
  state_ = State::status_line;
  status_ = 0;
  header_lines_ = 0;
  clear_line_ = old_version_ = bodiless_ = chunked_ = foreign_coding_ = ignore_length_ = false;
  want_headers_ = overlong_ = false;
  persistent_ = true;
}

std::optional<HttpResponseParser::Piece> HttpResponseParser::finish(Kind kind) {
  state_ = State::over;
  if (kind != Kind::end) persistent_ = false;
  return Piece{kind, status_, {}};
}

std::optional<std::string_view> HttpResponseParser::take_line(std::size_t limit) {
  if (clear_line_) {
    line_.clear();
    clear_line_ = false;
  }
  if (input_.empty()) return std::nullopt;
  const void* const found = std::memchr(input_.data(), '\n', input_.size());
  const std::size_t size =
      found == nullptr ? input_.size()
                       : static_cast<std::size_t>(static_cast<const char*>(found) - input_.data()) + 1;
  if (line_.size() + size > limit || head_bytes_ + size > longest_head) {
    overlong_ = true;
    return std::nullopt;
  }
  head_bytes_ += size;
  const std::string_view part = input_.substr(0, size);
  input_.remove_prefix(size);
  if (found != nullptr && line_.empty()) return part;
  line_.append(part);
  if (found == nullptr) return std::nullopt;
  clear_line_ = true;  // the view lives until the next call
  return line_;
}

std::optional<HttpResponseParser::Piece> HttpResponseParser::next() {
  for (;;) {
    switch (state_) {
      case State::over:
        return std::nullopt;
      case State::status_line: {
        const auto line = take_line(longest_line);
        if (overlong_) return finish(Kind::malformed);
        if (!line) {
          if (!may_be_status_line(line_)) return finish(Kind::malformed);
          return std::nullopt;
        }
        if (const auto piece = take_status(*line)) return piece;
        break;
      }
      case State::header_line: {
        const auto line = take_line(longest_line);
        if (overlong_) return finish(Kind::malformed);
        if (!line) return std::nullopt;
        const bool is_end = line->front() == '\r' || line->front() == '\n';
        if (const auto piece = is_end ? end_head() : take_header(*line)) return piece;
        break;
      }
      case State::fixed:
      case State::chunk_data: {
        if (state_ == State::fixed && left_ == 0) return finish(Kind::end);
        if (input_.empty()) return std::nullopt;
        if (foreign_coding_) return finish(Kind::malformed);
        const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input_.size()));
        const Piece piece{Kind::body, status_, input_.substr(0, size)};
        input_.remove_prefix(size);
        left_ -= size;
        if (left_ == 0 && state_ == State::chunk_data) state_ = State::chunk_end;
        return piece;
      }
      case State::until_close: {
        if (input_.empty()) return std::nullopt;
        if (foreign_coding_) return finish(Kind::malformed);
        const Piece piece{Kind::body, status_, input_};
        input_ = {};
        return piece;
      }
      default:
        if (input_.empty()) return std::nullopt;
        if (const auto piece = take_chunk_byte()) return piece;
        break;
    }
  }
}

std::optional<HttpResponseParser::Piece> HttpResponseParser::take_status(std::string_view line) {
  const auto status = parse_status_line(line);
  if (!status || line.find('\0') != std::string_view::npos) return finish(Kind::malformed);
  status_ = status->status;
  old_version_ = status->version == 10;
  if (old_version_) persistent_ = false;
  bodiless_ = status_ < 200 || status_ == 204 || status_ == 304;
  header_lines_ = 0;
  state_ = State::header_line;
  if (status_ < 200 && status_ != 101) return Piece{Kind::interim, status_, {}};
  return Piece{Kind::status, status_, {}};
}

// The comparisons are libcurl's: a name with its colon right after it, a word anywhere in the value.
std::optional<HttpResponseParser::Piece> HttpResponseParser::take_header(std::string_view line) {
  ++header_lines_;
  if (line.find('\0') != std::string_view::npos) return finish(Kind::malformed);
  const bool folded = is_blank(line.front()) && header_lines_ > 1;
  if (!folded && line.substr(0, line.find('\r')).find(':') == std::string_view::npos)
    return finish(Kind::malformed);
  switch (lower(line.front())) {
    case 'c':
      if (starts_with(line, "content-length:")) {
        if (bodiless_) break;
        std::uint64_t length = 0;
        switch (parse_length(line.substr(15), length)) {
          case LengthVerdict::number:
            length_ = length;
            break;
          case LengthVerdict::overflow:
            persistent_ = false;
            break;
          case LengthVerdict::nonsense:
            return finish(Kind::malformed);
        }
      } else if (starts_with(line, "connection:")) {
        const std::string_view value = line.substr(11);
        if (old_version_ && contains(value, "keep-alive")) {
          persistent_ = true;
        } else if (contains(value, "close")) {
          persistent_ = false;
        }
      }
      break;
    case 't':
      if (!bodiless_ && starts_with(line, "transfer-encoding:") && !take_transfer_encoding(line.substr(18))) {
        persistent_ = false;
        ignore_length_ = true;
      }
      break;
    default:
      break;
  }
  if (want_headers_) return Piece{Kind::header, status_, line};
  return std::nullopt;
}

// True when the body is chunked by now.
bool HttpResponseParser::take_transfer_encoding(std::string_view value) {
  while (!value.empty()) {
    std::string_view word = value.substr(0, value.find(','));
    value.remove_prefix(std::min(value.size(), word.size() + 1));
    while (!word.empty() && is_space(word.front())) word.remove_prefix(1);
    while (!word.empty() && is_space(word.back())) word.remove_suffix(1);
    if (word.size() == 7 && starts_with(word, "chunked")) {
      chunked_ = true;
    } else if (!word.empty() && !(word.size() == 8 && starts_with(word, "identity")) &&
               !(word.size() == 4 && starts_with(word, "none"))) {
      foreign_coding_ = true;
    }
  }
  return chunked_;
}

std::optional<HttpResponseParser::Piece> HttpResponseParser::end_head() {
  if (status_ < 200 && status_ != 101) {
    state_ = State::status_line;
    return std::nullopt;
  }
  if (bodiless_ && status_ != 101) {
    state_ = State::fixed;
    left_ = 0;
  } else if (chunked_) {
    state_ = State::chunk_size;
    left_ = 0;
    digits_ = 0;
  } else if (length_ && !ignore_length_) {
    state_ = State::fixed;
    left_ = *length_;
  } else {
    state_ = State::until_close;
    persistent_ = false;
  }
  head_bytes_ = 0;
  return Piece{Kind::head_over, status_, {}};
}

std::optional<HttpResponseParser::Piece> HttpResponseParser::take_chunk_byte() {
  const char c = input_.front();
  switch (state_) {
    case State::chunk_size: {
      if (const int digit = hex_value(c); digit >= 0) {
        if (digits_ == 16) return finish(Kind::torn);
        ++digits_;
        left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
        input_.remove_prefix(1);
        return std::nullopt;
      }
      if (digits_ == 0 || left_ > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return finish(Kind::torn);
      state_ = State::chunk_extension;
      return std::nullopt;
    }
    case State::chunk_extension: {
      const void* const found = std::memchr(input_.data(), '\n', input_.size());
      if (found == nullptr) {
        input_ = {};
        return std::nullopt;
      }
      input_.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(found) - input_.data()) + 1);
      state_ = left_ == 0 ? State::trailer_begin : State::chunk_data;
      return std::nullopt;
    }
    case State::chunk_end:
      if (c == '\n') {
        state_ = State::chunk_size;
        left_ = 0;
        digits_ = 0;
      } else if (c != '\r') {
        return finish(Kind::torn);
      }
      input_.remove_prefix(1);
      return std::nullopt;
    case State::trailer_begin:
      if (clear_line_) {
        line_.clear();
        clear_line_ = false;
      }
      if (c == '\r' || c == '\n') {
        if (c == '\r') input_.remove_prefix(1);
        state_ = State::last_lf;
      } else {
        state_ = State::trailer;
      }
      return std::nullopt;
    case State::trailer: {
      const auto end =
          std::find_if(input_.begin(), input_.end(), [](char x) { return x == '\r' || x == '\n'; });
      const auto size = static_cast<std::size_t>(end - input_.begin());
      if (line_.size() + size + 2 >= longest_trailer) return finish(Kind::torn);
      line_.append(input_.substr(0, size));
      input_.remove_prefix(size);
      if (input_.empty()) return std::nullopt;
      if (input_.front() == '\r') input_.remove_prefix(1);
      state_ = State::trailer_lf;
      ++header_lines_;
      const bool folded = is_blank(line_.front()) && header_lines_ > 1;
      if (!folded && line_.find(':') == std::string::npos) return finish(Kind::malformed);
      line_ += "\r\n";
      clear_line_ = true;
      if (want_headers_) return Piece{Kind::header, status_, line_};
      return std::nullopt;
    }
    case State::trailer_lf:
      if (c != '\n') return finish(Kind::torn);
      input_.remove_prefix(1);
      state_ = State::trailer_begin;
      return std::nullopt;
    case State::last_lf:
      if (c != '\n') return finish(Kind::torn);
      input_.remove_prefix(1);
      return finish(Kind::end);
    default:
      return finish(Kind::torn);
  }
}

HttpResponseParser::Kind HttpResponseParser::close() {
  const Kind kind = state_ == State::until_close ? Kind::end : Kind::torn;
  state_ = State::over;
  persistent_ = false;
  return kind;
}

}  // namespace dsbench::loadgen
