#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

// The small float types bit by bit, fast enough for hundreds of megabytes of operands.
namespace dsbench::kernelbench {

// A float's bits to the nearest bf16, ties to even. Not for NaN.
[[nodiscard]] constexpr std::uint16_t bf16_from_bits(std::uint32_t bits) {
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}
[[nodiscard]] constexpr std::uint16_t bf16_nearest(float value) {
  return bf16_from_bits(std::bit_cast<std::uint32_t>(value));
}
[[nodiscard]] constexpr float bf16_value(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

// e4m3fn: sign, 4 bits of exponent with bias 7, 3 of mantissa; 0x7F and 0xFF are NaN, 448 is the largest.
[[nodiscard]] constexpr float e4m3_value_slowly(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15;
  const int mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(0x7FC00000U);
  const float magnitude = exponent == 0
                              ? static_cast<float>(mantissa) * 0x1p-9F
                              : std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 120) << 23 |
                                                     static_cast<std::uint32_t>(mantissa) << 20);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

inline constexpr std::array<float, 256> kE4m3Values = [] {
  std::array<float, 256> values{};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = e4m3_value_slowly(static_cast<std::uint8_t>(i));
  return values;
}();
[[nodiscard]] constexpr float e4m3_value(std::uint8_t bits) {
  return kE4m3Values[bits];
}

// To the nearest, ties to even, saturating at ±448.
[[nodiscard]] inline std::uint8_t e4m3_nearest(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 24 & 0x80U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return 0x7F;
  if (magnitude >= 0x43E00000U) return static_cast<std::uint8_t>(sign | 0x7EU);  // from 448 on
  // Below 2^-6 the values are 2^-9 apart: adding 2^14 leaves just those bits, rounded.
  const float raised = std::bit_cast<float>(magnitude) + 0x1p14F;
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(raised) - std::bit_cast<std::uint32_t>(0x1p14F);
  const std::uint32_t normal =
      ((magnitude + 0x7FFFFU + (magnitude >> 20 & 1U)) >> 20) - std::uint32_t{120U << 3U};
  return static_cast<std::uint8_t>(sign | (magnitude < 0x3C800000U ? subnormal : normal));
}

// As above without rounding twice.
[[nodiscard]] inline std::uint8_t e4m3_nearest(double value) {
  const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7F;
  if (magnitude >= 448) return static_cast<std::uint8_t>(sign | 0x7E);
  const int exponent = magnitude < 0x1p-6 ? -6 : std::ilogb(magnitude);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  return static_cast<std::uint8_t>(sign | (steps + ((exponent + 6) << 3)));
}

}  // namespace dsbench::kernelbench
