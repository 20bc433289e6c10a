#include "kernelbench/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernelbench/ops/bits.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::array<std::pair<Dtype, std::string_view>, 8> kWords{{{Dtype::f64, "f64"},
                                                                    {Dtype::f32, "f32"},
                                                                    {Dtype::bf16, "bf16"},
                                                                    {Dtype::f16, "f16"},
                                                                    {Dtype::e4m3, "e4m3"},
                                                                    {Dtype::i8, "i8"},
                                                                    {Dtype::u8, "u8"},
                                                                    {Dtype::i32, "i32"}}};

template <class T>
T read(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <class T>
void write(void* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

double f16_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double magnitude = exponent == 31  ? (mantissa == 0 ? HUGE_VAL : std::nan(""))
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t f16_bits(double value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7E00;
  if (magnitude >= 65520) return static_cast<std::uint16_t>(sign | 0x7C00);
  // The spacing of values around it, at least that of the subnormal ones; a carry runs into the exponent.
  const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<std::uint16_t>(sign | (steps + ((exponent + 14) << 10)));
}

// Straight from a double: by way of a float it would be rounded twice.
std::uint16_t bf16_bits(double value) {
  if (std::isnan(value)) return 0x7FC0;
  float near = static_cast<float>(value);
  auto bits = std::bit_cast<std::uint32_t>(near);
  // A float that is half way, though the double is not, is moved to the side where the double is.
  if ((bits & 0xFFFF) == 0x8000 && static_cast<double>(near) != value) {
    bits += std::fabs(value) > std::fabs(static_cast<double>(near)) ? 1U : ~0U;
  }
  return bf16_from_bits(bits);
}

template <class T>
T saturated(double value) {
  const double least = std::numeric_limits<T>::min();
  const double most = std::numeric_limits<T>::max();
  return static_cast<T>(std::clamp(std::nearbyint(value), least, most));
}

}  // namespace

std::int64_t size_of(Dtype type) {
  switch (type) {
    case Dtype::f64:
      return 8;
    case Dtype::f32:
    case Dtype::i32:
      return 4;
    case Dtype::bf16:
    case Dtype::f16:
      return 2;
    case Dtype::e4m3:
    case Dtype::i8:
    case Dtype::u8:
      return 1;
  }
  return 0;
}

std::string_view to_word(Dtype type) {
  for (const auto& [known, word] : kWords) {
    if (known == type) return word;
  }
  return "?";
}

std::optional<Dtype> dtype_from(std::string_view word) {
  for (const auto& [type, known] : kWords) {
    if (known == word) return type;
  }
  return std::nullopt;
}

double decode(Dtype type, const void* element) {
  switch (type) {
    case Dtype::f64:
      return read<double>(element);
    case Dtype::f32:
      return static_cast<double>(read<float>(element));
    case Dtype::bf16:
      return static_cast<double>(bf16_value(read<std::uint16_t>(element)));
    case Dtype::f16:
      return f16_value(read<std::uint16_t>(element));
    case Dtype::e4m3:
      return static_cast<double>(e4m3_value(read<std::uint8_t>(element)));
    case Dtype::i8:
      return read<std::int8_t>(element);
    case Dtype::u8:
      return read<std::uint8_t>(element);
    case Dtype::i32:
      return read<std::int32_t>(element);
  }
  return 0;
}

void encode(Dtype type, double value, void* element) {
  switch (type) {
    case Dtype::f64:
      return write(element, value);
    case Dtype::f32:
      return write(element, static_cast<float>(value));
    case Dtype::bf16:
      return write(element, bf16_bits(value));
    case Dtype::f16:
      return write(element, f16_bits(value));
    case Dtype::e4m3:
      return write(element, e4m3_nearest(value));
    case Dtype::i8:
      return write(element, saturated<std::int8_t>(value));
    case Dtype::u8:
      return write(element, saturated<std::uint8_t>(value));
    case Dtype::i32:
      return write(element, saturated<std::int32_t>(value));
  }
}

void poison(Dtype type, void* element) {
  switch (type) {
    case Dtype::f64:
      return write(element, std::numeric_limits<double>::quiet_NaN());
    case Dtype::f32:
      return write(element, std::numeric_limits<float>::quiet_NaN());
    case Dtype::bf16:
      return write(element, std::uint16_t{0x7FC0});
    case Dtype::f16:
      return write(element, std::uint16_t{0x7E00});
    case Dtype::e4m3:
      return write(element, std::uint8_t{0x7F});
    case Dtype::i8:
      return write(element, std::int8_t{-128});
    case Dtype::u8:
      return write(element, std::uint8_t{255});
    case Dtype::i32:
      return write(element, std::int32_t{-2147483647});
  }
}

}  // namespace dsbench::kernelbench
