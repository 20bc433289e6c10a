#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "kernelbench/problem.h"
#include "kernelbench/tensor.h"

namespace dsbench::kernelbench {

// Inputs filled from the problem's seed; outputs with their shapes, poisoned.
struct Operands {
  std::vector<HostTensor> in;
  std::vector<HostTensor> out;
};

// The work that the problem needs, from the actual operands (the exact set of touched experts, the real
// lengths), by the formulas of docs/kernels.md. Bytes: every operand once, from and to memory.
struct Work {
  double flops = 0;
  double bytes = 0;
  std::string unit;  // whose compute peak counts: "bf16", "fp8", "f32", "int8"; empty: none, memory alone
};

// What a check found. Rows are of the first output unless said otherwise.
struct CheckResult {
  bool passed = false;
  std::string what;           // when it failed: which gate, which output and row, the value and the limit
  double global_diff = 0;     // 1 − 2Σxy/Σ(x²+y²) over what was compared, of the worst output
  double worst_row_diff = 0;  // the largest over rows
  double worst_element = 0;   // the largest |x − y| in units of the element gate; ≤ 1 passes
  std::int64_t rows_checked = 0;
  std::int64_t rows = 0;                  // of how many
  std::optional<double> freivalds_sigma;  // residual in units of its expected noise, where it was done
};

struct ParamSpec {
  std::string_view name;
  std::int64_t fallback = 0;  // 0 together with required: must be given
  bool required = false;
  std::int64_t least = 1;
  std::string_view help;
};

struct WordSpec {
  std::string_view name;
  std::vector<std::string_view> accepted;  // the first is the default
  std::string_view help;
};

// An operation with its oracle. Stateless: the same problem always gives the same operands.
class Op {
 public:
  virtual ~Op() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view help() const = 0;  // one line: what it computes
  [[nodiscard]] virtual std::span<const ParamSpec> params() const = 0;
  [[nodiscard]] virtual std::span<const WordSpec> words() const = 0;
  [[nodiscard]] virtual std::span<const std::string_view> dtypes() const = 0;  // the first is the default
  // What the specs alone cannot say ("k must be a multiple of 128 for fp8").
  [[nodiscard]] virtual Result<void> validate(const Problem& problem) const = 0;

  // Bytes of all operands, before anything is allocated.
  [[nodiscard]] virtual double operand_bytes(const Problem& problem) const = 0;
  [[nodiscard]] virtual Operands make(const Problem& problem) const = 0;
  [[nodiscard]] virtual Work work(const Problem& problem, const Operands& operands) const = 0;
  // Against float64 on the same quantised operands: every row where that is affordable, else a seeded sample
  // with the first and last row of every boundary, and Freivalds' check over the whole of a product.
  // `budget_flops`: what the oracle may spend.
  [[nodiscard]] virtual CheckResult check(const Problem& problem, std::span<const HostTensor> in,
                                          std::span<const HostTensor> out, double budget_flops) const = 0;
};

// All of them, in the order of docs/kernels.md.
[[nodiscard]] std::span<const Op* const> all_ops();
[[nodiscard]] const Op* find_op(std::string_view name);

}  // namespace dsbench::kernelbench
