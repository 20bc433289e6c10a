#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"

namespace dsbench::kernelbench::cpu {

// Queries (operand 0) and outputs (result 0) of attention as floats: themselves, or of bf16 where the cache
// is fp8.
class FloatRows {
 public:
  FloatRows(const Cell& cell, std::int64_t rows, std::int64_t q_width, std::int64_t o_width)
      : cell_{cell}, rows_{rows}, q_width_{q_width}, o_width_{o_width}, half_{cell.out[0].dtype == DSB_BF16} {
    if (!half_) return;
    q_.grow(rows * q_width);
    o_.grow(rows * o_width);
  }
  [[nodiscard]] const float* q() {
    if (!half_) return cell_.input<float>(0);
    in_parts(*cell_.pool, rows_, q_width_, [&](std::int64_t begin, std::int64_t end) {
      cell_.table->widen(cell_.input<std::uint16_t>(0) + begin * q_width_,
                         static_cast<std::int32_t>((end - begin) * q_width_), q_.data() + begin * q_width_);
    });
    return q_.data();
  }
  [[nodiscard]] float* o() { return half_ ? o_.data() : cell_.output<float>(0); }
  void finish() {
    if (!half_) return;
    in_parts(*cell_.pool, rows_, o_width_, [&](std::int64_t begin, std::int64_t end) {
      std::transform(o_.data() + begin * o_width_, o_.data() + end * o_width_,
                     cell_.output<std::uint16_t>(0) + begin * o_width_, kernels::to_bf16);
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t q_width_;
  std::int64_t o_width_;
  bool half_;
  kernels::FloatBuffer q_;
  kernels::FloatBuffer o_;
};

}  // namespace dsbench::kernelbench::cpu
