#pragma once

#include "engine/kernels/cuda/host_device.h"

namespace dsbench::engine::kernels::cuda {

// Where a 16-byte chunk of a row-major tile lies in shared memory. Rows are a multiple of 128 bytes (8
// chunks), so without a swizzle the same chunk of eight rows would meet in the same four banks, and ldmatrix,
// which reads exactly that, would take eight turns. XOR with the row's low three bits spreads them over all
// 32 banks; it stays within its group of 8 chunks, so it is a bijection of the row. It is also what TMA's
// 128-byte swizzle does.
[[nodiscard]] DSB_HD constexpr int swizzled_chunk(int row, int chunk) {
  return chunk ^ (row & 7);
}

// Byte offset of that chunk in a tile of `chunks_per_row` chunks (a multiple of 8).
[[nodiscard]] DSB_HD constexpr int swizzled_offset(int row, int chunk, int chunks_per_row) {
  return (row * chunks_per_row + swizzled_chunk(row, chunk)) * 16;
}

}  // namespace dsbench::engine::kernels::cuda
