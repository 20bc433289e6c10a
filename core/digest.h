#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dsbench {

// A 64-bit fingerprint (FNV-1a): whether two processes have computed the same thing. It finds accidents and
// keeps out nobody who means harm.
class Digest {
 public:
  Digest& add(std::string_view bytes) {
    for (const char c : bytes) add_byte(static_cast<std::uint8_t>(c));
    return add(std::uint64_t{bytes.size()});
  }
  Digest& add(std::uint64_t number) {
    for (int i = 0; i < 8; ++i) add_byte(static_cast<std::uint8_t>(number >> (8 * i)));
    return *this;
  }
  // 16 hexadecimal digits.
  [[nodiscard]] std::string text() const;

 private:
  void add_byte(std::uint8_t byte) { state_ = (state_ ^ byte) * 0x100000001B3ULL; }
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

}  // namespace dsbench
