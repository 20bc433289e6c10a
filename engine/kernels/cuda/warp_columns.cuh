#pragma once

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/simt.h"

// How rows that a matrix product left in registers (mma_layout.h) are written to memory. Of each tile of 8
// columns a row is in four lanes, two columns each: 16 bytes of bf16 at a time, half of what memory moves at
// least. So two tiles are written together.
namespace dsbench::engine::kernels::cuda {

// Four neighbouring columns of bf16, from this one of the two tiles' 16 on.
struct FourColumns {
  int column;
  std::uint32_t low;
  std::uint32_t high;
};

// `first` and `second`: this lane's two columns of either tile. Neighbouring lanes exchange one, so that the
// even ones have four columns of the first tile and the odd ones of the second. All lanes of the warp take
// part.
DSB_DEVICE FourColumns four_columns(std::uint32_t first, std::uint32_t second) {
  const int lane = simt::computed_here(simt::thread() % 32);
  const bool odd = lane % 2 != 0;
  const std::uint32_t other = simt::float_bits(simt::shuffle_xor(simt::bits_float(odd ? first : second), 1));
  return {lane % 2 * 8 + lane % 4 / 2 * 4, odd ? other : first, odd ? second : other};
}

// A row of the two tiles, from `to` on: this lane's two columns of either. All lanes of the warp take part;
// those whose row is not there write nothing.
DSB_DEVICE void store_tiles(Bf16* to, const float (&first)[2], const float (&second)[2], bool there) {
  const FourColumns four =
      four_columns(simt::to_bf16x2(first[0], first[1]), simt::to_bf16x2(second[0], second[1]));
  if (there) simt::store8(to + four.column, four.low, four.high);
}
// In f32 the four lanes have whole sectors as it is.
DSB_DEVICE void store_tiles(float* to, const float (&first)[2], const float (&second)[2], bool there) {
  float* const own = to + c_col(simt::computed_here(simt::thread() % 32), 0);
  if (!there) return;
  simt::store8(own, simt::float_bits(first[0]), simt::float_bits(first[1]));
  simt::store8(own + 8, simt::float_bits(second[0]), simt::float_bits(second[1]));
}

}  // namespace dsbench::engine::kernels::cuda
