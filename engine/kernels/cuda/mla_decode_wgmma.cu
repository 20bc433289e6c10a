#include "engine/kernels/cuda/mla_decode_wgmma.h"

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_output.cuh"
#include "engine/kernels/cuda/mla_pages.cuh"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/softmax_reference.cuh"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int score_columns = mla_block / consumers;                    // of a warpgroup
constexpr float score_scale = 0.07216878364870322056f;                  // 192^−0.5
constexpr float score_scale_2 = score_scale * 1.44269504088896340736f;  // and exp by powers of two

// Who makes a page of an FP8 cache bf16 needs registers for what is under way.
template <bool kFp8>
struct Registers {
  static constexpr int fetching = kFp8 ? 88 : 40;
  static constexpr int attending = kFp8 ? 208 : 232;
};

constexpr std::size_t shared_bytes =
    tile_bytes + buffers * tile_bytes + box_bytes + consumers * tile_rows * sizeof(float) + sizeof(Barriers);

template <bool kFp8>
DSB_DEVICE void attend_pieces(const MlaDecodeArgs& args, const int* first, const MlaPartials& partials,
                              unsigned char* q_tile, unsigned char* kv_tiles, unsigned char* p_tile,
                              float* exchange, Barriers* barriers) {
  const int lane = simt::thread() % 32;
  const int group = simt::uniform(simt::thread() / group_threads);
  const int tile_row = simt::thread() % group_threads / 32 * 16;
  const int rows = args.queries * args.heads;
  const int row0 = simt::block_y() * tile_rows;
  const int column = group * score_columns;
  const std::uint64_t q_operand = k_major_descriptor(simt::shared_address(q_tile));
  const std::uint64_t p_operand = k_major_descriptor(simt::shared_address(p_tile));
  Turn turn;
  int q_phase = 0;
  for_each_piece(args.requests, first, [&](int request, const KvPiece& piece, int blocks) {
    const int length = args.lengths[request];
    int limit[2];
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int row = row0 + tile_row + c_row(lane, 2 * h);
      limit[h] = length - args.queries + 1 + (row < rows ? row : rows - 1) / args.heads;
    }
    // What the row of the tile that sees least sees; the others see as much or more.
    const int all_see = length - args.queries + 1 + row0 / args.heads;
    Reference rows_at[2];
    float sum[2] = {};
    float o[output_columns / 2];
    DSB_UNROLL
    for (int e = 0; e < output_columns / 2; ++e) o[e] = 0;
    simt::wait_barrier(&barriers->q_full, q_phase);
    q_phase ^= 1;

    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      unsigned char* const kv = kv_tiles + simt::uniform(turn.buffer) * tile_bytes;
      const std::uint32_t kv_address = simt::shared_address(kv);
      simt::wait_barrier(&barriers->kv_full[turn.buffer], turn.phase);
      const int inside = length - b * mla_block;
      if (!kFp8 && inside < mla_block) {
        // Slots beyond the length may hold NaN, and 0 · NaN would reach the output.
        for (int i = simt::thread(); i < (mla_block - inside) * boxes * 8; i += consumer_threads) {
          const int row = inside + i / (boxes * 8);
          const int piece_of_row = i % (boxes * 8);
          simt::store16(kv + piece_of_row / 8 * box_bytes + swizzled_offset(row, piece_of_row % 8, 8),
                        Bytes16{});
        }
        simt::fence_async();
        simt::sync_threads_of(consumer_barrier, consumer_threads);
      }

      float score[score_columns / 2];
      const std::uint64_t k_operand =
          simt::whole(k_major_descriptor(kv_address + static_cast<std::uint32_t>(column * 128)));
      simt::wgmma_fence(score);
      DSB_UNROLL
      for (int box = 0; box < boxes; ++box) {
        DSB_UNROLL
        for (int step = 0; step < box_columns / 16; ++step) {
          const auto along = static_cast<std::uint64_t>(box * box_bytes / 16 + step * 2);
          simt::wgmma_bf16_n32(score, q_operand + along, k_operand + along, box + step > 0);
        }
      }
      simt::wgmma_commit();
      simt::wgmma_wait<0>(score);

      if ((b + 1) * mla_block > all_see) {
        DSB_UNROLL
        for (int e = 0; e < score_columns / 2; ++e) {
          const int at = b * mla_block + column + e / 4 * 8 + c_col(lane, e % 4);
          if (at >= limit[e % 4 / 2]) score[e] = -simt::infinity();
        }
      }
      float largest[2] = {score[0], score[2]};
      DSB_UNROLL
      for (int e = 0; e < score_columns / 2; ++e)
        largest[e % 4 / 2] = simt::larger(largest[e % 4 / 2], score[e]);
      DSB_UNROLL
      for (int h = 0; h < 2; ++h) {
        largest[h] = largest_over(largest[h], 4);
        if (lane % 4 == 0) exchange[group * tile_rows + tile_row + c_row(lane, 2 * h)] = largest[h];
      }
      simt::sync_threads_of(consumer_barrier, consumer_threads);
      float shrink[2];
      DSB_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int row = tile_row + c_row(lane, 2 * h);
        shrink[h] = rows_at[h].take(simt::larger(exchange[row], exchange[tile_rows + row]), score_scale_2);
      }
      if (simt::ballot(shrink[0] != 1.0f || shrink[1] != 1.0f) != 0) {
        sum[0] *= shrink[0];
        sum[1] *= shrink[1];
        DSB_UNROLL
        for (int e = 0; e < output_columns / 2; ++e) o[e] *= shrink[e % 4 / 2];
      }
      DSB_UNROLL
      for (int e = 0; e < score_columns / 2; ++e) {
        score[e] = simt::exp_2_fast(score[e] * score_scale_2 - rows_at[e % 4 / 2].base);
        sum[e % 4 / 2] += score[e];
      }

      // A request of one block gets a second pass with what rounding to bf16 cut off (see mla_decode.cu).
      const int passes = blocks == 1 ? 2 : 1;
      DSB_NO_UNROLL
      for (int pass = 0; pass < passes; ++pass) {
        if (pass > 0) {
          DSB_UNROLL
          for (int e = 0; e < score_columns / 2; e += 2) keep_rounded_off(score[e], score[e + 1]);
          simt::sync_threads_of(consumer_barrier, consumer_threads);
        }
        DSB_UNROLL
        for (int e = 0; e < score_columns / 2; e += 2) {
          const std::uint32_t rounded = simt::to_bf16x2(score[e], score[e + 1]);
          const int col = column + e / 4 * 8 + c_col(lane, 0);
          *reinterpret_cast<std::uint32_t*>(
              p_tile + swizzled_offset(tile_row + c_row(lane, e % 4), col / 8, 8) + col % 8 * 2) = rounded;
        }
        simt::fence_async();
        simt::sync_threads_of(consumer_barrier, consumer_threads);
        const std::uint64_t v_operand = simt::whole(n_major_descriptor(
            kv_address + static_cast<std::uint32_t>(group * (output_columns / box_columns) * box_bytes),
            box_bytes));
        simt::wgmma_fence(o);
        DSB_UNROLL
        for (int step = 0; step < mla_block / 16; ++step)
          simt::wgmma_bf16_n256_trans(o, p_operand + static_cast<std::uint64_t>(step * 2),
                                      v_operand + static_cast<std::uint64_t>(step * 16 * 128 / 16), true);
        simt::wgmma_commit();
        simt::wgmma_wait<0>(o);
      }
      if (lane == 0) simt::arrive(&barriers->kv_empty[turn.buffer]);
    }
    if (lane == 0) simt::arrive(&barriers->q_empty);

    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      sum[h] = sum_over(sum[h], 4);
      if (lane % 4 == 0) exchange[group * tile_rows + tile_row + c_row(lane, 2 * h)] = sum[h];
    }
    simt::sync_threads_of(consumer_barrier, consumer_threads);
    float all[2];
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int row = tile_row + c_row(lane, 2 * h);
      all[h] = exchange[row] + exchange[tile_rows + row];
    }
    simt::sync_threads_of(consumer_barrier,
                          consumer_threads);  // before the next piece's maxima overwrite them
    store_piece<true>(mla_rows(args), partials, first, request, blocks, group, score_scale,
                      {{rows_at[0].top, rows_at[1].top}, {all[0], all[1]}}, o);
  });
}

// block_x is the part of the cache, block_y the tile of rows.
template <bool kFp8>
DSB_KERNEL(block_threads, 1)
mla_decode_wgmma_kernel(const DSB_GRID_CONSTANT TensorMap q_map, const DSB_GRID_CONSTANT TensorMap cache_map,
                        const DSB_GRID_CONSTANT MlaDecodeArgs args, const int* first, MlaPartials partials) {
  unsigned char* const q_tile = simt::shared();
  unsigned char* const kv_tiles = q_tile + tile_bytes;
  unsigned char* const p_tile = kv_tiles + buffers * tile_bytes;
  float* const exchange = reinterpret_cast<float*>(p_tile + box_bytes);
  auto* const barriers = reinterpret_cast<Barriers*>(exchange + consumers * tile_rows);
  if (simt::thread() == 0) {
    simt::prefetch_map(q_map);
    if constexpr (!kFp8) simt::prefetch_map(cache_map);
    simt::init_barrier(&barriers->q_full, 1);
    simt::init_barrier(&barriers->q_empty, consumer_threads / 32);
    for (int i = 0; i < buffers; ++i) {
      simt::init_barrier(&barriers->kv_full[i], kFp8 ? group_threads / 32 : 1);
      simt::init_barrier(&barriers->kv_empty[i], consumer_threads / 32);
    }
    simt::fence_barriers();
  }
  simt::sync_block();
  simt::wait_for_previous();
  simt::launch_next();
  const int per_part = part_blocks(first[args.requests], simt::grid_x());
  if (simt::block_x() * per_part >= first[args.requests]) return;
  if (simt::thread() / group_threads == consumers) {
    simt::release_registers<Registers<kFp8>::fetching>();
    if constexpr (kFp8)
      widen_pieces(args, first, q_map, q_tile, kv_tiles, WidenedStages{barriers});
    else if (simt::thread() % group_threads == 0)
      fetch_pieces(args, first, q_map, cache_map, q_tile, kv_tiles, barriers);
  } else {
    simt::take_registers<Registers<kFp8>::attending>();
    attend_pieces<kFp8>(args, first, partials, q_tile, kv_tiles, p_tile, exchange, barriers);
  }
}

}  // namespace

std::size_t mla_decode_wgmma_workspace_bytes(const MlaDecodeArgs& args) {
  return mla_workspace(args, plan_mla_decode(args, device_shape(), tile_rows)).bytes;
}

Status prepare_mla_decode_wgmma(WgmmaMla& mla, const MlaDecodeArgs& args, std::int64_t cache_blocks) {
  if (args.ids != nullptr) return invalid_value;
  mla.args = args;
  mla.plan = plan_mla_decode(args, device_shape(), tile_rows);
  const std::int64_t rows = static_cast<std::int64_t>(args.requests) * args.queries * args.heads;
  if (rows == 0) return 0;  // no tensor map is of nothing
  const Status status =
      make_tensor_map(mla.q, args.q, static_cast<std::uint64_t>(rows), mla_width * 2, tile_rows);
  if (status != 0 || args.fp8_cache) return status;
  return make_tensor_map(mla.cache, args.cache, static_cast<std::uint64_t>(cache_blocks * mla_block),
                         mla_width * 2, mla_block);
}

Status mla_decode_wgmma(const WgmmaMla& mla, void* stream) {
  const MlaDecodeArgs& args = mla.args;
  if (args.requests == 0 || args.queries == 0 || args.heads == 0) return 0;
  const MlaWorkspace at = mla_workspace(args, mla.plan);
  const MlaPartials partials = mla_partials(args, at);
  int* const first = static_cast<int*>(args.workspace);
  Status status = mla_first_blocks(args, first, stream);
  if (status != 0) return status;
  const LaunchShape shape{{static_cast<unsigned>(mla.plan.parts), static_cast<unsigned>(mla.plan.row_blocks)},
                          block_threads,
                          shared_bytes,
                          true};
  const int* const known = first;
  status = launch(args.fp8_cache ? &mla_decode_wgmma_kernel<true> : &mla_decode_wgmma_kernel<false>, shape,
                  stream, mla.q, mla.cache, args, known, partials);
  return status != 0 ? status : mla_combine(args, known, partials, mla.plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
