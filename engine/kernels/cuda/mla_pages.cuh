#pragma once

#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mla_widen.cuh"

// How queries and pages come into the shared memory of mla_decode_wgmma.
namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int boxes = mla_boxes;
constexpr int tile_bytes = boxes * box_bytes;

struct Barriers {
  simt::Barrier q_full;
  simt::Barrier q_empty;
  simt::Barrier kv_full[buffers];
  simt::Barrier kv_empty[buffers];
};

// Those of them that whoever widens pages deals with.
struct WidenedStages {
  Barriers* barriers;
  simt::Barrier* q_full = &barriers->q_full;
  simt::Barrier* q_empty = &barriers->q_empty;

  DSB_DEVICE void take(const Turn& turn) const {
    simt::wait_barrier(&barriers->kv_empty[turn.buffer], turn.phase ^ 1);
  }
  DSB_DEVICE void give(const Turn& turn) const { simt::arrive(&barriers->kv_full[turn.buffer]); }
};

DSB_DEVICE void fetch_pieces(const MlaDecodeArgs& args, const int* first, const TensorMap& q_map,
                             const TensorMap& cache_map, unsigned char* q_tile, unsigned char* kv_tiles,
                             Barriers* barriers) {
  const int rows = args.queries * args.heads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(args.requests, first, [&](int request, const KvPiece& piece, int) {
    simt::wait_barrier(&barriers->q_empty, q_phase ^ 1);
    q_phase ^= 1;
    fetch_queries<boxes>(q_map, q_tile, &barriers->q_full, request * rows + simt::block_y() * tile_rows);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      simt::wait_barrier(&barriers->kv_empty[turn.buffer], turn.phase ^ 1);
      simt::expect_bytes(&barriers->kv_full[turn.buffer], tile_bytes);
      const int page = args.block_table[static_cast<long long>(request) * args.max_blocks + b];
      DSB_NO_UNROLL
      for (int box = 0; box < boxes; ++box)
        simt::copy_box(kv_tiles + turn.buffer * tile_bytes + box * box_bytes, cache_map,
                       &barriers->kv_full[turn.buffer], box * 128, page * mla_block);
    }
  });
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
