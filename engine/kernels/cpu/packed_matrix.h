#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "engine/kernels/cpu/kernel_table.h"

namespace dsbench::engine::kernels::cpu {

// Floats on a cache line boundary, not initialised unless asked; grows and forgets, never shrinks.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  explicit FloatBuffer(std::int64_t size) { grow(size); }
  // At least this many floats; what they hold is unspecified when the buffer had to grow.
  void grow(std::int64_t size);
  void fill(float value);
  [[nodiscard]] float* data() { return data_.get(); }
  [[nodiscard]] const float* data() const { return data_.get(); }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  std::int64_t size_ = 0;
};

// A weight [n, k] laid out for the kernels: panels of 16 output columns, [ceil(n/16), k, 16], zeros beyond n.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(std::span<const float> row_major, std::int32_t n, std::int32_t k);

  [[nodiscard]] std::int32_t n() const { return n_; }
  [[nodiscard]] std::int32_t k() const { return k_; }
  [[nodiscard]] std::int32_t panels() const { return (n_ + kPanel - 1) / kPanel; }

  // c[m, n] = a[m, k]·wᵀ over the given panels.
  [[nodiscard]] GemmArgs times(const float* a, std::int64_t lda, std::int32_t m, float* c,
                               std::int64_t ldc) const {
    return GemmArgs{.a = a,
                    .lda = lda,
                    .rows = nullptr,
                    .m = m,
                    .w = data_.data(),
                    .n = n_,
                    .k = k_,
                    .panel_begin = 0,
                    .panel_end = panels(),
                    .c = c,
                    .ldc = ldc};
  }

 private:
  FloatBuffer data_;
  std::int32_t n_ = 0;
  std::int32_t k_ = 0;
};

}  // namespace dsbench::engine::kernels::cpu
