#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "loadgen/codec/byte_scan.h"

namespace dsbench::loadgen {

// A string as it stands between its quotes, escapes and all.
struct JsonString {
  std::string_view raw;
  bool escaped = false;

  // Equal to this word of printable ASCII, however it was escaped.
  [[nodiscard]] bool is(std::string_view word) const { return escaped ? unescaped_is(word) : raw == word; }
  [[nodiscard]] bool empty() const { return raw.empty(); }
  // Appends what the string says: escapes resolved, as UTF-8. A surrogate without its other half is U+FFFD.
  void append_to(std::string& out) const;

 private:
  [[nodiscard]] bool unescaped_is(std::string_view word) const;
};

// Reads one JSON object in a single pass, without building anything: whatever the spacing, the escapes (in
// keys too), the order of keys and the nesting of what is skipped. Checks the whole grammar of RFC 8259,
// except that it takes any bytes at or above 0x80 and any \uXXXX inside a string (a tokeniser may cut a
// character in two, and a server may say so). Refuses nesting deeper than 64.
//
//   JsonScanner scan{text};
//   const bool whole = scan.document([&](const JsonString& key) {
//     if (key.is("usage")) return scan.object([&](const JsonString& k) { … });
//     if (key.is("n")) return scan.count(n);
//     return scan.skip();
//   });
//
// Every read stands on the first character of a value, leaves it behind, and is false when the grammar is
// broken. A value of another type than was asked for is skipped: servers write null where they have nothing.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : at_{text.data()}, end_{text.data() + text.size()} {}

  // The text is one object and nothing else. `member` reads the value of each key.
  template <class Member>
  [[nodiscard]] bool document(Member&& member) {
    skip_space();
    if (!members(member)) return false;
    skip_space();
    return at_ == end_;
  }

  template <class Member>
  [[nodiscard]] bool object(Member&& member) {
    return peek() == '{' ? members(member) : skip();
  }
  // `element` reads each element.
  template <class Element>
  [[nodiscard]] bool array(Element&& element) {
    return peek() == '[' ? elements(element) : skip();
  }
  [[nodiscard]] bool string(std::optional<JsonString>& out) {
    if (peek() != '"') return skip();
    return quoted(out.emplace());
  }
  // Sets `out` when there is a string and it is not empty, and appends what it says to `keep`, where there is
  // one.
  [[nodiscard]] bool text(bool& out, std::string* keep = nullptr) {
    if (peek() != '"') return skip();
    JsonString s;
    if (!quoted(s)) return false;
    if (!s.empty()) out = true;
    if (keep != nullptr) s.append_to(*keep);
    return true;
  }
  // Sets `out` for anything but null.
  [[nodiscard]] bool present(bool& out) {
    if (peek() != 'n') out = true;
    return skip();
  }
  // Sets `out` when the value is true.
  [[nodiscard]] bool truth(bool& out) {
    if (peek() == 't') out = true;
    return skip();
  }
  // A whole number from 0 on that fits; anything else is skipped.
  [[nodiscard]] bool count(std::optional<std::int32_t>& out) {
    const char* const from = at_;
    if (!skip()) return false;
    std::int64_t n = 0;
    for (const char* p = from; p != at_; ++p) {
      if (*p < '0' || *p > '9') return true;
      n = n * 10 + (*p - '0');
      if (n > std::numeric_limits<std::int32_t>::max()) return true;
    }
    out = static_cast<std::int32_t>(n);
    return true;
  }
  [[nodiscard]] bool skip();
  // What stands here, without reading it.
  [[nodiscard]] bool is_null() const { return peek() == 'n'; }
  [[nodiscard]] bool is_string() const { return peek() == '"'; }
  [[nodiscard]] bool is_array() const { return peek() == '['; }

 private:
  static constexpr int max_depth = 64;

  [[nodiscard]] char peek() const { return at_ == end_ ? '\0' : *at_; }

  void skip_space() {
    if (at_ != end_ && *at_ > ' ') return;
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  [[nodiscard]] bool eat(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  template <class Member>
  [[nodiscard]] bool members(Member&& member) {
    if (!eat('{') || ++depth_ > max_depth) return false;
    skip_space();
    if (!eat('}')) {
      for (;;) {
        JsonString key;
        skip_space();
        if (!quoted(key)) return false;
        skip_space();
        if (!eat(':')) return false;
        skip_space();
        if (!member(static_cast<const JsonString&>(key))) return false;
        skip_space();
        if (eat('}')) break;
        if (!eat(',')) return false;
      }
    }
    --depth_;
    return true;
  }

  template <class Element>
  [[nodiscard]] bool elements(Element&& element) {
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

  [[nodiscard]] bool quoted(JsonString& out) {
    if (!eat('"')) return false;
    const char* const from = at_;
    out.escaped = false;
    for (;;) {
      at_ = bytes::find_string_end(at_, end_);
      if (at_ == end_) return false;
      if (*at_ == '"') break;
      if (*at_ != '\\') return false;  // a control character
      out.escaped = true;
      ++at_;
      if (!escape()) return false;
    }
    out.raw = {from, static_cast<std::size_t>(at_ - from)};
    ++at_;
    return true;
  }

  [[nodiscard]] bool escape();
  [[nodiscard]] bool word(std::string_view w);
  [[nodiscard]] bool digits();
  [[nodiscard]] bool number();

  const char* at_;
  const char* end_;
  int depth_ = 0;
};

}  // namespace dsbench::loadgen
