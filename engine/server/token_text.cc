#include "engine/server/token_text.h"

#include <cstdint>

namespace dsbench::engine::server {
namespace {

constexpr std::uint32_t kIdeographs = 0x9FFF - 0x4E00 + 1;
constexpr std::uint32_t kPrivatePlane = 0xFFFE;  // the last two code points of a plane are no characters

std::uint32_t code_point(TokenId token) {
  if (token < 0) return 0xFFFD;
  auto id = static_cast<std::uint32_t>(token);
  if (id < 256) return id >= 0x20 && id <= 0x7E && id != '"' && id != '\\' ? id : 0x100 + id;
  id -= 256;
  if (id < kIdeographs) return 0x4E00 + id;
  id = (id - kIdeographs) % (2 * kPrivatePlane);
  return id < kPrivatePlane ? 0xF0000 + id : 0x100000 + (id - kPrivatePlane);
}

}  // namespace

void append_token_text(std::string& out, TokenId token) {
  const std::uint32_t c = code_point(token);
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace dsbench::engine::server
