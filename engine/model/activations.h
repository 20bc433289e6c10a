#pragma once

#include <cstdint>

#include "engine/kernels/cpu/packed_matrix.h"

namespace dsbench::engine {

// Rows of activations that go into products, [rows, width] floats, and where the weights that they meet are
// int8 also in int8: finish() rounds a row once, however many products read it.
class Activations {
 public:
  // Makes room; what rows hold is unspecified when there was not enough.
  void shape(std::int64_t rows, std::int32_t width, kernels::WeightType met) {
    width_ = width;
    quantised_ = met == kernels::WeightType::int8;
    values_.grow(rows * width);
    if (!quantised_) return;
    stride_ = (width + 63) / 64 * 64;
    bytes_.grow(rows * stride_);
    scale_.grow(rows);
    sum_.grow(rows);
  }

  [[nodiscard]] float* row(std::int64_t r) { return values_.data() + r * width_; }
  [[nodiscard]] const float* row(std::int64_t r) const { return values_.data() + r * width_; }

  // The floats of row r are complete.
  void finish(const kernels::cpu::KernelTable& table, std::int64_t r) {
    if (!quantised_) return;
    scale_.data()[r] = table.quantise(row(r), width_, bytes_.data() + r * stride_, sum_.data() + r);
  }

  // The rows from `first` on, as operand of a product.
  [[nodiscard]] kernels::cpu::InputRows from(std::int64_t first) const {
    kernels::cpu::InputRows rows{.a = row(first), .lda = width_};
    if (quantised_) {
      rows.q = {.values = bytes_.data() + first * stride_,
                .stride = stride_,
                .scale = scale_.data() + first,
                .sum = sum_.data() + first};
    }
    return rows;
  }

  // Row `to` becomes what row `from` is.
  void move_row(std::int64_t from, std::int64_t to) {
    std::copy_n(row(from), width_, row(to));
    if (!quantised_) return;
    std::copy_n(bytes_.data() + from * stride_, stride_, bytes_.data() + to * stride_);
    scale_.data()[to] = scale_.data()[from];
    sum_.data()[to] = sum_.data()[from];
  }

 private:
  kernels::cpu::FloatBuffer values_;
  kernels::cpu::AlignedBuffer<std::int8_t> bytes_;
  kernels::cpu::FloatBuffer scale_;
  kernels::cpu::AlignedBuffer<std::int32_t> sum_;
  std::int32_t width_ = 0;
  std::int64_t stride_ = 0;
  bool quantised_ = false;
};

}  // namespace dsbench::engine
