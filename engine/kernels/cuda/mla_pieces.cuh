#pragma once

#include <type_traits>

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/mla_fp8.cuh"
#include "engine/kernels/cuda/mla_turn.cuh"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_columns.cuh"

// What one block does of attention in which all heads share one row of the cache as key and as value: MLA's
// decode (mla_decode.cu) and DeepSeek-V4's (csa_decode.cu). Where the rows come from is the Cache's business:
//
//   struct Cache {
//     static constexpr int width;          // numbers of a row; the first mla_latent of them are the value
//     static constexpr int raw_bytes;      // of 64 entries as they are kept; 0: bf16, straight into the tile
//     static constexpr float score_scale;
//     static constexpr bool plain;         // neither given.sink nor given.turn is there
//     Context of(int request) const;
//     static void dequantise(unsigned char* tile, const unsigned char* raw);
//   };
//   struct Context {
//     void fetch(int kv_block, unsigned char* to) const;  // starts copies of 64 entries, by all threads
//     int seen_by(int row) const;                         // the first entry that the row does not see
//     bool hole(int at) const;                            // an entry before that one which nobody sees
//   };
namespace dsbench::engine::kernels::cuda {

inline constexpr int mla_threads = 256;
inline constexpr int most_shared_bytes = 227 * 1024;  // that a block may have
inline constexpr float log2_e = 1.44269504088896340736f;
inline constexpr float ln_2 = 0.69314718055994530942f;

// How a block's eight warps share its rows: `across` warps to a tile of 16 rows. Of the scores each takes
// some columns, of the output too; in between they exchange row maxima and probabilities through shared
// memory.
// Pages of a cache that is not bf16 come into buffers as they are, more of them the fewer rows there are, and
// from there, as bf16, into the one tile.
template <int kRowTiles, class Cache>
struct Share {
  static constexpr int rows = kRowTiles * 16;
  static constexpr int across = 8 / kRowTiles;
  static constexpr int score_tiles = mla_block / 8 / across;    // of 8 columns
  static constexpr int output_tiles = mla_latent / 8 / across;  // of 8 columns
  static constexpr int row_chunks = Cache::width * 2 / 16;      // pieces of 16 bytes in a row
  static constexpr int q_bytes = rows * row_chunks * 16;
  static constexpr int kv_bytes = mla_block * row_chunks * 16;
  static constexpr int p_bytes = rows * mla_block * 2;
  static constexpr int tiles = Cache::raw_bytes > 0 ? 1 : 2;
  static constexpr int before_raw = q_bytes + tiles * kv_bytes + p_bytes + across * rows * 4;
  static constexpr int raw_room = Cache::raw_bytes > 0 ? (most_shared_bytes - before_raw) / Cache::raw_bytes
                                                       : 0;
  static constexpr int raw_buffers = raw_room < 3 ? raw_room : 3;
  static constexpr int shared_bytes = before_raw + raw_buffers * Cache::raw_bytes;
};

// Sixteen e4m3 codes, times their scale, as two pieces of a tile of bf16.
DSB_DEVICE void store_scaled(unsigned char* tile, const Bytes16& codes, float scale, int row, int chunk,
                             int row_chunks) {
  // Eight lanes that store at once have eight neighbouring chunks of a row, every other one of 16: those from
  // the fifth on begin with their second piece, so that all banks are met.
  const int turned = chunk / 4 % 2;
  const Bytes16 in =
      turned == 0 ? codes : Bytes16{{codes.word[2], codes.word[3], codes.word[0], codes.word[1]}};
  Bytes16 out[2];
  widen_codes(in, scale, out);
  DSB_UNROLL
  for (int half = 0; half < 2; ++half)
    simt::store16(tile + swizzled_offset(row, chunk * 2 + (half ^ turned), row_chunks), out[half]);
}

// A part of the cache (block_x) for some rows (block_y) of each request that it holds pieces of.
template <int kRowTiles, class Cache>
DSB_DEVICE void attend_part(const Cache& cache, const MlaRows& given, const int* first,
                            const MlaPartials& outputs) {
  using S = Share<kRowTiles, Cache>;
  unsigned char* const q_tile = simt::shared();
  unsigned char* const kv_tiles = q_tile + S::q_bytes;
  unsigned char* const raw = kv_tiles + S::tiles * S::kv_bytes;
  unsigned char* const p_tile = raw + S::raw_buffers * Cache::raw_bytes;
  float* const exchange = reinterpret_cast<float*>(p_tile + S::p_bytes);  // [across][rows]

  const int lane = simt::thread() % 32;
  const int warp = simt::thread() / 32;
  const int tile_row = warp / S::across * 16;
  const int beside = warp % S::across;
  const int rows = given.queries * given.heads;
  const int row0 = simt::block_y() * S::rows;
  const int part = simt::block_x();
  const int total = first[given.requests];
  const int per_part = part_blocks(total, simt::grid_x());
  if (part * per_part >= total) return;
  const int part_end = (part + 1) * per_part;

  for (int request = request_at(first, given.requests, part * per_part);
       request < given.requests && first[request] < part_end; ++request) {
    const int blocks = first[request + 1] - first[request];
    if (blocks == 0) continue;
    const KvPiece piece = piece_of(part, per_part, first[request], blocks);
    const auto context = cache.of(request);

    const auto fetch_kv = [&](int kv_block, int buffer) {
      context.fetch(kv_block,
                    Cache::raw_bytes > 0 ? raw + buffer * Cache::raw_bytes : kv_tiles + buffer * S::kv_bytes);
    };

    const Bf16* q = static_cast<const Bf16*>(given.q) + static_cast<long long>(request) * rows * Cache::width;
    DSB_UNROLL_4
    for (int c = simt::thread(); c < S::rows * S::row_chunks; c += mla_threads) {
      const int row = c / S::row_chunks;
      const int chunk = c % S::row_chunks;
      const bool valid = row0 + row < rows;
      simt::copy_async(q_tile + swizzled_offset(row, chunk, S::row_chunks),
                       q + static_cast<long long>(valid ? row0 + row : 0) * Cache::width + chunk * 8, valid);
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
      limit[h] = context.seen_by(row < rows ? row : rows - 1);
    }
    float top[2] = {-simt::infinity(), -simt::infinity()};  // running maximum of score · log2 e
    float sum[2] = {};                                      // of this thread's share of 2^(score − top)
    float o[S::output_tiles][4] = {};

    DSB_NO_UNROLL
    for (int kv_block = piece.begin; kv_block < piece.end; ++kv_block) {
      unsigned char* kv = kv_tiles;
      if constexpr (Cache::raw_bytes > 0) {
        const int buffer = (kv_block - piece.begin) % S::raw_buffers;
        simt::wait_copies<S::raw_buffers - 1>();
        simt::sync_block();  // this block is there; all are done with the tile of the one before
        Cache::dequantise(kv, raw + buffer * Cache::raw_bytes);
        simt::sync_block();
        if (kv_block + S::raw_buffers < piece.end) fetch_kv(kv_block + S::raw_buffers, buffer);
      } else {
        const int buffer = (kv_block - piece.begin) % 2;
        kv += buffer * S::kv_bytes;
        simt::wait_copies<0>();
        simt::sync_block();  // this block is there; all are done with the one before
        if (kv_block + 1 < piece.end) fetch_kv(kv_block + 1, 1 - buffer);
      }
      simt::commit_copies();

      float score[S::score_tiles][4] = {};
      const int column = beside * S::score_tiles * 8;
      DSB_NO_UNROLL
      for (int step = 0; step < S::row_chunks / 2; step += 2) {
        DSB_UNROLL
        for (int half = 0; half < 2; ++half) {
          std::uint32_t a[4];
          const Piece p = a_piece(lane);
          simt::load_matrix(
              a, q_tile + swizzled_offset(tile_row + p.row, (step + half) * 2 + p.chunk, S::row_chunks));
          if constexpr (S::score_tiles == 1) {
            std::uint32_t b[4];
            const Piece k = b_piece_long(lane);
            simt::load_matrix(b, kv + swizzled_offset(column + k.row, step * 2 + k.chunk, S::row_chunks));
            simt::mma_bf16(score[0], a, b[2 * half], b[2 * half + 1]);
          } else {
            DSB_UNROLL
            for (int j = 0; j < S::score_tiles; j += 2) {
              std::uint32_t b[4];
              const Piece k = b_piece(lane);
              simt::load_matrix(b, kv + swizzled_offset(column + j * 8 + k.row, (step + half) * 2 + k.chunk,
                                                        S::row_chunks));
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
          const bool seen = at < limit[e / 2] && !context.hole(at);
          score[j][e] = seen ? score[j][e] * (Cache::score_scale * log2_e) : -simt::infinity();
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
                b, kv + swizzled_offset(step * 16 + v.row, beside * S::output_tiles + j + v.chunk,
                                        S::row_chunks));
            simt::mma_bf16(o[j], a, b[0], b[1]);
            simt::mma_bf16(o[j + 1], a, b[2], b[3]);
          }
        }
      }
    }

    const int here = simt::computed_here(lane);  // none of what follows is kept during the loop
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      sum[h] = sum_over(sum[h], 4);
      if (here % 4 == 0) exchange[beside * S::rows + tile_row + c_row(here, 2 * h)] = sum[h];
    }
    simt::sync_block();  // also: all are done with this piece's tiles
    const KvPiece parts = parts_of(per_part, first[request], blocks);
    const bool whole = parts.end - parts.begin == 1;
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int row = row0 + tile_row + c_row(here, 2 * h);
      float all = 0;
      DSB_UNROLL
      for (int w = 0; w < S::across; ++w) all += exchange[w * S::rows + tile_row + c_row(here, 2 * h)];
      const bool there = row < rows;
      float weights = all;
      if constexpr (!Cache::plain) {
        if (whole) weights += simt::exp_2(given.sink[row % given.heads] * log2_e - top[h]);
        if (whole && given.turn != nullptr && beside == S::across - 1) {
          constexpr int rotary_tiles = mla_rope / 8;
          static_assert(S::output_tiles >= rotary_tiles);
          DSB_UNROLL
          for (int j = 0; j < rotary_tiles; ++j) {
            float(&pair)[4] = o[S::output_tiles - rotary_tiles + j];
            turn_back(given.turn, request, (j * 8 + c_col(here, 0)) / 2, pair[2 * h], pair[2 * h + 1]);
          }
        }
      }
      const float inverse = all > 0 ? simt::divide(1.0f, weights) : 0.0f;
      const float lse = all > 0 ? top[h] * ln_2 + simt::log_e(all) : -simt::infinity();
      const long long out_row = static_cast<long long>(request) * rows + row;
      const long long slot_row = static_cast<long long>(partial_slot(part, request)) * rows + row;
      if (there && beside == 0 && here % 4 == 0) {
        if (whole)
          given.lse[out_row] = lse;
        else
          outputs.partial_lse[slot_row] = lse;
      }
      DSB_UNROLL
      for (int j = 0; j < S::output_tiles; j += 2) {
        const int col = (beside * S::output_tiles + j) * 8;
        const float left[2] = {o[j][2 * h] * inverse, o[j][2 * h + 1] * inverse};
        const float right[2] = {o[j + 1][2 * h] * inverse, o[j + 1][2 * h + 1] * inverse};
        if (whole)
          store_tiles(static_cast<Bf16*>(given.o) + out_row * mla_latent + col, left, right, there);
        else
          store_tiles(outputs.partial_o + slot_row * mla_latent + col, left, right, there);
      }
    }
  }
}

// Starts what attends a plan's parts with: kernel(row_tiles) gives the __global__ function of an attend_part
// with that Cache and so many (an integral constant) tiles of 16 rows.
template <class Cache, class Kernel, class... Args>
Status start_parts(const MlaDecodePlan& plan, const Kernel& kernel, void* stream, const Args&... args) {
  const auto start = [&](auto row_tiles) {
    const LaunchShape shape{{static_cast<unsigned>(plan.parts), static_cast<unsigned>(plan.row_blocks)},
                            mla_threads,
                            Share<decltype(row_tiles)::value, Cache>::shared_bytes,
                            true};
    return launch(kernel(row_tiles), shape, stream, args...);
  };
  switch (plan.tile_rows) {
    case 16:
      return start(std::integral_constant<int, 1>{});
    case 32:
      return start(std::integral_constant<int, 2>{});
    default:
      return start(std::integral_constant<int, 4>{});
  }
}

}  // namespace dsbench::engine::kernels::cuda
