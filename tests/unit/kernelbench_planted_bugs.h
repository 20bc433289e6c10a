#pragma once

// A check that passes everything is worth nothing: results are damaged as real kernels damage them, and each
// must be noticed, by the check of all rows and by the one that samples.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <string_view>

#include "tests/unit/kernelbench_right_results.h"

namespace dsbench::kernelbench::testing {

// What a check may spend: on all rows, or on a sample.
inline constexpr double kFull = 1e13;
inline constexpr double kSampled = 1;

inline Problem problem(std::string_view json) {
  Result<Problem> read = problem_from_json(json);
  EXPECT_TRUE(read) << (read ? "" : read.error().message);
  return read ? *read : Problem{};
}

inline double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

inline void zero_row(HostTensor& tensor, std::int64_t row) {
  const std::int64_t width = tensor.dim(tensor.shape().size() - 1);
  for (std::int64_t i = 0; i < width; ++i) tensor.set(row * width + i, 0);
}

inline CheckResult check(const Problem& p, const Operands& operands, double budget) {
  return find_op(p.op)->check(p, operands.in, operands.out, budget);
}

// The result passes both checks as it is, and neither when damaged. Gives what the sampled check said.
inline std::string expect_caught(std::string_view json,
                                 const std::function<void(const Problem&, Operands&)>& damage) {
  const Problem p = problem(json);
  Operands operands = right(p);
  const CheckResult full = check(p, operands, kFull);
  EXPECT_TRUE(full.passed) << name_of(p) << ": " << full.what;
  EXPECT_EQ(full.rows_checked, full.rows);
  const CheckResult sampled = check(p, operands, kSampled);
  EXPECT_TRUE(sampled.passed) << name_of(p) << ": " << sampled.what;
  damage(p, operands);
  const CheckResult all = check(p, operands, kFull);
  EXPECT_FALSE(all.passed) << name_of(p) << ": not caught by the check of all rows";
  EXPECT_FALSE(all.what.empty());
  const CheckResult some = check(p, operands, kSampled);
  EXPECT_FALSE(some.passed) << name_of(p) << ": not caught by the sampled check";
  return some.what;
}

}  // namespace dsbench::kernelbench::testing
