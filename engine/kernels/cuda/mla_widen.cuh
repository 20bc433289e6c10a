#pragma once

#include "engine/kernels/cuda/mla_fp8.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/swizzle.h"

// Entries of an FP8 cache as tiles of bf16.
namespace dsbench::engine::kernels::cuda {

namespace {

// A quarter of a page to its place in the tile of a page. Every register that is done with takes what comes
// there next, from the entries `ahead`.
template <class Entries>
DSB_DEVICE void exchange_quarter(CacheQuarter& quarter, unsigned char* kv, int row0, const Entries& ahead,
                                 int thread) {
  const int piece = CacheQuarter::piece(thread);
  unsigned char* const codes = kv + row0 * 128 + piece / 4 * box_bytes;
  DSB_UNROLL
  for (int i = 0; i < CacheQuarter::codes_of_thread; ++i) {
    Bytes16 wide[2];
    widen_codes(quarter.codes[i], quarter.scale[i], wide);
    quarter.load_codes(i, ahead, thread);
    const int further = CacheQuarter::more_entries(i) * 128 + CacheQuarter::more_pieces(i) / 4 * box_bytes;
    DSB_UNROLL
    for (int h = 0; h < 2; ++h)
      simt::store16(codes + swizzled_offset(CacheQuarter::entry(thread), piece % 4 * 2 + h, 8) + further,
                    wide[h]);
  }
  unsigned char* const rope =
      kv + row0 * 128 + (mla_boxes - 1) * box_bytes +
      swizzled_offset(CacheQuarter::rope_entry(thread), CacheQuarter::rope_piece(thread), 8);
  DSB_UNROLL
  for (int i = 0; i < CacheQuarter::ropes_of_thread; ++i) {
    simt::store16(rope + CacheQuarter::more_rope_entries(i) * 128, quarter.rope[i]);
    quarter.load_rope(i, ahead, thread);
  }
}

// Pages of an FP8 cache into a ring of tiles, by a whole warpgroup: they go through registers, a quarter of a
// page ahead, and are asked for in the second-level cache before that. Slots beyond the length become zeros
// here. Stages: take(turn) waits until the tile may be written, give(turn), by one thread of each warp, says
// that it was.
template <class Stages>
DSB_DEVICE void widen_pieces(const MlaDecodeArgs& args, const int* first, const TensorMap& q_map,
                             unsigned char* q_tile, unsigned char* kv_tiles, const Stages& stages) {
  constexpr int pages_ahead = 2;
  constexpr int quarter_bytes = CacheQuarter::entries * mla_fp8_bytes;
  const int rows = args.queries * args.heads;
  const int mine = simt::thread() % group_threads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(args.requests, first, [&](int request, const KvPiece& piece, int) {
    if (mine == 0) {
      simt::wait_barrier(stages.q_empty, q_phase ^ 1);
      fetch_queries<mla_boxes>(q_map, q_tile, stages.q_full, request * rows + simt::block_y() * tile_rows);
    }
    q_phase ^= 1;
    const auto page = [&](int b) {
      return static_cast<const unsigned char*>(args.cache) +
             static_cast<long long>(args.block_table[static_cast<long long>(request) * args.max_blocks + b]) *
                 (mla_block * mla_fp8_bytes);
    };
    // Entries of the piece that are left from this page on.
    const int length = args.lengths[request];
    int left = (length < piece.end * mla_block ? length : piece.end * mla_block) - piece.begin * mla_block;
    // Of the page that is so many further.
    const auto ask = [&](int b, int further) {
      const int there = left - further * mla_block;
      if (mine == 0 && there > 0)
        simt::prefetch(page(b + further), (there < mla_block ? there : mla_block) * mla_fp8_bytes);
    };
    const unsigned char* from = page(piece.begin);
    for (int further = 1; further < pages_ahead; ++further) ask(piece.begin, further);
    CacheQuarter quarter;
    quarter.load(EntriesInOrder{from, left}, mine);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      ask(b, pages_ahead);
      const unsigned char* const after = b + 1 < piece.end ? page(b + 1) : from;
      unsigned char* const kv = kv_tiles + turn.buffer * (mla_boxes * box_bytes);
      stages.take(turn);
      DSB_NO_UNROLL
      for (int row = 0; row < mla_block; row += CacheQuarter::entries) {
        left -= CacheQuarter::entries;
        from += quarter_bytes;
        if (row == mla_block - CacheQuarter::entries) from = after;
        exchange_quarter(quarter, kv, row, EntriesInOrder{from, left}, mine);
      }
      simt::fence_async();
      simt::sync_warp();
      if (mine % 32 == 0) stages.give(turn);
    }
  });
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
