#pragma once

#include "engine/kernels/cuda/host_device.h"

// Who holds what in a warp-wide matrix product, and which rows ldmatrix must be given so that it comes out
// that way. Shapes are m16n8 with 32 bytes along k: k16 for bf16, k32 for e4m3. In units of 32-bit registers
// both look the same:
//   A (16 rows × 32 bytes): register i of a lane holds the 4 bytes of row a_row(lane, i) at byte a_byte(lane,
//   i) B (8 columns × 32 bytes, k contiguous): register i holds column b_col(lane) at byte b_byte(lane, i) C
//   (16 × 8 f32): register i is row c_row(lane, i), column c_col(lane, i)
// Source: PTX ISA, "Matrix Fragments for mma.m16n8k16 / mma.m16n8k32".
namespace dsbench::engine::kernels::cuda {

[[nodiscard]] DSB_HD constexpr int a_row(int lane, int i) {
  return lane / 4 + (i % 2) * 8;
}
[[nodiscard]] DSB_HD constexpr int a_byte(int lane, int i) {
  return (lane % 4) * 4 + (i / 2) * 16;
}
[[nodiscard]] DSB_HD constexpr int b_col(int lane) {
  return lane / 4;
}
[[nodiscard]] DSB_HD constexpr int b_byte(int lane, int i) {
  return (lane % 4) * 4 + i * 16;
}
[[nodiscard]] DSB_HD constexpr int c_row(int lane, int i) {
  return lane / 4 + (i / 2) * 8;
}
[[nodiscard]] DSB_HD constexpr int c_col(int lane, int i) {
  return (lane % 4) * 2 + i % 2;
}

// ldmatrix.x4 reads four 8×8 matrices of 16-bit items (8 rows of 16 bytes); lane l gives the address of row l
// % 8 of matrix l / 8. A 16-byte piece is named by its row in the tile and its chunk (16 bytes) along the
// row.
struct Piece {
  int row;
  int chunk;
};

// A: 16 rows × 2 chunks in register order.
[[nodiscard]] DSB_HD constexpr Piece a_piece(int lane) {
  return {lane % 16, lane / 16};
}

// B for two neighbouring tiles of 8 columns (rows of the k-contiguous operand): registers 0,1 are the first
// tile's, 2,3 the second's.
[[nodiscard]] DSB_HD constexpr Piece b_piece(int lane) {
  return {lane % 8 + (lane / 16) * 8, (lane / 8) % 2};
}

// B for one tile of 8 columns and two steps along k: registers 0,1 are the first step's, 2,3 the second's.
[[nodiscard]] DSB_HD constexpr Piece b_piece_long(int lane) {
  return {lane % 8, lane / 8};
}

// B from an operand whose n is contiguous (V in attention), with .trans: 16 rows along k × 2 chunks of 8
// columns; registers 0,1 are the first 8 columns', 2,3 the next 8's.
[[nodiscard]] DSB_HD constexpr Piece bt_piece(int lane) {
  return {lane % 16, lane / 16};
}

}  // namespace dsbench::engine::kernels::cuda
