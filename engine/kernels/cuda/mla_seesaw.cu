#include "engine/kernels/cuda/mla_seesaw.h"

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_seesaw.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mla_widen.cuh"
#include "engine/kernels/cuda/mla_workspace.h"

namespace dsbench::engine::kernels::cuda {

namespace {

template <bool kFp8>
struct PagedCache {
  static constexpr int boxes = mla_boxes;
  static constexpr float score_scale = 0.07216878364870322056f;  // 192^−0.5
  static constexpr bool plain = true;
  static constexpr bool by_threads = false;
  static constexpr bool named = false;
  static constexpr bool leaves_tail = !kFp8;
  static constexpr int fetching = kFp8 ? 88 : 40;
  static constexpr int attending = kFp8 ? 208 : 232;

  const MlaDecodeArgs& args;

  DSB_DEVICE static constexpr int arrivals(int /*part*/) { return kFp8 ? group_threads / 32 : 1; }
  [[nodiscard]] DSB_DEVICE int length(int request) const { return args.lengths[request]; }
};

template <bool kFp8>
using Room = SeesawRoom<PagedCache<kFp8>>;

// By one thread.
DSB_DEVICE void fetch_pages(const MlaDecodeArgs& args, const int* first, const TensorMap& q_map,
                            const TensorMap& cache_map, const Room<false>& room) {
  SeesawBarriers& barriers = *room.barriers;
  const int rows = args.queries * args.heads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(args.requests, first, [&](int request, const KvPiece& piece, int) {
    simt::wait_barrier(&barriers.q_empty, q_phase ^ 1);
    q_phase ^= 1;
    fetch_queries<mla_boxes>(q_map, room.q, &barriers.q_full, request * rows + simt::block_y() * tile_rows);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      const int page = args.block_table[static_cast<long long>(request) * args.max_blocks + b];
      DSB_NO_UNROLL
      for (int part = 0; part < room.parts; ++part) {
        simt::Barrier* const full = &barriers.full[turn.buffer][part];
        simt::wait_barrier(&barriers.empty[turn.buffer][part], turn.phase ^ 1);
        simt::expect_bytes(full, (room.end_box(part) - room.first_box(part)) * box_bytes);
        DSB_NO_UNROLL
        for (int box = room.first_box(part); box < room.end_box(part); ++box)
          simt::copy_box(room.page(turn.buffer) + box * box_bytes, cache_map, full, box * 128,
                         page * mla_block);
      }
    }
  });
}

// What the parts of a page are to who widens pages.
struct WidenedStages {
  SeesawBarriers* barriers;
  simt::Barrier* q_full = &barriers->q_full;
  simt::Barrier* q_empty = &barriers->q_empty;

  DSB_DEVICE void take(const Turn& turn) const {
    for (simt::Barrier& part : barriers->empty[turn.buffer]) simt::wait_barrier(&part, turn.phase ^ 1);
  }
  DSB_DEVICE void give(const Turn& turn) const {
    for (simt::Barrier& part : barriers->full[turn.buffer]) simt::arrive(&part);
  }
};

// block_x is the part of the cache, block_y the tile of rows.
template <bool kFp8>
DSB_KERNEL(block_threads, 1)
mla_seesaw_kernel(const DSB_GRID_CONSTANT TensorMap q_map, const DSB_GRID_CONSTANT TensorMap cache_map,
                  const DSB_GRID_CONSTANT MlaDecodeArgs args, const int* first, MlaPartials partials) {
  if (simt::thread() == 0) {
    simt::prefetch_map(q_map);
    if constexpr (!kFp8) simt::prefetch_map(cache_map);
  }
  seesaw_part(PagedCache<kFp8>{args}, mla_rows(args), first, partials, [&](const Room<kFp8>& room) {
    if constexpr (kFp8)
      widen_pieces(args, first, q_map, room.q, room.kv, WidenedStages{room.barriers});
    else if (simt::thread() % group_threads == 0)
      fetch_pages(args, first, q_map, cache_map, room);
  });
}

}  // namespace

Status mla_decode_seesaw(const WgmmaMla& mla, void* stream) {
  const MlaDecodeArgs& args = mla.args;
  if (args.requests == 0 || args.queries == 0 || args.heads == 0) return 0;
  const MlaPartials partials = mla_partials(args, mla_workspace(args, mla.plan));
  int* const first = static_cast<int*>(args.workspace);
  Status status = mla_first_blocks(args, first, stream);
  if (status != 0) return status;
  const LaunchShape shape{{static_cast<unsigned>(mla.plan.parts), static_cast<unsigned>(mla.plan.row_blocks)},
                          block_threads,
                          args.fp8_cache ? Room<true>::bytes : Room<false>::bytes,
                          true};
  const int* const known = first;
  status = launch(args.fp8_cache ? &mla_seesaw_kernel<true> : &mla_seesaw_kernel<false>, shape, stream, mla.q,
                  mla.cache, args, known, partials);
  return status != 0 ? status : mla_combine(args, known, partials, mla.plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
