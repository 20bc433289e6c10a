#include "engine/kernels/cuda/mla_prefill.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_columns.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int block_threads = 128;  // a warp to 16 queries
constexpr int tile = 64;            // queries of a block, and keys at a time
constexpr int qk_width = 192;
constexpr int v_width = 128;
constexpr int k_chunks = qk_width * 2 / 16;
constexpr int v_chunks = v_width * 2 / 16;
constexpr int k_bytes = tile * k_chunks * 16;
constexpr int v_bytes = tile * v_chunks * 16;
constexpr float log2_e = 1.44269504088896340736f;
constexpr float score_scale = 0.07216878364870322056f;  // 192^−0.5

// Starts the copies of `tile` rows; those from `rows` on become zeros.
template <int kChunks>
DSB_DEVICE void fetch_rows(unsigned char* to, const Bf16* from, long long stride, int rows) {
  DSB_UNROLL_4
  for (int i = 0; i < tile * kChunks / block_threads; ++i) {
    const int c = i * block_threads + simt::thread();
    const int row = c / kChunks;
    const int chunk = c % kChunks;
    const bool valid = row < rows;
    simt::copy_async(to + swizzled_offset(row, chunk, kChunks), from + (valid ? row * stride : 0) + chunk * 8,
                     valid);
  }
}

// block_y is the head. The last queries, which see most, come first.
DSB_KERNEL(block_threads, 2)
mla_prefill_kernel(MlaPrefillArgs args) {
  unsigned char* const q_tile = simt::shared();
  unsigned char* const k_tiles = q_tile + k_bytes;
  unsigned char* const v_tiles = k_tiles + 2 * k_bytes;
  const int lane = simt::thread() % 32;
  const int warp_row = simt::thread() / 32 * 16;
  const int head = simt::block_y();
  const int query0 = (simt::grid_x() - 1 - simt::block_x()) * tile;
  const long long k_stride = static_cast<long long>(args.heads) * qk_width;
  const long long v_stride = static_cast<long long>(args.heads) * v_width;
  const Bf16* q = static_cast<const Bf16*>(args.q) + head * qk_width;
  const Bf16* k = static_cast<const Bf16*>(args.k) + head * qk_width;
  const Bf16* v = static_cast<const Bf16*>(args.v) + head * v_width;
  const int first_seen = args.context - args.queries + query0 + 1;  // keys that the block's first query sees
  const int most_seen = first_seen + tile - 1 < args.context ? first_seen + tile - 1 : args.context;
  const int tiles = most_seen > 0 ? ceil_div(most_seen, tile) : 0;

  const auto fetch_kv = [&](int at) {
    if (at < tiles) {
      fetch_rows<k_chunks>(k_tiles + at % 2 * k_bytes, k + at * tile * k_stride, k_stride,
                           args.context - at * tile);
      fetch_rows<v_chunks>(v_tiles + at % 2 * v_bytes, v + at * tile * v_stride, v_stride,
                           args.context - at * tile);
    }
    simt::commit_copies();
  };
  fetch_rows<k_chunks>(q_tile, q + query0 * k_stride, k_stride, args.queries - query0);
  fetch_kv(0);

  float top[2] = {-simt::infinity(), -simt::infinity()};
  float sum[2] = {};
  float o[v_width / 8][4] = {};
  DSB_NO_UNROLL
  for (int at = 0; at < tiles; ++at) {
    simt::wait_copies<0>();
    simt::sync_block();
    fetch_kv(at + 1);
    const unsigned char* k_tile = k_tiles + at % 2 * k_bytes;
    const unsigned char* v_tile = v_tiles + at % 2 * v_bytes;
    float score[tile / 8][4] = {};
    DSB_NO_UNROLL
    for (int step = 0; step < qk_width / 16; ++step) {
      std::uint32_t a[4];
      const Piece pa = a_piece(lane);
      simt::load_matrix(a, q_tile + swizzled_offset(warp_row + pa.row, step * 2 + pa.chunk, k_chunks));
      DSB_UNROLL
      for (int j = 0; j < tile / 8; j += 2) {
        std::uint32_t b[4];
        const Piece pb = b_piece(lane);
        simt::load_matrix(b, k_tile + swizzled_offset(j * 8 + pb.row, step * 2 + pb.chunk, k_chunks));
        simt::mma_bf16(score[j], a, b[0], b[1]);
        simt::mma_bf16(score[j + 1], a, b[2], b[3]);
      }
    }
    float base[2];
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int limit = first_seen + warp_row + c_row(lane, 2 * h) - at * tile;
      float largest = top[h];
      DSB_UNROLL
      for (int j = 0; j < tile / 8; ++j) {
        DSB_UNROLL
        for (int c = 0; c < 2; ++c) {
          float& s = score[j][2 * h + c];
          s = j * 8 + c_col(lane, c) < limit ? s * (score_scale * log2_e) : -simt::infinity();
          largest = simt::larger(largest, s);
        }
      }
      largest = largest_over(largest, 4);
      base[h] = largest == -simt::infinity() ? 0.0f : largest;
      const float shrink = simt::exp_2(top[h] - base[h]);
      top[h] = largest;
      sum[h] *= shrink;
      DSB_UNROLL
      for (int j = 0; j < v_width / 8; ++j) {
        o[j][2 * h] *= shrink;
        o[j][2 * h + 1] *= shrink;
      }
    }
    DSB_UNROLL
    for (int j = 0; j < tile / 8; ++j) {
      DSB_UNROLL
      for (int e = 0; e < 4; ++e) score[j][e] = simt::exp_2(score[j][e] - base[e / 2]);
    }
    // A query that sees few keys gets a second pass with what rounding to bf16 cut off (see mla_decode.cu).
    const int passes = first_seen <= tile ? 2 : 1;
    DSB_NO_UNROLL
    for (int pass = 0; pass < passes; ++pass) {
      DSB_UNROLL
      for (int step = 0; step < tile / 16; ++step) {
        // Two tiles of 8 columns of the scores are, register by register, the A operand of the next product.
        std::uint32_t a[4];
        DSB_UNROLL
        for (int r = 0; r < 4; ++r) {
          float& s0 = score[2 * step + r / 2][r % 2 * 2];
          float& s1 = score[2 * step + r / 2][r % 2 * 2 + 1];
          a[r] = simt::to_bf16x2(s0, s1);
          const float p0 = simt::bits_float(a[r] << 16);
          const float p1 = simt::bits_float(a[r] & 0xffff0000u);
          sum[r % 2] += p0 + p1;
          s0 -= p0;
          s1 -= p1;
        }
        DSB_UNROLL
        for (int j = 0; j < v_width / 8; j += 2) {
          std::uint32_t b[4];
          const Piece pv = bt_piece(lane);
          simt::load_matrix_trans(b, v_tile + swizzled_offset(step * 16 + pv.row, j + pv.chunk, v_chunks));
          simt::mma_bf16(o[j], a, b[0], b[1]);
          simt::mma_bf16(o[j + 1], a, b[2], b[3]);
        }
      }
    }
  }
  simt::wait_copies<0>();
  DSB_UNROLL
  for (int h = 0; h < 2; ++h) {
    const float all = sum_over(sum[h], 4);
    const int query = query0 + warp_row + c_row(lane, 2 * h);
    const float inverse = all > 0 ? simt::divide(1.0f, all) : 0.0f;
    Bf16* const to =
        static_cast<Bf16*>(args.o) + (static_cast<long long>(query) * args.heads + head) * v_width;
    DSB_UNROLL
    for (int j = 0; j < v_width / 8; j += 2)
      store_tiles(to + j * 8, {o[j][2 * h] * inverse, o[j][2 * h + 1] * inverse},
                  {o[j + 1][2 * h] * inverse, o[j + 1][2 * h + 1] * inverse}, query < args.queries);
  }
}

}  // namespace

Status mla_prefill(const MlaPrefillArgs& args, void* stream) {
  if (args.queries == 0 || args.heads == 0) return 0;
  if (args.heads > 65535) return invalid_value;
  const LaunchShape shape{
      {static_cast<unsigned>(ceil_div(args.queries, tile)), static_cast<unsigned>(args.heads)},
      block_threads,
      3 * k_bytes + 2 * v_bytes};
  return launch(&mla_prefill_kernel, shape, stream, args);
}

}  // namespace dsbench::engine::kernels::cuda
