#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernelbench/op.h"
#include "kernelbench/ops/compare.h"

namespace dsbench::kernelbench {

// A matrix [rows, k] of an operand as float64, with its scales multiplied in. Scales: none; one a row (group
// = 0); or one for `band` rows × `group` columns.
struct MatrixView {
  const HostTensor* values = nullptr;
  const HostTensor* scale = nullptr;
  std::int64_t first = 0;   // element of `values` where the matrix begins
  std::int64_t stride = 0;  // elements from row to row
  std::int64_t rows = 0;
  std::int64_t k = 0;
  std::int64_t first_scale = 0;  // element of `scale` where its scales begin
  std::int64_t band = 1;
  std::int64_t group = 0;

  // Columns [begin, end) of a row.
  void decode(std::int64_t row, std::int64_t begin, std::int64_t end, double* to) const;
};

// c[m, n] = a[m, k]·w[n, k]ᵀ as a kernel left it.
struct ProductView {
  MatrixView a;
  MatrixView w;
  const HostTensor* c = nullptr;
  std::int64_t first = 0;   // element of c where the result begins
  std::int64_t stride = 0;  // elements from row to row
  std::string name = {};    // what a message puts before "row 7": "expert 3 "
};

// Computes the given rows of the product in float64 and compares them.
void compare_rows(const ProductView& product, std::span<const std::int64_t> rows, Comparison& comparison);

// How exact a kernel's sums are: their unit roundoff. 2^-24 for f32. FP8 tensor cores keep about 14 bits
// within a block of 128, and sum the blocks in f32: 2^-13/√(k/128).
[[nodiscard]] double sum_unit(const ProductView& product);

// Freivalds' check (1977) over all rows: with r of random signs, c·r must equal a·(wᵀ·r). Gives the largest
// residual in units of the noise that rounding c (uniform within half an ulp) and summing in `sum_unit`
// leaves in it, and its row.
struct Freivalds {
  double sigma = 0;
  std::int64_t row = 0;
};
[[nodiscard]] Freivalds freivalds(const ProductView& product, std::uint64_t seed);

inline constexpr double kFreivaldsGate = 6;  // sigma

// Does it and notes what it found.
void check_freivalds(const ProductView& product, std::uint64_t seed, CheckResult& result);

// Both together, as every product is checked: sampled or all rows, the rest by Freivalds. `boundaries` are
// rows that any sample includes. Rows go to the comparison, which its owner concludes.
void check_product(const ProductView& product, double budget_flops, std::vector<std::int64_t> boundaries,
                   std::uint64_t seed, CheckResult& result, Comparison& comparison);

}  // namespace dsbench::kernelbench
