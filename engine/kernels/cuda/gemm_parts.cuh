#pragma once

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/gemm.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/simt.h"
#include "engine/kernels/cuda/warp_columns.cuh"

// What the products by mma and by wgmma share: where a group's rows are, and the epilogue.
namespace dsbench::engine::kernels::cuda {

// After a product that was split along k: c = the sum of the parts, in their order. args.c_row is set.
[[nodiscard]] Status add_gemm_parts(const GemmArgs& args, int splits, void* stream);

namespace {

struct Group {
  int rows;             // of this group
  long long first_row;  // counted in the rows of a and c
};

DSB_DEVICE Group group_at(const GemmArgs& args, int g) {
  const int rows = rows_of(args.rows_kind, args.table, args.rows, g);
  if (args.rows_kind == Rows::contiguous) return {rows, args.table[g]};
  return {rows, args.rows_kind == Rows::masked ? static_cast<long long>(g) * args.rows : 0};
}

// A row of c, or of this part of a split product.
struct OutputRow {
  DSB_DEVICE OutputRow(const GemmArgs& args, int group_number, const Group& group, int row, int splits,
                       int part)
      : split_(splits > 1),
        fours_(args.n % 4 == 0 && args.c_row % 4 == 0 && args.c_group % 4 == 0 &&
               reinterpret_cast<std::uintptr_t>(args.c) % 8 == 0) {
    if (row >= group.rows) return;
    if (splits > 1) {
      part_ = args.partial + (static_cast<long long>(part) * args.rows + row) * args.n;
    } else {
      c_ = static_cast<Bf16*>(args.c) + group_number * args.c_group + (group.first_row + row) * args.c_row;
      pairs_ = args.n % 2 == 0 && args.c_row % 2 == 0 && args.c_group % 2 == 0;
    }
  }
  // The row of two neighbouring tiles of 8 columns, from `column` on, of which this lane has two of each. All
  // lanes of the warp take part.
  DSB_DEVICE void store_tiles(const GemmArgs& args, int column, const float (&first)[2],
                              const float (&second)[2]) const {
    const int own = column + c_col(simt::thread() % 32, 0);
    if (split_ || !fours_) {
      store(args, own, first[0], first[1]);
      store(args, own + 8, second[0], second[1]);
      return;
    }
    const FourColumns four =
        four_columns(simt::to_bf16x2(first[0], first[1]), simt::to_bf16x2(second[0], second[1]));
    const int at = column + four.column;
    if (c_ != nullptr && at < args.n) simt::store8(c_ + at, four.low, four.high);
  }

 private:
  // Two neighbouring columns, the first of them even.
  DSB_DEVICE void store(const GemmArgs& args, int column, float v0, float v1) const {
    if (part_ != nullptr && args.n % 2 == 0) {
      if (column < args.n) simt::store8(part_ + column, simt::float_bits(v0), simt::float_bits(v1));
    } else if (part_ != nullptr) {
      if (column < args.n) part_[column] = v0;
      if (column + 1 < args.n) part_[column + 1] = v1;
    } else if (c_ != nullptr && pairs_) {
      if (column < args.n) *reinterpret_cast<std::uint32_t*>(c_ + column) = simt::to_bf16x2(v0, v1);
    } else if (c_ != nullptr) {
      if (column < args.n) c_[column] = simt::to_bf16(v0);
      if (column + 1 < args.n) c_[column + 1] = simt::to_bf16(v1);
    }
  }

  bool split_;
  bool fours_;  // four columns of bf16 may be written at once
  float* part_ = nullptr;
  Bf16* c_ = nullptr;
  bool pairs_ = false;
};

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
