#include "engine/kernels/cuda/mla_decode.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_fp8.cuh"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_scan.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int block_threads = 256;
constexpr int row_chunks = mla_width * 2 / 16;  // 72 pieces of 16 bytes in a row of the cache
constexpr int kv_bytes = mla_block * row_chunks * 16;
constexpr int raw_chunks = mla_fp8_bytes / 16;  // of an entry of an FP8 cache
constexpr int raw_bytes = mla_block * mla_fp8_bytes;
constexpr float log2_e = 1.44269504088896340736f;
constexpr float ln_2 = 0.69314718055994530942f;
constexpr float score_scale = 0.07216878364870322056f;  // 192^−0.5: the width before absorption

// How a block's eight warps share its rows: `across` warps to a tile of 16 rows. Of the scores each takes
// some columns, of the output too; in between they exchange row maxima and probabilities through shared
// memory.
// An FP8 cache's pages come into buffers as they are, more of them the fewer rows there are, and from there,
// as bf16, into the one tile.
template <int kRowTiles, bool kFp8>
struct Share {
  static constexpr int rows = kRowTiles * 16;
  static constexpr int across = 8 / kRowTiles;
  static constexpr int score_tiles = mla_block / 8 / across;    // of 8 columns
  static constexpr int output_tiles = mla_latent / 8 / across;  // of 8 columns
  static constexpr int q_bytes = rows * row_chunks * 16;
  static constexpr int p_bytes = rows * mla_block * 2;
  static constexpr int tiles = kFp8 ? 1 : 2;
  static constexpr int raw_buffers = !kFp8 ? 0 : kRowTiles == 1 ? 3 : kRowTiles == 2 ? 2 : 1;
  static constexpr int shared_bytes =
      q_bytes + tiles * kv_bytes + raw_buffers * raw_bytes + p_bytes + across * rows * 4;
};

// Blocks of the requests before each one.
DSB_KERNEL(32, 1)
mla_first_blocks_kernel(const std::int32_t* lengths, int fixed_length, int requests, int* first) {
  simt::launch_next();
  prefix_of(first, requests,
            [&](int r) { return ceil_div(lengths != nullptr ? lengths[r] : fixed_length, mla_block); });
}

// A page of an FP8 cache to the tile of bf16. Entries that were not read are zeros, their scales too.
DSB_DEVICE void dequantise(unsigned char* kv, const unsigned char* raw) {
  constexpr int code_chunks = mla_latent / 16;
  DSB_UNROLL_4
  for (int c = simt::thread(); c < mla_block * code_chunks; c += block_threads) {
    const int row = c / code_chunks;
    const int chunk = c % code_chunks;
    const unsigned char* const entry = raw + row * mla_fp8_bytes;
    const Bytes16 codes = simt::load16(entry + chunk * 16);
    const float scale = *reinterpret_cast<const float*>(entry + mla_scales_at + chunk / 8 * 4);
    Bytes16 out[2];
    widen_codes(codes, scale, out);
    DSB_UNROLL
    for (int half = 0; half < 2; ++half)
      simt::store16(kv + swizzled_offset(row, chunk * 2 + half, row_chunks), out[half]);
  }
  constexpr int rope_chunks = mla_rope * 2 / 16;
  for (int c = simt::thread(); c < mla_block * rope_chunks; c += block_threads) {
    const int row = c / rope_chunks;
    const int chunk = c % rope_chunks;
    simt::store16(kv + swizzled_offset(row, mla_latent * 2 / 16 + chunk, row_chunks),
                  simt::load16(raw + row * mla_fp8_bytes + mla_rope_at + chunk * 16));
  }
}

// A part of the cache (block_x) for some rows (block_y) of each request that it holds pieces of.
template <int kRowTiles, bool kSparse, bool kFp8>
DSB_KERNEL(block_threads, 1)
mla_decode_kernel(MlaDecodeArgs args, const int* first, MlaPartials outputs) {
  simt::wait_for_previous();
  simt::launch_next();
  using S = Share<kRowTiles, kFp8>;
  unsigned char* const q_tile = simt::shared();
  unsigned char* const kv_tiles = q_tile + S::q_bytes;
  unsigned char* const raw = kv_tiles + S::tiles * kv_bytes;
  unsigned char* const p_tile = raw + S::raw_buffers * raw_bytes;
  float* const exchange = reinterpret_cast<float*>(p_tile + S::p_bytes);  // [across][rows]

  const int lane = simt::thread() % 32;
  const int warp = simt::thread() / 32;
  const int tile_row = warp / S::across * 16;
  const int beside = warp % S::across;
  const int rows = args.queries * args.heads;
  const int row0 = simt::block_y() * S::rows;
  const int part = simt::block_x();
  const int total = first[args.requests];
  const int per_part = part_blocks(total, simt::grid_x());
  if (part * per_part >= total) return;
  const int part_end = (part + 1) * per_part;

  for (int request = request_at(first, args.requests, part * per_part);
       request < args.requests && first[request] < part_end; ++request) {
    const int blocks = first[request + 1] - first[request];
    if (blocks == 0) continue;
    const KvPiece piece = piece_of(part, per_part, first[request], blocks);
    const int length = kSparse ? args.top_k : args.lengths[request];

    const auto fetch_kv = [&](int kv_block, int buffer) {
      constexpr int entry_chunks = kFp8 ? raw_chunks : row_chunks;
      const auto* const cache = static_cast<const unsigned char*>(args.cache);
      DSB_UNROLL_4
      for (int i = 0; i < ceil_div(mla_block * entry_chunks, block_threads); ++i) {
        const int c = i * block_threads + simt::thread();
        if (kFp8 && c >= mla_block * entry_chunks) break;
        const int row = c / entry_chunks;
        const int chunk = c % entry_chunks;
        const int at = kv_block * mla_block + row;
        // What lies beyond the length is never read: it may be NaN, and 0 · NaN would reach the output.
        bool valid = at < length;
        long long from = 0;
        if (valid) {
          if constexpr (kSparse) {
            const int id = args.ids[static_cast<long long>(request) * args.top_k + at];
            valid = id >= 0;
            from = valid ? id : 0;
          } else {
            from = static_cast<long long>(
                       args.block_table[static_cast<long long>(request) * args.max_blocks + kv_block]) *
                       mla_block +
                   row;
          }
        }
        simt::copy_async(kFp8 ? raw + buffer * raw_bytes + c * 16
                              : kv_tiles + buffer * kv_bytes + swizzled_offset(row, chunk, row_chunks),
                         cache + (from * entry_chunks + chunk) * 16, valid);
      }
    };

    const Bf16* q = static_cast<const Bf16*>(args.q) + static_cast<long long>(request) * rows * mla_width;
    DSB_UNROLL_4
    for (int c = simt::thread(); c < S::rows * row_chunks; c += block_threads) {
      const int row = c / row_chunks;
      const int chunk = c % row_chunks;
      const bool valid = row0 + row < rows;
      simt::copy_async(q_tile + swizzled_offset(row, chunk, row_chunks),
                       q + static_cast<long long>(valid ? row0 + row : 0) * mla_width + chunk * 8, valid);
    }
    fetch_kv(piece.begin, 0);
    simt::commit_copies();
    DSB_NO_UNROLL
    for (int i = 1; i < S::raw_buffers; ++i) {
      if (piece.begin + i < piece.end) fetch_kv(piece.begin + i, i);
      simt::commit_copies();
    }

    // This thread's two rows: the first cache entry that each does not see.
    int limit[2];
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int row = row0 + tile_row + c_row(lane, 2 * h);
      limit[h] = kSparse ? length : length - args.queries + 1 + (row < rows ? row : rows - 1) / args.heads;
    }
    float top[2] = {-simt::infinity(), -simt::infinity()};  // running maximum of score · log2 e
    float sum[2] = {};                                      // of this thread's share of 2^(score − top)
    float o[S::output_tiles][4] = {};

    DSB_NO_UNROLL
    for (int kv_block = piece.begin; kv_block < piece.end; ++kv_block) {
      unsigned char* kv = kv_tiles;
      if constexpr (kFp8) {
        const int buffer = (kv_block - piece.begin) % S::raw_buffers;
        simt::wait_copies<S::raw_buffers - 1>();
        simt::sync_block();  // this block is there; all are done with the tile of the one before
        dequantise(kv, raw + buffer * raw_bytes);
        simt::sync_block();
        if (kv_block + S::raw_buffers < piece.end) fetch_kv(kv_block + S::raw_buffers, buffer);
      } else {
        const int buffer = (kv_block - piece.begin) % 2;
        kv += buffer * kv_bytes;
        simt::wait_copies<0>();
        simt::sync_block();  // this block is there; all are done with the one before
        if (kv_block + 1 < piece.end) fetch_kv(kv_block + 1, 1 - buffer);
      }
      simt::commit_copies();

      float score[S::score_tiles][4] = {};
      const int column = beside * S::score_tiles * 8;
      DSB_NO_UNROLL
      for (int step = 0; step < row_chunks / 2; step += 2) {
        DSB_UNROLL
        for (int half = 0; half < 2; ++half) {
          std::uint32_t a[4];
          const Piece p = a_piece(lane);
          simt::load_matrix(
              a, q_tile + swizzled_offset(tile_row + p.row, (step + half) * 2 + p.chunk, row_chunks));
          if constexpr (S::score_tiles == 1) {
            std::uint32_t b[4];
            const Piece k = b_piece_long(lane);
            simt::load_matrix(b, kv + swizzled_offset(column + k.row, step * 2 + k.chunk, row_chunks));
            simt::mma_bf16(score[0], a, b[2 * half], b[2 * half + 1]);
          } else {
            DSB_UNROLL
            for (int j = 0; j < S::score_tiles; j += 2) {
              std::uint32_t b[4];
              const Piece k = b_piece(lane);
              simt::load_matrix(
                  b, kv + swizzled_offset(column + j * 8 + k.row, (step + half) * 2 + k.chunk, row_chunks));
              simt::mma_bf16(score[j], a, b[0], b[1]);
              simt::mma_bf16(score[j + 1], a, b[2], b[3]);
            }
          }
        }
      }

      float largest[2] = {-simt::infinity(), -simt::infinity()};
      DSB_UNROLL
      for (int j = 0; j < S::score_tiles; ++j) {
        DSB_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int at = kv_block * mla_block + column + j * 8 + c_col(lane, e);
          bool seen = at < limit[e / 2];
          if constexpr (kSparse)
            seen = seen && args.ids[static_cast<long long>(request) * args.top_k + at] >= 0;
          score[j][e] = seen ? score[j][e] * (score_scale * log2_e) : -simt::infinity();
          largest[e / 2] = simt::larger(largest[e / 2], score[j][e]);
        }
      }
      DSB_UNROLL
      for (int h = 0; h < 2; ++h) {
        largest[h] = largest_over(largest[h], 4);
        if (lane % 4 == 0) exchange[beside * S::rows + tile_row + c_row(lane, 2 * h)] = largest[h];
      }
      simt::sync_block();
      float shrink[2];
      float base[2];
      DSB_UNROLL
      for (int h = 0; h < 2; ++h) {
        float now = top[h];
        DSB_UNROLL
        for (int w = 0; w < S::across; ++w)
          now = simt::larger(now, exchange[w * S::rows + tile_row + c_row(lane, 2 * h)]);
        base[h] = now == -simt::infinity() ? 0.0f : now;  // nothing seen yet: every term is 0
        shrink[h] = simt::exp_2(top[h] - base[h]);
        top[h] = now;
        sum[h] *= shrink[h];
      }
      DSB_UNROLL
      for (int j = 0; j < S::score_tiles; ++j) {
        DSB_UNROLL
        for (int e = 0; e < 4; ++e) {
          score[j][e] = simt::exp_2(score[j][e] - base[e / 2]);
          sum[e / 2] += score[j][e];
        }
      }
      DSB_UNROLL
      for (int j = 0; j < S::output_tiles; ++j) {
        DSB_UNROLL
        for (int e = 0; e < 4; ++e) o[j][e] *= shrink[e / 2];
      }
      // Probabilities rounded to bf16 are off by up to 2^−9. Over many entries that averages out; over a few
      // it would show, so a request of one block gets a second pass with what the rounding cut off.
      const int passes = blocks == 1 ? 2 : 1;
      DSB_NO_UNROLL
      for (int pass = 0; pass < passes; ++pass) {
        if (pass > 0) simt::sync_block();  // all have read the first probabilities
        DSB_UNROLL
        for (int j = 0; j < S::score_tiles; ++j) {
          DSB_UNROLL
          for (int h = 0; h < 2; ++h) {
            const std::uint32_t rounded = simt::to_bf16x2(score[j][2 * h], score[j][2 * h + 1]);
            score[j][2 * h] -= simt::bits_float(rounded << 16);
            score[j][2 * h + 1] -= simt::bits_float(rounded & 0xffff0000u);
            const int col = column + j * 8 + c_col(lane, 0);
            *reinterpret_cast<std::uint32_t*>(
                p_tile + swizzled_offset(tile_row + c_row(lane, 2 * h), col / 8, mla_block / 8) +
                col % 8 * 2) = rounded;
          }
        }
        simt::sync_block();
        DSB_NO_UNROLL
        for (int step = 0; step < mla_block / 16; ++step) {
          std::uint32_t a[4];
          const Piece p = a_piece(lane);
          simt::load_matrix(a, p_tile + swizzled_offset(tile_row + p.row, step * 2 + p.chunk, mla_block / 8));
          DSB_UNROLL
          for (int j = 0; j < S::output_tiles; j += 2) {
            std::uint32_t b[4];
            const Piece v = bt_piece(lane);
            simt::load_matrix_trans(
                b,
                kv + swizzled_offset(step * 16 + v.row, beside * S::output_tiles + j + v.chunk, row_chunks));
            simt::mma_bf16(o[j], a, b[0], b[1]);
            simt::mma_bf16(o[j + 1], a, b[2], b[3]);
          }
        }
      }
    }

    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      sum[h] = sum_over(sum[h], 4);
      if (lane % 4 == 0) exchange[beside * S::rows + tile_row + c_row(lane, 2 * h)] = sum[h];
    }
    simt::sync_block();  // also: all are done with this piece's tiles
    const KvPiece parts = parts_of(per_part, first[request], blocks);
    const bool whole = parts.end - parts.begin == 1;
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int row = row0 + tile_row + c_row(lane, 2 * h);
      float all = 0;
      DSB_UNROLL
      for (int w = 0; w < S::across; ++w) all += exchange[w * S::rows + tile_row + c_row(lane, 2 * h)];
      if (row >= rows) continue;
      const float inverse = all > 0 ? simt::divide(1.0f, all) : 0.0f;
      const float lse = all > 0 ? top[h] * ln_2 + simt::log_e(all) : -simt::infinity();
      const long long out_row = static_cast<long long>(request) * rows + row;
      const long long slot_row = static_cast<long long>(partial_slot(part, request)) * rows + row;
      if (beside == 0 && lane % 4 == 0) {
        if (whole)
          args.lse[out_row] = lse;
        else
          outputs.partial_lse[slot_row] = lse;
      }
      DSB_UNROLL
      for (int j = 0; j < S::output_tiles; ++j) {
        const int col = (beside * S::output_tiles + j) * 8 + c_col(lane, 0);
        const float v0 = o[j][2 * h] * inverse;
        const float v1 = o[j][2 * h + 1] * inverse;
        if (whole) {
          *reinterpret_cast<std::uint32_t*>(static_cast<Bf16*>(args.o) + out_row * mla_latent + col) =
              simt::to_bf16x2(v0, v1);
        } else {
          simt::store8(outputs.partial_o + slot_row * mla_latent + col, simt::float_bits(v0),
                       simt::float_bits(v1));
        }
      }
    }
  }
}

// Joins the pieces of a row; a warp to a row. Rows of requests without cache get zeros; those in one piece
// are done already.
DSB_KERNEL(block_threads, 4)
mla_combine_kernel(MlaDecodeArgs args, const int* first, MlaPartials outputs, int parts) {
  simt::wait_for_previous();
  const int lane = simt::thread() % 32;
  const int rows = args.queries * args.heads;
  const long long out_row =
      static_cast<long long>(simt::block_x()) * (block_threads / 32) + simt::thread() / 32;
  if (out_row >= static_cast<long long>(args.requests) * rows) return;
  const int request = static_cast<int>(out_row / rows);
  const int row = static_cast<int>(out_row % rows);
  const int per_part = part_blocks(first[args.requests], parts);
  const KvPiece range = parts_of(per_part, first[request], first[request + 1] - first[request]);
  const int pieces = range.end - range.begin;
  if (pieces == 1) return;

  float top = -simt::infinity();
  for (int i = lane; i < pieces; i += 32)
    top = simt::larger(
        top,
        outputs.partial_lse[static_cast<long long>(partial_slot(range.begin + i, request)) * rows + row]);
  top = largest_over(top, 32);
  const float base = top == -simt::infinity() ? 0.0f : top;
  float sum = 0;
  float o[2][8] = {};  // columns (2·lane … )·4: two runs of 8
  for (int i = 0; i < pieces; ++i) {
    const long long slot_row = static_cast<long long>(partial_slot(range.begin + i, request)) * rows + row;
    const float weight = simt::exp_e(outputs.partial_lse[slot_row] - base);
    sum += weight;
    DSB_UNROLL
    for (int run = 0; run < 2; ++run) {
      const float* from = outputs.partial_o + slot_row * mla_latent + run * 256 + lane * 8;
      float v[2][4];
      load_vector(from, v[0]);
      load_vector(from + 4, v[1]);
      DSB_UNROLL
      for (int k = 0; k < 8; ++k) o[run][k] += weight * v[k / 4][k % 4];
    }
  }
  const float inverse = sum > 0 ? simt::divide(1.0f, sum) : 0.0f;
  DSB_UNROLL
  for (int run = 0; run < 2; ++run) {
    DSB_UNROLL
    for (int k = 0; k < 8; ++k) o[run][k] *= inverse;
    store_vector(static_cast<Bf16*>(args.o) + out_row * mla_latent + run * 256 + lane * 8, o[run]);
  }
  if (lane == 0) args.lse[out_row] = sum > 0 ? base + simt::log_e(sum) : -simt::infinity();
}

template <int kRowTiles, bool kFp8>
Status start(const MlaDecodeArgs& args, const MlaDecodePlan& plan, const int* first,
             const MlaPartials& outputs, void* stream) {
  const LaunchShape shape{{static_cast<unsigned>(plan.parts), static_cast<unsigned>(plan.row_blocks)},
                          block_threads,
                          Share<kRowTiles, kFp8>::shared_bytes,
                          true};
  if constexpr (!kFp8) {
    if (args.ids != nullptr)
      return launch(&mla_decode_kernel<kRowTiles, true, false>, shape, stream, args, first, outputs);
  }
  return launch(&mla_decode_kernel<kRowTiles, false, kFp8>, shape, stream, args, first, outputs);
}

template <bool kFp8>
Status start(const MlaDecodeArgs& args, const MlaDecodePlan& plan, const int* first,
             const MlaPartials& outputs, void* stream) {
  switch (plan.tile_rows) {
    case 16:
      return start<1, kFp8>(args, plan, first, outputs, stream);
    case 32:
      return start<2, kFp8>(args, plan, first, outputs, stream);
    default:
      return start<4, kFp8>(args, plan, first, outputs, stream);
  }
}

}  // namespace

Status mla_first_blocks(const MlaDecodeArgs& args, int* first, void* stream) {
  return launch(&mla_first_blocks_kernel, LaunchShape{{1, 1}, 32, 0}, stream,
                args.ids != nullptr ? nullptr : args.lengths, args.top_k, args.requests, first);
}

Status mla_combine(const MlaDecodeArgs& args, const int* first, const MlaPartials& outputs, int parts,
                   void* stream) {
  const std::int64_t rows = static_cast<std::int64_t>(args.requests) * args.queries * args.heads;
  const LaunchShape shape{
      {static_cast<unsigned>(ceil_div<std::int64_t>(rows, block_threads / 32)), 1}, block_threads, 0, true};
  return launch(&mla_combine_kernel, shape, stream, args, first, outputs, parts);
}

Status mla_decode(const MlaDecodeArgs& args, void* stream) {
  if (args.fp8_cache && args.ids != nullptr) return invalid_value;
  if (args.requests == 0 || args.queries == 0 || args.heads == 0) return 0;
  const MlaDecodePlan plan = plan_mla_decode(args, device_shape());
  const MlaWorkspace at = mla_workspace(args, plan);
  const MlaPartials outputs = mla_partials(args, at);
  int* const first = static_cast<int*>(args.workspace);
  Status status = mla_first_blocks(args, first, stream);
  if (status == 0)
    status = args.fp8_cache ? start<true>(args, plan, first, outputs, stream)
                            : start<false>(args, plan, first, outputs, stream);
  return status != 0 ? status : mla_combine(args, first, outputs, plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
