#pragma once

#include <cstdint>

#include "engine/kernels/cuda/host_device.h"

// Selecting by radix: floats as unsigned keys in the same order, looked at eleven bits at a time from the
// top.
namespace dsbench::engine::kernels::cuda {

[[nodiscard]] DSB_HD constexpr std::uint32_t ordered_key(std::uint32_t float_bits) {
  return (float_bits & 0x80000000u) != 0 ? ~float_bits : float_bits | 0x80000000u;
}

inline constexpr int radix_passes = 3;
inline constexpr int radix_bins = 2048;

struct RadixDigit {
  int shift;
  std::uint32_t mask;
};
[[nodiscard]] DSB_HD constexpr RadixDigit radix_digit(int pass) {
  return pass == 0 ? RadixDigit{21, 0x7ffu} : pass == 1 ? RadixDigit{10, 0x7ffu} : RadixDigit{0, 0x3ffu};
}
// The bits that earlier passes have settled.
[[nodiscard]] DSB_HD constexpr std::uint32_t settled_bits(int pass) {
  return pass == 0 ? 0u : pass == 1 ? 0xffe00000u : 0xfffffc00u;
}

}  // namespace dsbench::engine::kernels::cuda
