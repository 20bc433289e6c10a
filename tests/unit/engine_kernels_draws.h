#pragma once

#include <string_view>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/cpu/kernel_table.h"

// Operands of the tests that hold the fast kernels against the plain ones.
namespace dsbench::engine::kernels::testing {

inline constexpr double kEps = 0x1p-24;  // half a unit in the last place of a float near 1

inline std::vector<float> draw(std::string_view name, std::size_t n, double low = -1, double high = 1) {
  Rng rng(7, name);
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(low + (high - low) * rng.uniform());
  return v;
}
inline std::vector<double> wide(const std::vector<float>& v) {
  return {v.begin(), v.end()};
}

// Every table that this processor runs.
inline std::vector<const cpu::KernelTable*> tables() {
  std::vector<const cpu::KernelTable*> all;
  for (const auto* t = cpu::all_kernels(); *t != nullptr; ++t) all.push_back(*t);
  return all;
}

}  // namespace dsbench::engine::kernels::testing
