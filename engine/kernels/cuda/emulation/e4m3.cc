#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"

namespace dsbench::engine::kernels::cuda::simt::detail {

std::uint8_t encode_e4m3(float v) {
  const std::uint32_t bits = float_bits(v);
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80u);
  if (std::isnan(v)) return sign | 0x7f;
  const float a = std::fabs(v);
  if (a >= 448.0f) return sign | 0x7e;
  // Steps of 2^-9 below 2^-6, else 8 to a power of two; nearbyint rounds ties to even.
  int exponent = 0;
  std::frexp(a, &exponent);  // a in [2^(e−1), 2^e)
  const int shift = std::max(exponent - 1, -6) - 3;
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(a, -shift)));  // 0 … 16
  if (steps < 8) return sign | static_cast<std::uint8_t>(steps);               // subnormal: shift is −9
  const int biased = shift + 3 + 7 + (steps == 16 ? 1 : 0);
  return static_cast<std::uint8_t>(sign | (biased << 3) | (steps == 16 ? 0 : steps - 8));
}

float decode_e4m3(std::uint8_t code) {
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(mantissa + 8), exponent - 10);
  return (code & 0x80) != 0 ? -size : size;
}

const float* e4m3_table() {
  static const auto table = [] {
    std::vector<float> values(256);
    for (int i = 0; i < 256; ++i)
      values[static_cast<std::size_t>(i)] = decode_e4m3(static_cast<std::uint8_t>(i));
    return values;
  }();
  return table.data();
}

}  // namespace dsbench::engine::kernels::cuda::simt::detail
