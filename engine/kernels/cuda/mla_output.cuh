#pragma once

#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mla_turn.cuh"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/warp_columns.cuh"

// How the sums of a piece of a request, in the registers of two warpgroups, become the request's result or a
// part of it.
namespace dsbench::engine::kernels::cuda {

namespace {

// Of a thread's two rows: the score that weights are counted from, and the sum of weights in either
// warpgroup.
struct RowSums {
  float top[2];
  float all[2];
};

// `o`: of a thread's two rows those of its warpgroup's columns, not yet divided.
template <bool kPlain>
DSB_DEVICE void store_piece(const MlaRows& given, const MlaPartials& partials, const int* first, int request,
                            int blocks, int group, float score_scale, const RowSums& sums,
                            float (&o)[output_columns / 2]) {
  const int here = simt::computed_here(simt::thread() % group_threads);
  const int lane = here % 32;
  const int rows = given.queries * given.heads;
  const int row0 = simt::block_y() * tile_rows + here / 32 * 16;
  const int per_part = part_blocks(first[given.requests], simt::grid_x());
  const KvPiece parts = parts_of(per_part, first[request], blocks);
  const bool whole = parts.end - parts.begin == 1;
  DSB_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = row0 + c_row(lane, 2 * h);
    const bool there = row < rows;
    const float all = sums.all[h];
    float weights = all;
    if constexpr (!kPlain) {
      if (whole && given.sink != nullptr)
        weights += simt::exp_e(given.sink[row % given.heads] - sums.top[h] * score_scale);
      if (whole && given.turn != nullptr && group == consumers - 1) {
        constexpr int first_turned = (output_columns - mla_rope) / 2;
        DSB_UNROLL
        for (int e = first_turned + 2 * h; e < output_columns / 2; e += 4)
          turn_back(given.turn, request, ((e - first_turned) / 4 * 8 + c_col(lane, 0)) / 2, o[e], o[e + 1]);
      }
    }
    const float inverse = all > 0 ? simt::divide(1.0f, weights) : 0.0f;
    const float lse = all > 0 ? sums.top[h] * score_scale + simt::log_e(all) : -simt::infinity();
    const long long out_row = static_cast<long long>(request) * rows + row;
    const long long slot_row = static_cast<long long>(partial_slot(simt::block_x(), request)) * rows + row;
    if (there && group == 0 && lane % 4 == 0) {
      if (whole)
        given.lse[out_row] = lse;
      else
        partials.partial_lse[slot_row] = lse;
    }
    DSB_UNROLL
    for (int e = 2 * h; e < output_columns / 2; e += 8) {
      const int col = group * output_columns + e / 4 * 8;
      const float left[2] = {o[e] * inverse, o[e + 1] * inverse};
      const float right[2] = {o[e + 4] * inverse, o[e + 5] * inverse};
      if (whole)
        store_tiles(static_cast<Bf16*>(given.o) + out_row * mla_latent + col, left, right, there);
      else
        store_tiles(partials.partial_o + slot_row * mla_latent + col, left, right, there);
    }
  }
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
