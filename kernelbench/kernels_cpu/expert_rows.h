#pragma once

#include <cstdint>

#include "kernelbench/kernels_cpu/kernel_adapter.h"

namespace dsbench::kernelbench::cpu {

// f(expert, its first row of a and c, how many) for every expert of a moe_grouped_gemm that has rows.
// `numbers` is the operand that says so: where each begins, or, where the layout is masked, how many of its
// room each has.
template <class F>
void each_expert(const Cell& cell, const std::int32_t* numbers, const F& f) {
  const bool masked = cell.problem.word("layout") == "masked";
  for (std::int64_t e = 0; e < cell.problem["experts"]; ++e) {
    const std::int64_t first = masked ? e * cell.in[0].shape[1] : std::int64_t{numbers[e]};
    const std::int32_t rows = masked ? numbers[e] : numbers[e + 1] - numbers[e];
    if (rows > 0) f(static_cast<std::size_t>(e), first, rows);
  }
}

}  // namespace dsbench::kernelbench::cpu
