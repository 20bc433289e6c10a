#include "engine/kernels/cuda/dsa.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/radix.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_scan.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int indexer_threads = 256;
constexpr int tile_positions = 128;  // 16 to a warp
constexpr int row_chunks = indexer_dim / 16;
constexpr int stages = 4;
constexpr int q_bytes = indexer_heads * indexer_dim;
constexpr int k_bytes = tile_positions * indexer_dim;
constexpr int head_tiles = indexer_heads / 16;

// block_y is the request; the blocks of a request take tiles of positions by turns. Heads are the rows of the
// product, so that relu, weight and sum over heads stay within a warp.
DSB_KERNEL(indexer_threads, 2)
dsa_indexer_kernel(IndexerArgs args) {
  unsigned char* const q_tile = simt::shared();
  unsigned char* const ring = q_tile + q_bytes;
  const int lane = simt::thread() % 32;
  const int column = simt::thread() / 32 * 16;
  const int request = simt::block_y();
  const int length = args.lengths[request];
  const int tiles = ceil_div(length, tile_positions);
  const auto* q = static_cast<const unsigned char*>(args.q) + static_cast<long long>(request) * q_bytes;
  const auto* k = static_cast<const unsigned char*>(args.k) +
                  static_cast<long long>(request) * args.context * indexer_dim;
  const int chunk = simt::thread() % row_chunks;
  const int chunk_row = simt::thread() / row_chunks;

  const auto fetch = [&](int turn) {
    const int tile = simt::block_x() + turn * simt::grid_x();
    if (tile < tiles) {
      DSB_UNROLL
      for (int i = 0; i < tile_positions * row_chunks / indexer_threads; ++i) {
        const int row = i * (indexer_threads / row_chunks) + chunk_row;
        const int at = tile * tile_positions + row;
        simt::copy_async(ring + turn % stages * k_bytes + swizzled_offset(row, chunk, row_chunks),
                         k + static_cast<long long>(at < length ? at : 0) * indexer_dim + chunk * 16,
                         at < length);
      }
    }
    simt::commit_copies();
  };
  DSB_UNROLL
  for (int i = 0; i < indexer_heads * row_chunks / indexer_threads; ++i) {
    const int row = i * (indexer_threads / row_chunks) + chunk_row;
    simt::copy_async(q_tile + swizzled_offset(row, chunk, row_chunks), q + row * indexer_dim + chunk * 16,
                     true);
  }
  for (int i = 0; i < stages - 1; ++i) fetch(i);
  float weight[head_tiles][2];
  DSB_UNROLL
  for (int i = 0; i < head_tiles; ++i) {
    DSB_UNROLL
    for (int h = 0; h < 2; ++h)
      weight[i][h] = args.weights[request * indexer_heads + i * 16 + c_row(lane, 2 * h)];
  }

  DSB_NO_UNROLL
  for (int turn = 0; simt::block_x() + turn * simt::grid_x() < tiles; ++turn) {
    simt::wait_copies<stages - 2>();
    simt::sync_block();
    fetch(turn + stages - 1);
    const unsigned char* k_tile = ring + turn % stages * k_bytes;
    float sum[head_tiles][2][4] = {};
    DSB_NO_UNROLL
    for (int step = 0; step < indexer_dim / 32; ++step) {
      std::uint32_t b[4];
      const Piece pb = b_piece(lane);
      simt::load_matrix(b, k_tile + swizzled_offset(column + pb.row, step * 2 + pb.chunk, row_chunks));
      DSB_UNROLL
      for (int i = 0; i < head_tiles; ++i) {
        std::uint32_t a[4];
        const Piece pa = a_piece(lane);
        simt::load_matrix(a, q_tile + swizzled_offset(i * 16 + pa.row, step * 2 + pa.chunk, row_chunks));
        simt::mma_e4m3(sum[i][0], a, b[0], b[1]);
        simt::mma_e4m3(sum[i][1], a, b[2], b[3]);
      }
    }
    const int tile = simt::block_x() + turn * simt::grid_x();
    DSB_UNROLL
    for (int j = 0; j < 2; ++j) {
      DSB_UNROLL
      for (int c = 0; c < 2; ++c) {
        float logit = 0;
        DSB_UNROLL
        for (int i = 0; i < head_tiles; ++i)
          logit += weight[i][0] * simt::larger(sum[i][j][c], 0.0f) +
                   weight[i][1] * simt::larger(sum[i][j][2 + c], 0.0f);
        // Lanes l, l+4, … hold the other heads of the same position.
        logit += simt::shuffle_xor(logit, 4);
        logit += simt::shuffle_xor(logit, 8);
        logit += simt::shuffle_xor(logit, 16);
        const int at = tile * tile_positions + column + j * 8 + c_col(lane, c);
        if (lane < 4 && at < length) {
          const long long to = static_cast<long long>(request) * args.context + at;
          args.logits[to] = args.k_scale[to] * logit;
        }
      }
    }
  }
  simt::wait_copies<0>();
}

constexpr int topk_threads = 1024;
constexpr int topk_warps = topk_threads / 32;

// A block to a row. Three passes of a histogram find the key of the last one that is taken; a fourth writes
// the ids in order.
DSB_KERNEL(topk_threads, 1)
dsa_topk_kernel(TopkArgs args) {
  int* const histogram = reinterpret_cast<int*>(simt::shared());  // from the largest digit down
  int* const before = histogram + radix_bins;  // [radix_bins + 1] how many have a larger digit
  int* const found = before + radix_bins + 1;  // [1] the digit at which the count is reached
  int* const counts = found + 1;               // [2][topk_warps]
  const int lane = simt::thread() % 32;
  const int warp = simt::thread() / 32;
  const float* logits = args.logits + static_cast<long long>(simt::block_x()) * args.context;
  std::int32_t* ids = args.ids + static_cast<long long>(simt::block_x()) * args.top_k;
  const int length = args.lengths[simt::block_x()];

  std::uint32_t last = 0;  // the settled bits of the key of the last that is taken
  int equal = args.top_k;  // how many of that key are taken
  if (length > args.top_k) {
    for (int pass = 0; pass < radix_passes; ++pass) {
      const RadixDigit digit = radix_digit(pass);
      const int bins = static_cast<int>(digit.mask) + 1;
      for (int i = simt::thread(); i < bins; i += topk_threads) histogram[i] = 0;
      simt::sync_block();
      for (int i = simt::thread(); i < length; i += topk_threads) {
        const std::uint32_t key = ordered_key(simt::float_bits(logits[i]));
        if ((key & settled_bits(pass)) == last)
          simt::add_shared(&histogram[bins - 1 - static_cast<int>((key >> digit.shift) & digit.mask)], 1);
      }
      simt::sync_block();
      if (warp == 0) prefix_of(before, bins, [&](int i) { return histogram[i]; });
      simt::sync_block();
      for (int i = simt::thread(); i < bins; i += topk_threads) {
        if (before[i] < equal && before[i + 1] >= equal) found[0] = i;  // one bin, so one thread
      }
      simt::sync_block();
      const int bin = found[0];
      equal -= before[bin];
      last |= static_cast<std::uint32_t>(bins - 1 - bin) << digit.shift;
      simt::sync_block();
    }
  }

  int written = 0;
  int equal_seen = 0;
  for (int at = 0; at < length; at += topk_threads) {
    const int i = at + simt::thread();
    const std::uint32_t key = i < length ? ordered_key(simt::float_bits(logits[i])) : 0;
    const bool all = length <= args.top_k;
    const bool above = i < length && (all || key > last);
    const bool same = i < length && !all && key == last;
    const std::uint32_t above_mask = simt::ballot(above);
    const std::uint32_t same_mask = simt::ballot(same);
    if (lane == 0) {
      counts[warp] = simt::count_bits(above_mask);
      counts[topk_warps + warp] = simt::count_bits(same_mask);
    }
    simt::sync_block();
    const int above_to = scan_of_warp(counts[lane]);
    const int same_to = scan_of_warp(counts[topk_warps + lane]);
    const int above_before = warp > 0 ? simt::shuffle(above_to, warp - 1) : 0;
    const int same_before = warp > 0 ? simt::shuffle(same_to, warp - 1) : 0;
    const std::uint32_t lower = (1u << lane) - 1u;
    const int above_rank = above_before + simt::count_bits(above_mask & lower);
    const int same_rank = equal_seen + same_before + simt::count_bits(same_mask & lower);
    // Taken before this one: those above, and those equal as far as they are taken.
    const int taken_equal = same_rank < equal ? same_rank : equal;
    const int equal_at_start = equal_seen < equal ? equal_seen : equal;
    const int to = written + above_rank + taken_equal - equal_at_start;
    if (above || (same && same_rank < equal)) ids[to] = i;
    const int equal_end = equal_seen + simt::shuffle(same_to, 31);
    written += simt::shuffle(above_to, 31) + (equal_end < equal ? equal_end : equal) - equal_at_start;
    equal_seen = equal_end;
    simt::sync_block();
  }
  for (int i = written + simt::thread(); i < args.top_k; i += topk_threads) ids[i] = -1;
}

}  // namespace

Status dsa_indexer(const IndexerArgs& args, void* stream) {
  if (args.requests == 0 || args.context == 0) return 0;
  if (args.requests > 65535) return invalid_value;
  const int tiles = ceil_div(args.context, tile_positions);
  const int room = ceil_div(2 * device_shape().processors, args.requests);
  const LaunchShape shape{
      {static_cast<unsigned>(tiles < room ? tiles : room), static_cast<unsigned>(args.requests)},
      indexer_threads,
      q_bytes + stages * k_bytes};
  return launch(&dsa_indexer_kernel, shape, stream, args);
}

Status dsa_topk(const TopkArgs& args, void* stream) {
  if (args.rows == 0) return 0;
  const std::size_t words = radix_bins + radix_bins + 1 + 1 + 2 * topk_warps;
  return launch(&dsa_topk_kernel,
                LaunchShape{{static_cast<unsigned>(args.rows), 1}, topk_threads, words * sizeof(int)}, stream,
                args);
}

}  // namespace dsbench::engine::kernels::cuda
