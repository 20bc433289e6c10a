#include "loadgen/codec/chunk_scanner.h"

#include <array>
#include <cstddef>
#include <limits>
#include <string>

namespace dsbench::loadgen {
namespace {

constexpr int max_depth = 64;

// A string as it stands between its quotes.
struct RawString {
  std::string_view raw;
  bool escaped = false;
};

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Only to compare with ASCII words: what is not ASCII becomes '?', which occurs in none of them.
std::string unescape(std::string_view raw) {
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out.push_back(raw[i]);
      continue;
    }
    const char c = raw[++i];
    if (c == 'u') {
      int code = 0;
      for (int k = 0; k < 4; ++k) code = code * 16 + hex_value(raw[++i]);
      out.push_back(code < 0x80 ? static_cast<char>(code) : '?');
    } else if (c == '"' || c == '\\' || c == '/') {
      out.push_back(c);
    } else {
      out.push_back('?');  // a control character
    }
  }
  return out;
}

bool equals(const RawString& s, std::string_view word) {
  return s.escaped ? unescape(s.raw) == word : s.raw == word;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : at_{text.data()}, end_{text.data() + text.size()} {}

  std::optional<ChunkFacts> run() {
    skip_space();
    const bool whole = object([this](const RawString& key) { return root_member(key); });
    skip_space();
    if (!whole || at_ != end_) return std::nullopt;
    return facts_;
  }

 private:
  bool root_member(const RawString& key) {
    if (equals(key, "choices")) return choices();
    if (equals(key, "usage")) {
      if (peek() != '{') return value();
      return object([this](const RawString& k) {
        if (equals(k, "prompt_tokens")) return count(facts_.usage_prompt_tokens);
        if (equals(k, "completion_tokens")) return count(facts_.usage_output_tokens);
        return value();
      });
    }
    if (equals(key, "error")) {
      if (peek() != 'n') facts_.is_error = true;
      return value();
    }
    if (equals(key, "object") && peek() == '"') {
      RawString word;
      if (!string(word)) return false;
      if (equals(word, "error")) facts_.is_error = true;
      return true;
    }
    return value();
  }

  bool choices() {
    if (peek() != '[') return value();
    return array([this] {
      if (peek() != '{') return value();
      return object([this](const RawString& key) { return choice_member(key); });
    });
  }

  bool choice_member(const RawString& key) {
    if (equals(key, "delta")) {
      if (peek() != '{') return value();
      return object([this](const RawString& k) {
        // "reasoning" is what vLLM calls "reasoning_content" of late.
        if (equals(k, "content") || equals(k, "reasoning_content") || equals(k, "reasoning"))
          return content();
        return value();
      });
    }
    if (equals(key, "text")) return content();
    if (equals(key, "finish_reason") && peek() == '"') {
      RawString word;
      if (!string(word)) return false;
      facts_.has_finish_reason = true;
      if (equals(word, "insufficient_system_resource")) facts_.insufficient_resource = true;
      return true;
    }
    return value();
  }

  bool content() {
    if (peek() != '"') return value();
    RawString text;
    if (!string(text)) return false;
    if (!text.raw.empty()) facts_.has_content = true;
    return true;
  }

  // A whole number that fits; anything else is skipped.
  bool count(std::optional<std::int32_t>& out) {
    const char* const from = at_;
    if (!value()) return false;
    std::int64_t n = 0;
    for (const char* p = from; p != at_; ++p) {
      if (*p < '0' || *p > '9') return true;
      n = n * 10 + (*p - '0');
      if (n > std::numeric_limits<std::int32_t>::max()) return true;
    }
    out = static_cast<std::int32_t>(n);
    return true;
  }

  [[nodiscard]] char peek() const { return at_ == end_ ? '\0' : *at_; }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool eat(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  // `member` reads the value of the key, at_ being on its first character.
  template <class Member>
  bool object(Member&& member) {
    if (!eat('{') || ++depth_ > max_depth) return false;
    skip_space();
    if (!eat('}')) {
      for (;;) {
        RawString key;
        skip_space();
        if (!string(key)) return false;
        skip_space();
        if (!eat(':')) return false;
        skip_space();
        if (!member(key)) return false;
        skip_space();
        if (eat('}')) break;
        if (!eat(',')) return false;
      }
    }
    --depth_;
    return true;
  }

  template <class Element>
  bool array(Element&& element) {
    if (!eat('[') || ++depth_ > max_depth) return false;
    skip_space();
    if (!eat(']')) {
      for (;;) {
        skip_space();
        if (!element()) return false;
        skip_space();
        if (eat(']')) break;
        if (!eat(',')) return false;
      }
    }
    --depth_;
    return true;
  }

  bool value() {
    switch (peek()) {
      case '{':
        return object([this](const RawString&) { return value(); });
      case '[':
        return array([this] { return value(); });
      case '"': {
        RawString ignored;
        return string(ignored);
      }
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool word(std::string_view w) {
    if (static_cast<std::size_t>(end_ - at_) < w.size() || std::string_view{at_, w.size()} != w) return false;
    at_ += w.size();
    return true;
  }

  bool digits() {
    const char* const from = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != from;
  }

  bool number() {
    eat('-');
    if (!eat('0') && !digits()) return false;
    if (eat('.') && !digits()) return false;
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return false;
    }
    return true;
  }

  bool string(RawString& out) {
    if (!eat('"')) return false;
    const char* const from = at_;
    out.escaped = false;
    while (at_ != end_) {
      const char c = *at_;
      if (c == '"') {
        out.raw = {from, static_cast<std::size_t>(at_ - from)};
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      ++at_;
      if (c == '\\') {
        out.escaped = true;
        if (!escape()) return false;
      }
    }
    return false;
  }

  bool escape() {
    switch (peek()) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        ++at_;
        return true;
      case 'u':
        ++at_;
        for (int k = 0; k < 4; ++k, ++at_) {
          if (at_ == end_ || hex_value(*at_) < 0) return false;
        }
        return true;
      default:
        return false;
    }
  }

  const char* at_;
  const char* end_;
  int depth_ = 0;
  ChunkFacts facts_;
};

}  // namespace

std::optional<ChunkFacts> scan_chunk(std::string_view json) {
  return Scanner{json}.run();
}

}  // namespace dsbench::loadgen
