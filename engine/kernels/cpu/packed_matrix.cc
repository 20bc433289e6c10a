#include "engine/kernels/cpu/packed_matrix.h"

#include <algorithm>
#include <cassert>
#include <new>

namespace dsbench::engine::kernels::cpu {

void FloatBuffer::grow(std::int64_t size) {
  if (size <= size_) return;
  const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(float) + 63) / 64 * 64;
  data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
  if (!data_) throw std::bad_alloc();
  size_ = size;
}

void FloatBuffer::fill(float value) {
  std::fill_n(data_.get(), size_, value);
}

PackedMatrix::PackedMatrix(std::span<const float> row_major, std::int32_t n, std::int32_t k) : n_{n}, k_{k} {
  assert(row_major.size() == static_cast<std::size_t>(n) * static_cast<std::size_t>(k));
  data_.grow(std::int64_t{panels()} * k * kPanel);
  data_.fill(0);
  for (std::int64_t row = 0; row < n; ++row) {
    float* panel = data_.data() + row / kPanel * k * kPanel + row % kPanel;
    for (std::int64_t i = 0; i < k; ++i) panel[i * kPanel] = row_major[static_cast<std::size_t>(row * k + i)];
  }
}

}  // namespace dsbench::engine::kernels::cpu
