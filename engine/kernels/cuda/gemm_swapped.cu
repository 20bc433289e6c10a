#include "engine/kernels/cuda/gemm_swapped.h"

#include "engine/kernels/cuda/gemm_parts.cuh"
#include "engine/kernels/cuda/gemm_walk.cuh"
#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/warp_scan.cuh"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int consumer_columns = 64;  // of c, rows of the weights: what a warpgroup multiplies

// A tile of c. One warpgroup to 64 columns multiplies; a warp fetches stages by TMA, another their scales.
template <int kColumns, int kRows>
struct Shape {
  static constexpr SwappedRoom room{kColumns, kRows};
  static constexpr int stages = room.stages();
  static constexpr int stage_bytes = room.stage_bytes();
  static constexpr int w_bytes = room.w_bytes();
  static constexpr int scales = room.scales();
  static constexpr int turned_rows = room.turned_rows();
  static constexpr int consumers = kColumns / consumer_columns;
  static constexpr int turned_bytes = room.turned_bytes() / consumers;
  // Two warps fetch. With the most sums they are part of a warpgroup that hands its registers to the others.
  static constexpr bool hands_registers = kRows == 128;
  static constexpr int threads = consumers * group_threads + (hands_registers ? group_threads : 2 * 32);
};

// Where things lie in shared memory.
struct Shared {
  unsigned char* ring;
  unsigned char* turned;  // of each consumer
  float* scales;          // of each stage
  simt::Barrier* full;
  simt::Barrier* empty;
  int* first;
};

// Rows of a box beyond its group belong to the next one, weights beyond n to its weights: they only reach
// rows and columns that are not written.
template <int kColumns, int kRows>
DSB_DEVICE void fetch_tiles(const Walk& walk, const GemmArgs& args, const TensorMap& a_map,
                            const TensorMap& w_map, const Shared& shared) {
  using S = Shape<kColumns, kRows>;
  for_each_slab<S::stages>(walk, [&](const TileCoord& at) {
    const int a_row = static_cast<int>(group_at(args, at.group).first_row) + at.row_tile * kRows;
    const int w_row = at.group * args.n + at.col_tile * kColumns;
    return [&, a_row, w_row](int i, const Turn<S::stages>& turn) {
      simt::Barrier* const full = &shared.full[turn.stage];
      unsigned char* const stage = shared.ring + turn.stage * S::stage_bytes;
      simt::wait_barrier(&shared.empty[turn.stage], turn.phase ^ 1);  // at once the first time round
      simt::expect_bytes(full, S::stage_bytes);
      simt::copy_box(stage, w_map, full, i * slab, w_row);
      simt::copy_box(stage + S::w_bytes, a_map, full, i * slab, a_row);
    };
  });
}

// A whole warp. Scales lie k/128 apart, too few together for TMA.
template <int kColumns, int kRows>
DSB_DEVICE void fetch_scales(const Walk& walk, const GemmArgs& args, const Shared& shared) {
  using S = Shape<kColumns, kRows>;
  const int lane = simt::thread() % 32;
  const int columns = ceil_div(args.n, slab);  // of 128, which share a scale
  for_each_slab<S::stages>(walk, [&](const TileCoord& at) {
    const Group group = group_at(args, at.group);
    const int row = at.row_tile * kRows + lane;
    const float* const a_scale = args.a_scale + (group.first_row + row) * walk.slabs;
    const float* const w_scale =
        args.w_scale +
        (static_cast<long long>(at.group) * columns + at.col_tile * kColumns / slab) * walk.slabs;
    return [&, group, row, a_scale, w_scale](int i, const Turn<S::stages>& turn) {
      float* const scales = shared.scales + turn.stage * S::scales;
      simt::wait_barrier(&shared.empty[turn.stage], turn.phase ^ 1);
      DSB_UNROLL
      for (int r = 0; r < kRows; r += 32) {
        const bool valid = row + r < group.rows;
        if (lane + r < kRows)
          simt::copy_word(scales + lane + r, valid ? a_scale + r * walk.slabs + i : args.a_scale, valid);
      }
      if (lane == 0) simt::copy_word(scales + kRows, w_scale + i, true);
      simt::arrive_with_copies(&shared.full[turn.stage]);
    };
  });
}

template <int kRows>
DSB_DEVICE void multiply_step(float (&raw)[kRows / 2], std::uint64_t w, std::uint64_t a, bool add) {
  if constexpr (kRows == 8) simt::wgmma_e4m3_n8(raw, w, a, add);
  if constexpr (kRows == 16) simt::wgmma_e4m3_n16(raw, w, a, add);
  if constexpr (kRows == 32) simt::wgmma_e4m3_n32(raw, w, a, add);
  if constexpr (kRows == 64) simt::wgmma_e4m3_n64(raw, w, a, add);
  if constexpr (kRows == 128) simt::wgmma_e4m3(raw, w, a, add);
}

// Sixteen bytes of a row of c: eight columns, of which those below n are written.
DSB_DEVICE void store_columns(Bf16* row, int column, int n, bool whole, const Bytes16& piece) {
  if (whole) {
    if (column < n) simt::store16(row + column, piece);
    return;
  }
  DSB_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (column + i < n) row[column + i] = static_cast<Bf16>((piece.word[i / 2] >> (i % 2 * 16)) & 0xffffu);
  }
}

// A thread holds c for one or two columns of the tile and many rows. `turned` is this warpgroup's room: pairs
// of columns are put there by rows, and whole rows of 64 columns leave it.
template <int kColumns, int kRows>
DSB_DEVICE void store_turned(const GemmArgs& args, const TileCoord& at, const Group& group,
                             unsigned char* turned, const float (&sum)[kRows / 2]) {
  constexpr int rows = Shape<kColumns, kRows>::turned_rows;
  constexpr int pieces = consumer_columns / 8;  // of 16 bytes, in a row
  const int consumer = simt::thread() / group_threads;
  const int mine = simt::thread() % group_threads;
  const int lane = mine % 32;
  const int odd = c_row(lane, 0) % 2;
  const int column0 = at.col_tile * kColumns + consumer * consumer_columns;
  const bool whole =
      args.n % 8 == 0 && args.c_row % 8 == 0 && reinterpret_cast<std::uintptr_t>(args.c) % 16 == 0;
  DSB_UNROLL
  for (int first = 0; first < kRows; first += rows) {
    simt::sync_threads_of(1 + consumer, group_threads);  // what was there before has left
    DSB_UNROLL
    for (int e = first / 2; e < (first + rows) / 2; e += 2) {
      // Neighbours in columns are four lanes apart; of two rows each takes one.
      const float other = simt::shuffle_xor(odd != 0 ? sum[e] : sum[e + 1], 4);
      const std::uint32_t pair =
          odd != 0 ? simt::to_bf16x2(other, sum[e + 1]) : simt::to_bf16x2(sum[e], other);
      const int row = e / 4 * 8 + c_col(lane, odd) - first;
      const int column = mine / 32 * 16 + c_row(lane, e % 4) - odd;
      *reinterpret_cast<std::uint32_t*>(turned + swizzled_offset(row, column / 8, pieces) + column % 8 * 2) =
          pair;
    }
    simt::sync_threads_of(1 + consumer, group_threads);
    const int row0 = at.row_tile * kRows + first;
    for (int i = mine; i < rows * pieces; i += group_threads) {
      const int row = i / pieces;
      if (row0 + row >= group.rows) break;
      store_columns(static_cast<Bf16*>(args.c) + (group.first_row + row0 + row) * args.c_row,
                    column0 + i % pieces * 8, args.n, whole,
                    simt::load16(turned + swizzled_offset(row, i % pieces, pieces)));
    }
  }
}

// A part of a split product, in f32: what a warp writes at once are eight columns each of four rows, whole
// sectors of memory as they are.
template <int kColumns, int kRows>
DSB_DEVICE void store_part(const GemmArgs& args, const TileCoord& at, int part,
                           const float (&sum)[kRows / 2]) {
  const int lane = simt::thread() % 32;
  const int column0 = at.col_tile * kColumns + simt::thread() / 32 * 16;
  DSB_UNROLL
  for (int e = 0; e < kRows / 2; ++e) {
    const int row = at.row_tile * kRows + e / 4 * 8 + c_col(lane, e % 4);
    const int column = column0 + c_row(lane, e % 4);
    if (row < args.rows && column < args.n)
      args.partial[(static_cast<long long>(part) * args.rows + row) * args.n + column] = sum[e];
  }
}

template <int kColumns, int kRows>
DSB_DEVICE void multiply_tiles(const Walk& walk, const GemmArgs& args, const Shared& shared) {
  using S = Shape<kColumns, kRows>;
  const int consumer = simt::uniform(simt::thread() / group_threads);
  const int lane = simt::thread() % 32;
  Turn<S::stages> turn;
  DSB_NO_UNROLL
  for (int item = walk.begin(); item < walk.items(); item += walk.step()) {
    const TileCoord at = walk.tile(item);
    const SlabRange range = walk.range(item);
    float sum[kRows / 2] = {};
    DSB_NO_UNROLL
    for (int i = range.begin; i < range.end; ++i, turn.next()) {
      simt::wait_barrier(&shared.full[turn.stage], turn.phase);
      const std::uint32_t stage = simt::shared_address(shared.ring) +
                                  static_cast<std::uint32_t>(simt::uniform(turn.stage) * S::stage_bytes);
      const std::uint64_t w = simt::whole(
          k_major_descriptor(stage + static_cast<std::uint32_t>(consumer * consumer_columns * slab)));
      const std::uint64_t a = simt::whole(k_major_descriptor(stage + static_cast<std::uint32_t>(S::w_bytes)));
      float raw[kRows / 2];
      simt::wgmma_fence(raw);
      DSB_UNROLL
      for (int step = 0; step < slab / 32; ++step)
        multiply_step<kRows>(raw, w + static_cast<std::uint64_t>(step * 2),
                             a + static_cast<std::uint64_t>(step * 2), step > 0);
      simt::wgmma_commit();
      // While that is under way: the scales of the rows whose sums are this thread's.
      const float* const scales = shared.scales + turn.stage * S::scales;
      const float w_scale = scales[kRows];
      float scale[kRows / 4];
      DSB_UNROLL
      for (int j = 0; j < kRows / 4; ++j) scale[j] = scales[j / 2 * 8 + c_col(lane, j % 2)] * w_scale;
      simt::wgmma_wait<0>(raw);
      simt::sync_warp();  // all of its lanes have read their scales
      if (lane == 0) simt::arrive(&shared.empty[turn.stage]);
      DSB_UNROLL
      for (int e = 0; e < kRows / 2; ++e) sum[e] += raw[e] * scale[e / 4 * 2 + e % 2];
    }
    if (walk.splits > 1)
      store_part<kColumns, kRows>(args, at, item / walk.tiles, sum);
    else
      store_turned<kColumns, kRows>(args, at, group_at(args, at.group),
                                    shared.turned + consumer * S::turned_bytes, sum);
  }
}

template <int kColumns, int kRows>
DSB_KERNEL((Shape<kColumns, kRows>::threads), 1)
gemm_swapped_kernel(const DSB_GRID_CONSTANT TensorMap a_map, const DSB_GRID_CONSTANT TensorMap w_map,
                    const DSB_GRID_CONSTANT GemmArgs args, int splits) {
  using S = Shape<kColumns, kRows>;
  unsigned char* const ring = simt::shared();
  unsigned char* const turned = ring + S::stages * S::stage_bytes;
  auto* const scales = reinterpret_cast<float*>(turned + S::consumers * S::turned_bytes);
  auto* const full = reinterpret_cast<simt::Barrier*>(scales + S::stages * S::scales);
  simt::Barrier* const empty = full + S::stages;
  const Shared shared{ring, turned, scales, full, empty, reinterpret_cast<int*>(empty + S::stages)};
  const int columns = ceil_div(args.n, kColumns);
  if (simt::thread() / 32 == 0)
    prefix_of(shared.first, args.groups, [&](int g) {
      return ceil_div(rows_of(args.rows_kind, args.table, args.rows, g), kRows) * columns;
    });
  if (simt::thread() == 32) {
    simt::prefetch_map(a_map);
    simt::prefetch_map(w_map);
    for (int i = 0; i < S::stages; ++i) {
      simt::init_barrier(&full[i], 1 + 32);  // the boxes, and each lane's scales
      simt::init_barrier(&empty[i], S::consumers * group_threads / 32);
    }
    simt::fence_barriers();
  }
  simt::sync_block();
  simt::launch_next();  // what adds the parts of a split product
  const Walk walk{shared.first, args.groups,   columns,       shared.first[args.groups],
                  splits,       args.k / slab, /*cluster=*/1, /*rank=*/0};
  const int helper = simt::thread() - S::consumers * group_threads;
  if (helper < 0) {
    if constexpr (S::hands_registers) simt::take_registers<232>();
    multiply_tiles<kColumns, kRows>(walk, args, shared);
    return;
  }
  if constexpr (S::hands_registers) simt::release_registers<40>();
  if (helper == 0)
    fetch_tiles<kColumns, kRows>(walk, args, a_map, w_map, shared);
  else if (helper / 32 == 1)
    fetch_scales<kColumns, kRows>(walk, args, shared);
}

template <int kColumns, int kRows>
Status start(const SwappedGemm& gemm, void* stream) {
  using S = Shape<kColumns, kRows>;
  return launch(
      &gemm_swapped_kernel<kColumns, kRows>,
      LaunchShape{{gemm.plan.grid, 1}, S::threads, static_cast<std::size_t>(S::room.bytes(gemm.args.groups))},
      stream, gemm.a, gemm.w, gemm.args, gemm.plan.splits);
}

template <int kColumns>
Status start(const SwappedGemm& gemm, void* stream) {
  switch (gemm.plan.tile_rows) {
    case 8:
      return start<kColumns, 8>(gemm, stream);
    case 16:
      return start<kColumns, 16>(gemm, stream);
    case 32:
      return start<kColumns, 32>(gemm, stream);
    case 64:
      return start<kColumns, 64>(gemm, stream);
    default:
      return start<128, 128>(gemm, stream);  // the planner makes no narrower one
  }
}

}  // namespace

Status prepare_gemm_swapped(SwappedGemm& gemm, const GemmArgs& args) {
  return prepare_gemm_swapped_by(plan_gemm_swapped(args, device_shape()), gemm, args);
}

Status prepare_gemm_swapped_by(const GemmPlan& plan, SwappedGemm& gemm, const GemmArgs& args) {
  if (!gemm_swapped_supports(args)) return invalid_value;
  gemm.args = args;
  if (args.c_row == 0) gemm.args.c_row = args.n;
  gemm.plan = plan;
  if (args.rows == 0) return 0;
  const std::uint64_t a_rows = static_cast<std::uint64_t>(args.rows) *
                               (args.rows_kind == Rows::masked ? static_cast<std::uint64_t>(args.groups) : 1);
  const auto k = static_cast<std::uint64_t>(args.k);
  const Status status =
      make_tensor_map(gemm.a, args.a, a_rows, k, static_cast<std::uint32_t>(plan.tile_rows));
  if (status != 0) return status;
  return make_tensor_map(gemm.w, args.w,
                         static_cast<std::uint64_t>(args.groups) * static_cast<std::uint64_t>(args.n), k,
                         static_cast<std::uint32_t>(plan.tile_columns));
}

Status gemm_swapped(const SwappedGemm& gemm, void* stream) {
  if (gemm.args.rows == 0) return 0;
  if (gemm.plan.splits > 1 && gemm.args.partial == nullptr) return invalid_value;
  const Status status = gemm.plan.tile_columns == 64 ? start<64>(gemm, stream) : start<128>(gemm, stream);
  if (status != 0 || gemm.plan.splits == 1) return status;
  return add_gemm_parts(gemm.args, gemm.plan.splits, stream);
}

}  // namespace dsbench::engine::kernels::cuda
