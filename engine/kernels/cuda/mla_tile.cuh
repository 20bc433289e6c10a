#pragma once

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/mla_decode_wgmma.h"
#include "engine/kernels/cuda/split_plan.h"

// What attention by wgmma over one shared row of keys and values works on: tiles of 64 rows of a request, and
// 64 entries of its cache at a time, in boxes of 64 rows and 64 columns each. One warpgroup brings entries,
// two multiply, each with half of the output's columns.
namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int tile_rows = 64;
constexpr int consumers = 2;
constexpr int group_threads = 128;
constexpr int block_threads = (consumers + 1) * group_threads;
constexpr int consumer_threads = consumers * group_threads;
constexpr int consumer_barrier = 1;
constexpr int output_columns = mla_latent / consumers;  // of a warpgroup
constexpr int box_columns = 64;                         // 128 bytes of bf16
constexpr int box_bytes = 64 * 128;                     // 64 rows of queries or of a page
constexpr int mla_boxes = mla_width / box_columns;
constexpr int half_boxes = output_columns / box_columns;  // of the output's columns that a warpgroup has
constexpr int buffers = mla_wgmma_pages;

struct Turn {
  int buffer = 0;
  int phase = 0;
  DSB_DEVICE void next() {
    if (++buffer == buffers) {
      buffer = 0;
      phase ^= 1;
    }
  }
};

// The pieces of this block's part, one after another: work(request, piece, blocks of the request).
template <class Work>
DSB_DEVICE void for_each_piece(int requests, const int* first, const Work& work) {
  const int per_part = part_blocks(first[requests], simt::grid_x());
  const int begin = simt::block_x() * per_part;
  DSB_NO_UNROLL
  for (int r = request_at(first, requests, begin); r < requests && first[r] < begin + per_part; ++r) {
    const int blocks = first[r + 1] - first[r];
    if (blocks > 0) work(r, piece_of(simt::block_x(), per_part, first[r], blocks), blocks);
  }
}

// Rows beyond the request are the next one's: they only reach rows that are not written.
template <int kBoxes>
DSB_DEVICE void fetch_queries(const TensorMap& q_map, unsigned char* q_tile, simt::Barrier* full, int row) {
  simt::expect_bytes(full, kBoxes * box_bytes);
  DSB_NO_UNROLL
  for (int box = 0; box < kBoxes; ++box)
    simt::copy_box(q_tile + box * box_bytes, q_map, full, box * 128, row);
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
