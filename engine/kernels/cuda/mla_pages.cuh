#pragma once

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/mla_decode_wgmma.h"
#include "engine/kernels/cuda/mla_fp8.cuh"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/swizzle.h"

// How mla_decode by wgmma goes through a part of the cache, and how queries and pages come into shared
// memory: nine boxes of 64 rows and 64 columns each.
namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int tile_rows = 64;
constexpr int consumers = 2;
constexpr int group_threads = 128;
constexpr int block_threads = (consumers + 1) * group_threads;
constexpr int consumer_threads = consumers * group_threads;
constexpr int box_columns = 64;  // 128 bytes of bf16
constexpr int boxes = mla_width / box_columns;
constexpr int box_bytes = 64 * 128;  // 64 rows of queries or of a page
constexpr int tile_bytes = boxes * box_bytes;
constexpr int buffers = mla_wgmma_pages;

struct Barriers {
  simt::Barrier q_full;
  simt::Barrier q_empty;
  simt::Barrier kv_full[buffers];
  simt::Barrier kv_empty[buffers];
};

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
DSB_DEVICE void for_each_piece(const MlaDecodeArgs& args, const int* first, const Work& work) {
  const int per_part = part_blocks(first[args.requests], simt::grid_x());
  const int begin = simt::block_x() * per_part;
  DSB_NO_UNROLL
  for (int r = request_at(first, args.requests, begin); r < args.requests && first[r] < begin + per_part;
       ++r) {
    const int blocks = first[r + 1] - first[r];
    if (blocks > 0) work(r, piece_of(simt::block_x(), per_part, first[r], blocks), blocks);
  }
}

// Rows beyond the request are the next one's: they only reach rows that are not written.
DSB_DEVICE void fetch_queries(const TensorMap& q_map, unsigned char* q_tile, simt::Barrier* full, int row) {
  simt::expect_bytes(full, tile_bytes);
  DSB_NO_UNROLL
  for (int box = 0; box < boxes; ++box) simt::copy_box(q_tile + box * box_bytes, q_map, full, box * 128, row);
}

DSB_DEVICE void fetch_pieces(const MlaDecodeArgs& args, const int* first, const TensorMap& q_map,
                             const TensorMap& cache_map, unsigned char* q_tile, unsigned char* kv_tiles,
                             Barriers* barriers) {
  const int rows = args.queries * args.heads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(args, first, [&](int request, const KvPiece& piece, int) {
    simt::wait_barrier(&barriers->q_empty, q_phase ^ 1);
    q_phase ^= 1;
    fetch_queries(q_map, q_tile, &barriers->q_full, request * rows + simt::block_y() * tile_rows);
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

// A quarter of a page to its place in the tile of a page. Every register that is done with takes what comes
// there next, from `ahead`, of which `valid` entries may be read.
DSB_DEVICE void exchange_quarter(CacheQuarter& quarter, unsigned char* kv, int row0,
                                 const unsigned char* ahead, int valid, int thread) {
  const int piece = CacheQuarter::piece(thread);
  unsigned char* const codes = kv + row0 * 128 + piece / 4 * box_bytes;
  DSB_UNROLL
  for (int i = 0; i < CacheQuarter::codes_of_thread; ++i) {
    Bytes16 wide[2];
    widen_codes(quarter.codes[i], quarter.scale[i], wide);
    quarter.load_codes(i, ahead, valid, thread);
    const int further = CacheQuarter::more_entries(i) * 128 + CacheQuarter::more_pieces(i) / 4 * box_bytes;
    DSB_UNROLL
    for (int h = 0; h < 2; ++h)
      simt::store16(codes + swizzled_offset(CacheQuarter::entry(thread), piece % 4 * 2 + h, 8) + further,
                    wide[h]);
  }
  unsigned char* const rope =
      kv + row0 * 128 + (boxes - 1) * box_bytes +
      swizzled_offset(CacheQuarter::rope_entry(thread), CacheQuarter::rope_piece(thread), 8);
  DSB_UNROLL
  for (int i = 0; i < CacheQuarter::ropes_of_thread; ++i) {
    simt::store16(rope + CacheQuarter::more_rope_entries(i) * 128, quarter.rope[i]);
    quarter.load_rope(i, ahead, valid, thread);
  }
}

// The same from an FP8 cache, by a whole warpgroup: pages go through registers, a quarter of a page ahead,
// and are asked for in the second-level cache before that. Slots beyond the length become zeros here.
DSB_DEVICE void widen_pieces(const MlaDecodeArgs& args, const int* first, const TensorMap& q_map,
                             unsigned char* q_tile, unsigned char* kv_tiles, Barriers* barriers) {
  constexpr int pages_ahead = 2;
  constexpr int quarter_bytes = CacheQuarter::entries * mla_fp8_bytes;
  const int rows = args.queries * args.heads;
  const int mine = simt::thread() % group_threads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(args, first, [&](int request, const KvPiece& piece, int) {
    if (mine == 0) {
      simt::wait_barrier(&barriers->q_empty, q_phase ^ 1);
      fetch_queries(q_map, q_tile, &barriers->q_full, request * rows + simt::block_y() * tile_rows);
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
    DSB_UNROLL
    for (int i = 0; i < CacheQuarter::codes_of_thread; ++i) quarter.load_codes(i, from, left, mine);
    DSB_UNROLL
    for (int i = 0; i < CacheQuarter::ropes_of_thread; ++i) quarter.load_rope(i, from, left, mine);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      ask(b, pages_ahead);
      const unsigned char* const after = b + 1 < piece.end ? page(b + 1) : from;
      unsigned char* const kv = kv_tiles + turn.buffer * tile_bytes;
      simt::wait_barrier(&barriers->kv_empty[turn.buffer], turn.phase ^ 1);
      DSB_NO_UNROLL
      for (int row = 0; row < mla_block; row += CacheQuarter::entries) {
        left -= CacheQuarter::entries;
        from += quarter_bytes;
        if (row == mla_block - CacheQuarter::entries) from = after;
        exchange_quarter(quarter, kv, row, from, left, mine);
      }
      simt::fence_async();
      simt::sync_warp();
      if (mine % 32 == 0) simt::arrive(&barriers->kv_full[turn.buffer]);
    }
  });
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
