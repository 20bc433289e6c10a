#include "profiles/tokenizer/byte_level.h"

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

namespace dsbench::profiles {
namespace {

constexpr std::uint32_t kAdded = 68;  // characters from U+0100

bool stands_for_itself(std::uint32_t b) {
  return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
}

struct Tables {
  std::array<std::string, 256> characters;
  std::array<unsigned char, 256 + kAdded> bytes{};  // by code point
  std::array<bool, 256 + kAdded> known{};

  Tables() {
    std::uint32_t next = 256;
    for (std::uint32_t b = 0; b < 256; ++b) {
      const std::uint32_t c = stands_for_itself(b) ? b : next++;
      if (c < 0x80) {
        characters[b] = std::string(1, static_cast<char>(c));
      } else {
        characters[b] = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
      }
      bytes[c] = static_cast<unsigned char>(b);
      known[c] = true;
    }
  }
};

const Tables& tables() {
  static const Tables t;
  return t;
}

// How long the character is that begins at text[0]: its length, or, where it is ill-formed, the length of the
// longest part of a character that stands there (at least 1), and false; `cut` when only the text's end makes
// it so. Unicode 15, table 3-7.
struct Extent {
  std::size_t length = 1;
  bool whole = false;
  bool cut = false;
};

Extent extent(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, true, false};
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {1, false, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, false, true};
    if (byte(i) < low || byte(i) > high) return {i, false, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true, false};
}

}  // namespace

const std::string& byte_to_character(unsigned char byte) {
  return tables().characters[byte];
}

std::string token_to_bytes(std::string_view token) {
  const Tables& t = tables();
  std::string out;
  out.reserve(token.size());
  for (std::size_t i = 0; i < token.size();) {
    const auto first = static_cast<unsigned char>(token[i]);
    std::uint32_t c = first;
    std::size_t length = 1;
    if (first >= 0xC0 && first <= 0xDF && i + 1 < token.size()) {
      c = (first & 0x1Fu) << 6 | (static_cast<unsigned char>(token[i + 1]) & 0x3Fu);
      length = 2;
    }
    if (c >= t.known.size() || (first >= 0x80 && length == 1) || !t.known[c]) return std::string(token);
    out += static_cast<char>(t.bytes[c]);
    i += length;
  }
  return out;
}

std::string make_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Extent e = extent(text);
    out += e.whole ? text.substr(0, e.length) : std::string_view("\xEF\xBF\xBD");
    text.remove_prefix(e.length);
  }
  return out;
}

std::size_t unfinished_utf8(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const std::string_view tail = text.substr(text.size() - back);
    const auto first = static_cast<unsigned char>(tail.front());
    if (first < 0x80) return 0;
    if (first < 0xC0) continue;
    const Extent e = extent(tail);
    return e.cut && e.length == back ? back : 0;
  }
  return 0;
}

}  // namespace dsbench::profiles
