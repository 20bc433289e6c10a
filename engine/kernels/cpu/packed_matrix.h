#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "engine/kernels/cpu/kernel_table.h"

namespace dsbench::engine::kernels::cpu {

// `bytes` on a cache line boundary, from 4 MiB on in huge pages where the system gives them; throws
// std::bad_alloc.
[[nodiscard]] void* allocate_aligned(std::size_t bytes);

// Numbers on a cache line boundary, not initialised unless asked; grows and forgets, never shrinks.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::int64_t size) { grow(size); }
  // At least this many; what they hold is unspecified when the buffer had to grow.
  void grow(std::int64_t size) {
    if (size <= size_) return;
    data_.reset();
    data_.reset(static_cast<T*>(allocate_aligned(static_cast<std::size_t>(size) * sizeof(T))));
    size_ = size;
  }
  void fill(T value) { std::fill_n(data_.get(), size_, value); }
  [[nodiscard]] T* data() { return data_.get(); }
  [[nodiscard]] const T* data() const { return data_.get(); }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(T* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  std::int64_t size_ = 0;
};

using FloatBuffer = AlignedBuffer<float>;

// Rows that go into a product: as floats, and in int8 as well where the weights are int8.
struct InputRows {
  const float* a = nullptr;
  std::int64_t lda = 0;
  QuantisedRows q = {};
};

// A weight [n, k] laid out for the kernels, in panels of 16 output columns with zeros beyond n:
//   fp32  [ceil(n/16), k, 16] floats
//   bf16  [ceil(n/16), ceil(k/2), 16] words of two steps of k, the even one in the low half
//   int8  [ceil(n/16), ceil(k/4), 16, 4] bytes, weight/scale + 128; scale [n], largest magnitude / 127
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(std::span<const float> row_major, std::int32_t n, std::int32_t k,
               WeightType type = WeightType::fp32);

  [[nodiscard]] std::int32_t n() const { return n_; }
  [[nodiscard]] std::int32_t k() const { return k_; }
  [[nodiscard]] std::int32_t panels() const { return (n_ + kPanel - 1) / kPanel; }
  [[nodiscard]] WeightType type() const { return type_; }
  // What it takes, padding and scales included.
  [[nodiscard]] std::int64_t bytes() const { return 4 * (data_.size() + scale_.size()); }

  // c[m, n] = a[m, k]·wᵀ over the given panels. int8 weights need rows.q, the others rows.a.
  [[nodiscard]] GemmArgs times(const InputRows& rows, std::int32_t m, float* c, std::int64_t ldc) const {
    return GemmArgs{.a = rows.a,
                    .lda = rows.lda,
                    .q = rows.q,
                    .rows = nullptr,
                    .m = m,
                    .type = type_,
                    .w = data_.data(),
                    .w_scale = scale_.data(),
                    .n = n_,
                    .k = k_,
                    .panel_begin = 0,
                    .panel_end = panels(),
                    .c = c,
                    .ldc = ldc};
  }
  [[nodiscard]] GemmArgs times(const float* a, std::int64_t lda, std::int32_t m, float* c,
                               std::int64_t ldc) const {
    return times(InputRows{.a = a, .lda = lda}, m, c, ldc);
  }

 private:
  void pack_fp32(std::span<const float> row_major);
  void pack_bf16(std::span<const float> row_major);
  void pack_int8(std::span<const float> row_major);

  AlignedBuffer<std::uint32_t> data_;
  FloatBuffer scale_;
  std::int32_t n_ = 0;
  std::int32_t k_ = 0;
  WeightType type_ = WeightType::fp32;
};

// What a packed matrix [n, k] takes, without scales.
[[nodiscard]] constexpr std::int64_t packed_bytes(WeightType type, std::int64_t n, std::int64_t k) {
  const std::int64_t steps = type == WeightType::fp32   ? k
                             : type == WeightType::bf16 ? (k + 1) / 2
                                                        : (k + 3) / 4;
  return (n + kPanel - 1) / kPanel * kPanel * steps * 4;
}

// To the nearest bf16, ties to even; and back.
[[nodiscard]] std::uint16_t to_bf16(float value);
[[nodiscard]] float from_bf16(std::uint16_t bits);

// What a matrix [·, k] is worth after packing as `type`: for tests that give a reference the same operands.
void round_as(WeightType type, std::span<float> row_major, std::int32_t k);

}  // namespace dsbench::engine::kernels::cpu
