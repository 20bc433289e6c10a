#pragma once

#include <cstdint>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"

namespace dsbench::kernelbench::cpu {

// Outputs of attention (result 0), rows of `width`, as floats: themselves, or what becomes bf16 row by row.
class FloatRows {
 public:
  FloatRows(const Cell& cell, std::int64_t rows, std::int64_t width)
      : cell_{cell}, width_{width}, half_{cell.out[0].dtype == DSB_BF16} {
    if (half_) o_.grow(rows * width);
  }
  [[nodiscard]] float* o() { return half_ ? o_.data() : cell_.output<float>(0); }
  void finish(std::int64_t row) const {
    if (!half_) return;
    cell_.table->narrow(o_.data() + row * width_, static_cast<std::int32_t>(width_),
                        cell_.output<std::uint16_t>(0) + row * width_);
  }

 private:
  Cell cell_;
  std::int64_t width_;
  bool half_;
  kernels::FloatBuffer o_;
};

}  // namespace dsbench::kernelbench::cpu
