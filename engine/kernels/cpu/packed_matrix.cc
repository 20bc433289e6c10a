#include "engine/kernels/cpu/packed_matrix.h"

#include <sys/mman.h>

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <new>

namespace dsbench::engine::kernels::cpu {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Of one output channel: the largest magnitude becomes 127.
float scale_of(std::span<const float> row) {
  float most = 0;
  for (const float w : row) most = std::max(most, std::abs(w));
  return most / 127.0F;
}

int rounded(float w, float scale) {
  if (scale == 0) return 0;
  return static_cast<int>(std::clamp(std::nearbyint(w / scale), -127.0F, 127.0F));
}

std::span<const float> row_of(std::span<const float> matrix, std::int64_t row, std::int64_t k) {
  return matrix.subspan(static_cast<std::size_t>(row * k), static_cast<std::size_t>(k));
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  const bool huge = bytes >= 2 * kHugePage;
  const std::size_t alignment = huge ? kHugePage : 64;
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (huge) (void)madvise(p, bytes, MADV_HUGEPAGE);  // a wish; refused it costs only speed
#endif
  return p;
}

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

void round_as(WeightType type, std::span<float> row_major, std::int32_t k) {
  if (type == WeightType::fp32) return;
  for (std::size_t at = 0; at < row_major.size(); at += static_cast<std::size_t>(k)) {
    const std::span<float> row = row_major.subspan(at, static_cast<std::size_t>(k));
    const float scale = scale_of(row);
    for (float& w : row) {
      w = type == WeightType::bf16 ? from_bf16(to_bf16(w)) : static_cast<float>(rounded(w, scale)) * scale;
    }
  }
}

PackedMatrix::PackedMatrix(std::span<const float> row_major, std::int32_t n, std::int32_t k, WeightType type)
    : n_{n}, k_{k}, type_{type} {
  assert(row_major.size() == static_cast<std::size_t>(n) * static_cast<std::size_t>(k));
  switch (type) {
    case WeightType::fp32:
      pack_fp32(row_major);
      break;
    case WeightType::bf16:
      pack_bf16(row_major);
      break;
    case WeightType::int8:
      pack_int8(row_major);
      break;
  }
}

void PackedMatrix::pack_fp32(std::span<const float> row_major) {
  data_.grow(std::int64_t{panels()} * k_ * kPanel);
  data_.fill(0);
  for (std::int64_t row = 0; row < n_; ++row) {
    std::uint32_t* panel = data_.data() + row / kPanel * k_ * kPanel + row % kPanel;
    const std::span<const float> from = row_of(row_major, row, k_);
    for (std::size_t i = 0; i < from.size(); ++i) panel[i * kPanel] = std::bit_cast<std::uint32_t>(from[i]);
  }
}

void PackedMatrix::pack_bf16(std::span<const float> row_major) {
  const std::int64_t words = (k_ + 1) / 2;
  data_.grow(panels() * words * kPanel);
  data_.fill(0);
  for (std::int64_t row = 0; row < n_; ++row) {
    std::uint32_t* panel = data_.data() + row / kPanel * words * kPanel + row % kPanel;
    const std::span<const float> from = row_of(row_major, row, k_);
    for (std::size_t i = 0; i < from.size(); ++i) {
      panel[i / 2 * kPanel] |= std::uint32_t{to_bf16(from[i])} << (i % 2 * 16);
    }
  }
}

void PackedMatrix::pack_int8(std::span<const float> row_major) {
  assert(k_ <= kLongestInt8Row);
  const std::int64_t quads = (k_ + 3) / 4;
  data_.grow(panels() * quads * kPanel);
  data_.fill(0x80808080U);
  scale_.grow(std::int64_t{panels()} * kPanel);
  scale_.fill(0);
  for (std::int64_t row = 0; row < n_; ++row) {
    const std::span<const float> from = row_of(row_major, row, k_);
    const float scale = scale_of(from);
    scale_.data()[row] = scale;
    std::uint32_t* panel = data_.data() + row / kPanel * quads * kPanel + row % kPanel;
    for (std::int64_t i = 0; i < quads; ++i) {
      std::uint8_t bytes[4] = {128, 128, 128, 128};  // in memory order, whatever the machine's
      for (std::int64_t j = 0; j < 4 && i * 4 + j < k_; ++j) {
        bytes[j] = static_cast<std::uint8_t>(rounded(from[static_cast<std::size_t>(i * 4 + j)], scale) + 128);
      }
      std::memcpy(panel + i * kPanel, bytes, 4);
    }
  }
}

}  // namespace dsbench::engine::kernels::cpu
