#pragma once

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/mla_named.cuh"
#include "engine/kernels/cuda/mla_seesaw.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"

// How a warpgroup brings entries that are named to those who take turns (mla_seesaw.cuh). Besides what they
// ask for, the Source has
//
//   using Quarter;                  // fp8: a quarter of a page, as CacheQuarter of mla_fp8.cuh
//   MlaRows rows() const;
//   Context of(int request) const;
//
//   struct Context {
//     int id_at(int at) const;                   // of the entries that it sees; below 0: none
//     const unsigned char* entry(int id) const;  // bf16
//     auto entries(const PageIds& ids, int quarter, int thread) const;  // fp8: what Quarter::load takes
//     void prefetch(int id) const;               // fp8
//   };
namespace dsbench::engine::kernels::cuda {

namespace {

template <class Context>
DSB_DEVICE PageIds ids_of(const Context& context, int page) {
  return PageIds::load([&](int row) { return context.id_at(page * mla_block + row); });
}

// What both ways begin a piece with.
template <class Source>
DSB_DEVICE void bring_queries(const Source& source, const TensorMap& q_map, const SeesawRoom<Source>& room,
                              int request, int& q_phase) {
  if (simt::thread() % group_threads == 0) {
    simt::wait_barrier(&room.barriers->q_empty, q_phase ^ 1);
    fetch_queries<Source::boxes>(q_map, room.q, &room.barriers->q_full,
                                 request * source.rows().heads + simt::block_y() * tile_rows);
  }
  q_phase ^= 1;
}

// Entries as they are. Ids come a page ahead.
template <class Source>
DSB_DEVICE void gather_named(const Source& source, const int* first, const TensorMap& q_map,
                             const SeesawRoom<Source>& room) {
  SeesawBarriers& barriers = *room.barriers;
  const bool marks = simt::thread() % group_threads == 0;
  Turn turn;
  int q_phase = 0;
  for_each_piece(source.rows().requests, first, [&](int request, const KvPiece& piece, int) {
    bring_queries(source, q_map, room, request, q_phase);
    const auto context = source.of(request);
    PageIds ids = ids_of(context, piece.begin);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      const auto rows = GatheredRows::of(ids, [&](int id) { return context.entry(id); });
      const int buffer = simt::uniform(turn.buffer);
      DSB_UNROLL
      for (int part = 0; part < room.parts; ++part) {
        simt::Barrier* const full = &barriers.full[buffer][part];
        simt::wait_barrier(&barriers.empty[buffer][part], turn.phase ^ 1);
        if (part == 0) {
          ids.mark(room.seen + buffer * 2, marks);
          if (marks) simt::arrive(full);
          ids = ids_of(context, b + 1);
        }
        rows.copy(room.page(buffer), room.first_box(part), room.end_box(part));
        simt::arrive_with_copies(full);
      }
    }
  });
}

// Entries of an FP8 cache made bf16, as widen_pieces does with pages: through registers, a quarter of a page
// ahead, and asked for in the second-level cache before that. Ids come a page ahead, or where they are only
// to be asked for three.
template <class Source>
DSB_DEVICE void widen_named(const Source& source, const int* first, const TensorMap& q_map,
                            const SeesawRoom<Source>& room) {
  constexpr int pages_ahead = 2;
  constexpr int quarters = 4;
  SeesawBarriers& barriers = *room.barriers;
  const int mine = simt::thread() % group_threads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(source.rows().requests, first, [&](int request, const KvPiece& piece, int) {
    bring_queries(source, q_map, room, request, q_phase);
    const auto context = source.of(request);
    const auto asked = [&](int page) {
      return page < piece.end && mine < mla_block ? context.id_at(page * mla_block + mine) : -1;
    };
    const auto ask = [&](int id) {
      if (id >= 0) context.prefetch(id);
    };
    PageIds ids = ids_of(context, piece.begin);
    for (int further = 1; further < pages_ahead; ++further) ask(asked(piece.begin + further));
    int far = asked(piece.begin + pages_ahead);
    typename Source::Quarter quarter;
    quarter.load(context.entries(ids, 0, mine), mine);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      ask(far);
      far = asked(b + 1 + pages_ahead);
      const PageIds next = b + 1 < piece.end ? ids_of(context, b + 1) : PageIds{{-1, -1}};
      DSB_UNROLL
      for (int part = 0; part < room.parts; ++part)
        simt::wait_barrier(&barriers.empty[turn.buffer][part], turn.phase ^ 1);
      ids.mark(room.seen + turn.buffer * 2, mine == 0);
      DSB_NO_UNROLL
      for (int q = 1; q <= quarters; ++q) {
        if (q == quarters) ids = next;
        exchange_quarter(quarter, room.page(turn.buffer), (q - 1) * (mla_block / quarters),
                         context.entries(ids, q % quarters, mine), mine);
      }
      simt::fence_async();
      simt::sync_warp();
      DSB_UNROLL
      for (int part = 0; part < room.parts && mine % 32 == 0; ++part)
        simt::arrive(&barriers.full[turn.buffer][part]);
    }
  });
}

// Arrivals at a part of a page: of each thread's copies, and with the first part of what is there of the
// page; or of each warp.
template <bool kFp8>
DSB_DEVICE constexpr int named_arrivals(int part) {
  return kFp8 ? group_threads / 32 : group_threads + (part == 0 ? 1 : 0);
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
