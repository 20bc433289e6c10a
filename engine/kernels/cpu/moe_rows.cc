#include "engine/kernels/cpu/moe_rows.h"

#include <algorithm>
#include <bit>

namespace dsbench::engine::kernels::cpu {
namespace {

// Order of floats as order of whole numbers, the largest first.
std::uint32_t descending_key(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits & 0x80000000U) != 0 ? bits : ~bits & 0x7FFFFFFFU;
}

// Digits of a key, from the top: how many bits lie below, and how many it has.
struct Digit {
  int below;
  int bits;
};
constexpr Digit kDigits[] = {{21, 11}, {10, 11}, {0, 10}};

}  // namespace

void align_experts(const std::int32_t* ids, std::int64_t copies, std::int32_t experts, std::int32_t* slots,
                   std::int32_t* offsets) {
  std::fill_n(offsets, experts + 1, 0);
  for (std::int64_t i = 0; i < copies; ++i) ++offsets[ids[i] + 1];
  for (std::int32_t e = 0; e < experts; ++e) offsets[e + 1] += offsets[e];
  // Each expert's beginning serves as its counter; afterwards it is the next one's beginning.
  for (std::int64_t i = 0; i < copies; ++i) slots[i] = offsets[ids[i]]++;
  for (std::int32_t e = experts; e > 0; --e) offsets[e] = offsets[e - 1];
  offsets[0] = 0;
}

void top_k(const float* x, std::int64_t n, std::int64_t k, std::int32_t* ids) {
  if (n <= k) {
    for (std::int64_t i = 0; i < k; ++i) ids[i] = i < n ? static_cast<std::int32_t>(i) : -1;
    return;
  }
  // The key of the k-th, digit by digit: how many there are of each value of the digit among those that begin
  // alike.
  std::uint32_t last = 0;
  std::int64_t before = 0;  // keys known to be smaller
  int known = 32;           // bits of `last` that are not known yet
  for (const Digit digit : kDigits) {
    std::int32_t counts[2048] = {};
    const std::uint32_t mask = (1U << digit.bits) - 1;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint32_t key = descending_key(x[i]);
      if (known == 32 || key >> known == last >> known) ++counts[key >> digit.below & mask];
    }
    std::uint32_t value = 0;
    while (before + counts[value] < k) before += counts[value++];
    last |= value << digit.below;
    known = digit.below;
  }
  std::int64_t ties = k - before;  // of those that equal the k-th
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < n && found < k; ++i) {
    const std::uint32_t key = descending_key(x[i]);
    if (key < last || (key == last && ties-- > 0)) ids[found++] = static_cast<std::int32_t>(i);
  }
}

}  // namespace dsbench::engine::kernels::cpu
