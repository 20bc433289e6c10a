#include "engine/kernels/cuda/gemm_wgmma.h"

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

constexpr int tile_columns = 128;
constexpr int consumer_rows = 64;

// kConsumers warpgroups multiply kHalves times 64 rows each, one after another; one more fetches. kBoxed:
// with room to put together what they store.
template <int kConsumers, bool kBoxed, int kHalves>
struct Shape {
  static constexpr int own_rows = kHalves * consumer_rows;  // of a warpgroup
  static constexpr int rows = kConsumers * own_rows;
  static constexpr int stages = kConsumers == 1 ? 8 : kHalves == 2 ? 4 : kBoxed ? 5 : 6;
  static constexpr int a_bytes = rows * slab;
  static constexpr int w_bytes = tile_columns * slab;
  static constexpr int stage_bytes = a_bytes + w_bytes;
  static constexpr int threads = (kConsumers + 1) * group_threads;
  // Two warpgroups leave each thread all the registers that it can name.
  static constexpr bool hands_registers = kConsumers > 1;
  static constexpr int ring_bytes = stages * stage_bytes;
  static constexpr int c_bytes = kBoxed ? kConsumers * consumer_rows * tile_columns * 2 : 0;
};

// Rows of a box beyond its group belong to the next group, columns beyond n to its weights: they only reach
// rows and columns that are not written.
template <int kConsumers, bool kBoxed, int kCluster, int kHalves>
DSB_DEVICE void fetch_tiles(const Walk& walk, const GemmArgs& args, const TensorMap& a_map,
                            const TensorMap& w_map, unsigned char* ring, simt::Barrier* full,
                            simt::Barrier* empty) {
  using S = Shape<kConsumers, kBoxed, kHalves>;
  for_each_slab<S::stages>(walk, [&](const TileCoord& at) {
    const int a_row = static_cast<int>(group_at(args, at.group).first_row) + at.row_tile * S::rows;
    const int w_row = at.group * args.n + at.col_tile * tile_columns;
    return [&, a_row, w_row](int i, const Turn<S::stages>& turn) {
      simt::wait_barrier(&empty[turn.stage],
                         turn.phase ^ 1);  // the first time round nobody has to be waited for
      simt::expect_bytes(&full[turn.stage], S::stage_bytes);
      unsigned char* const stage = ring + turn.stage * S::stage_bytes;
      simt::copy_box(stage, a_map, &full[turn.stage], i * slab, a_row);
      if constexpr (kCluster == 1)
        simt::copy_box(stage + S::a_bytes, w_map, &full[turn.stage], i * slab, w_row);
      else
        simt::copy_box_to_pair(stage + S::a_bytes + walk.rank * (S::w_bytes / 2), w_map, &full[turn.stage],
                               i * slab, w_row + walk.rank * (tile_columns / 2));
    };
  });
}

// 64 rows of c, a warpgroup's own, put together in shared memory (`room`) and stored as boxes of 64 columns.
DSB_DEVICE void store_tile(const TensorMap& c_map, unsigned char* room, int n, int row, int column,
                           const float (&sum)[64]) {
  constexpr int box_columns = 64;
  constexpr int box_bytes = consumer_rows * box_columns * 2;
  const int barrier = 1 + simt::thread() / group_threads;
  const int lane = simt::computed_here(simt::thread() % 32);
  const int tile_row = simt::computed_here(simt::thread() % group_threads / 32 * 16);
  const bool stores = simt::thread() % group_threads == 0;
  if (stores) simt::wait_stores();  // of the tile before
  simt::sync_threads_of(barrier, group_threads);
  DSB_UNROLL
  for (int e = 0; e < 64; e += 2) {
    const int at = e / 4 * 8 + c_col(lane, 0);
    *reinterpret_cast<std::uint32_t*>(
        room + at / box_columns * box_bytes +
        swizzled_offset(tile_row + c_row(lane, e % 4), at % box_columns / 8, 8) + at % 8 * 2) =
        simt::to_bf16x2(sum[e], sum[e + 1]);
  }
  simt::fence_async();
  simt::sync_threads_of(barrier, group_threads);
  if (!stores) return;
  for (int box = 0; box < tile_columns / box_columns; ++box) {
    if (column + box * box_columns < n)
      simt::store_box(c_map, room + box * box_bytes, (column + box * box_columns) * 2, row);
  }
  simt::commit_stores();
}

// What a slab's sums are scaled with, a slab ahead: read when the one before is multiplied, so that nobody
// waits for memory between products. A thread has kRows rows, eight apart and then 64; those beyond the group
// have the scales of its last row, and are not written.
template <int kRows>
struct SlabScales {
  DSB_DEVICE SlabScales(const GemmArgs& args, const Walk& walk, const TileCoord& at, const Group& group,
                        int row)
      : of_columns_(args.w_scale +
                    (static_cast<long long>(at.group) * walk.columns + at.col_tile) * walk.slabs) {
    DSB_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const int mine = row + r / 2 * consumer_rows + r % 2 * 8;
      of_row_[r] =
          args.a_scale + (group.first_row + (mine < group.rows ? mine : group.rows - 1)) * walk.slabs;
    }
  }
  DSB_DEVICE void read(int i) {
    w = of_columns_[i];
    DSB_UNROLL
    for (int r = 0; r < kRows; ++r) a[r] = of_row_[r][i];
  }

  float w;
  float a[kRows];

 private:
  const float* of_columns_;
  const float* of_row_[kRows];
};

template <int kConsumers, bool kBoxed, int kCluster, int kHalves>
DSB_DEVICE void multiply_tiles(const Walk& walk, const GemmArgs& args, const TensorMap& c_map,
                               unsigned char* ring, simt::Barrier* full, simt::Barrier* empty) {
  using S = Shape<kConsumers, kBoxed, kHalves>;
  const int consumer = simt::uniform(simt::thread() / group_threads);
  const int lane = simt::thread() % 32;
  const int my_row = consumer * S::own_rows + simt::thread() % group_threads / 32 * 16 + c_row(lane, 0);
  Turn<S::stages> turn;
  DSB_NO_UNROLL
  for (int item = walk.begin(); item < walk.items(); item += walk.step()) {
    const TileCoord at = walk.tile(item);
    const SlabRange range = walk.range(item);
    const Group group = group_at(args, at.group);
    const int row = at.row_tile * S::rows + my_row;  // and row + 8, and the same of the other half
    SlabScales<2 * kHalves> scales(args, walk, at, group, row);
    scales.read(range.begin);
    float sum[kHalves][64] = {};
    DSB_NO_UNROLL
    for (int i = range.begin; i < range.end; ++i, turn.next()) {
      float scale[kHalves][2];
      DSB_UNROLL
      for (int r = 0; r < 2 * kHalves; ++r) scale[r / 2][r % 2] = scales.a[r] * scales.w;
      simt::wait_barrier(&full[turn.stage], turn.phase);
      const std::uint32_t stage =
          simt::shared_address(ring) + static_cast<std::uint32_t>(simt::uniform(turn.stage) * S::stage_bytes);
      const std::uint64_t w = simt::whole(k_major_descriptor(stage + static_cast<std::uint32_t>(S::a_bytes)));
      const std::uint64_t a_operand =
          simt::whole(k_major_descriptor(stage + static_cast<std::uint32_t>(consumer * S::own_rows * slab)));
      DSB_UNROLL
      for (int half = 0; half < kHalves; ++half) {
        const std::uint64_t a = a_operand + static_cast<std::uint64_t>(half * consumer_rows * slab / 16);
        float raw[64];
        simt::wgmma_fence(raw);
        DSB_UNROLL
        for (int step = 0; step < slab / 32; ++step)
          simt::wgmma_e4m3(raw, a + static_cast<std::uint64_t>(step * 32 / 16),
                           w + static_cast<std::uint64_t>(step * 32 / 16), step > 0);
        simt::wgmma_commit();
        if (half == 0 && i + 1 < range.end) scales.read(i + 1);  // while that is under way
        simt::wgmma_wait<0>(raw);
        if (half == kHalves - 1 && lane == 0) {  // each warp for itself: the wait covers only its own part
          if constexpr (kCluster == 1) {
            simt::arrive(&empty[turn.stage]);
          } else {
            for (int rank = 0; rank < kCluster; ++rank) simt::arrive_at(&empty[turn.stage], rank);
          }
        }
        DSB_UNROLL
        for (int e = 0; e < 64; ++e) sum[half][e] += raw[e] * scale[half][e % 4 / 2];
      }
    }
    DSB_UNROLL
    for (int half = 0; half < kHalves; ++half) {
      const int first_row = at.row_tile * S::rows + consumer * S::own_rows + half * consumer_rows;
      if (first_row >= group.rows) continue;
      if constexpr (kBoxed) {
        // Rows of a box beyond a dense c are not written; those beyond a group are the next group's.
        if (args.rows_kind == Rows::same || first_row + consumer_rows <= group.rows) {
          store_tile(c_map, ring + S::ring_bytes + consumer * (S::c_bytes / kConsumers), args.n,
                     static_cast<int>(group.first_row) + first_row, at.col_tile * tile_columns, sum[half]);
          continue;
        }
      }
      const int part = item / walk.tiles;
      const int mine = row + half * consumer_rows;
      const OutputRow low(args, at.group, group, mine, walk.splits, part);
      const OutputRow high(args, at.group, group, mine + 8, walk.splits, part);
      DSB_UNROLL
      for (int e = 0; e < 64; e += 8) {
        const int column = at.col_tile * tile_columns + e / 4 * 8;
        const float(&c)[64] = sum[half];
        low.store_tiles(args, column, {c[e], c[e + 1]}, {c[e + 4], c[e + 5]});
        high.store_tiles(args, column, {c[e + 2], c[e + 3]}, {c[e + 6], c[e + 7]});
      }
    }
  }
  if (kBoxed && simt::thread() % group_threads == 0) simt::wait_stores();
}

template <int kConsumers, bool kBoxed, int kCluster, int kHalves>
DSB_KERNEL((Shape<kConsumers, kBoxed, kHalves>::threads), 1)
gemm_wgmma_kernel(const DSB_GRID_CONSTANT TensorMap a_map, const DSB_GRID_CONSTANT TensorMap w_map,
                  const DSB_GRID_CONSTANT TensorMap c_map, const DSB_GRID_CONSTANT GemmArgs args,
                  int splits) {
  using S = Shape<kConsumers, kBoxed, kHalves>;
  unsigned char* const ring = simt::shared();
  auto* const full = reinterpret_cast<simt::Barrier*>(ring + S::ring_bytes + S::c_bytes);
  simt::Barrier* const empty = full + S::stages;
  int* const first = reinterpret_cast<int*>(empty + S::stages);
  const int columns = ceil_div(args.n, tile_columns);
  if (simt::thread() / 32 == 0)
    prefix_of(first, args.groups, [&](int g) {
      return ceil_div(rows_of(args.rows_kind, args.table, args.rows, g), S::rows * kCluster) * columns;
    });
  if (simt::thread() == 32) {
    simt::prefetch_map(a_map);
    simt::prefetch_map(w_map);
    for (int i = 0; i < S::stages; ++i) {
      simt::init_barrier(&full[i], 1);
      simt::init_barrier(&empty[i], kCluster * kConsumers * group_threads / 32);
    }
    simt::fence_barriers();
  }
  if constexpr (kCluster > 1)
    simt::sync_cluster();
  else
    simt::sync_block();
  simt::launch_next();  // what adds the parts of a split product
  const Walk walk{first,  args.groups,   columns,  simt::uniform(first[args.groups]),
                  splits, args.k / slab, kCluster, kCluster > 1 ? simt::cluster_rank() : 0};
  if (simt::thread() / group_threads == kConsumers) {
    if constexpr (S::hands_registers) simt::release_registers<40>();
    if (simt::thread() % group_threads == 0)
      fetch_tiles<kConsumers, kBoxed, kCluster, kHalves>(walk, args, a_map, w_map, ring, full, empty);
  } else {
    if constexpr (S::hands_registers) simt::take_registers<232>();
    multiply_tiles<kConsumers, kBoxed, kCluster, kHalves>(walk, args, c_map, ring, full, empty);
  }
  // The other block may still send weights here, or arrive.
  if constexpr (kCluster > 1) simt::sync_cluster();
}

template <int kConsumers, bool kBoxed, int kCluster, int kHalves>
Status start(const WgmmaGemm& gemm, void* stream) {
  using S = Shape<kConsumers, kBoxed, kHalves>;
  const std::size_t shared = S::ring_bytes + S::c_bytes + 2 * S::stages * sizeof(simt::Barrier) +
                             static_cast<std::size_t>(gemm.args.groups + 1) * sizeof(int);
  return launch(&gemm_wgmma_kernel<kConsumers, kBoxed, kCluster, kHalves>,
                LaunchShape{{gemm.plan.grid, 1}, S::threads, shared, false, kCluster}, stream, gemm.a, gemm.w,
                gemm.c, gemm.args, gemm.plan.splits);
}

}  // namespace

namespace {

Status prepare_by(const GemmPlan& plan, WgmmaGemm& gemm, const GemmArgs& args) {
  gemm.args = args;
  gemm.args.a_row = args.k;
  if (args.c_row == 0) gemm.args.c_row = args.n;
  gemm.plan = plan;
  if (args.rows == 0) return 0;  // no tensor map is of nothing
  const std::uint64_t a_rows = static_cast<std::uint64_t>(args.rows) *
                               (args.rows_kind == Rows::masked ? static_cast<std::uint64_t>(args.groups) : 1);
  const auto k = static_cast<std::uint64_t>(args.k);
  const Status status =
      make_tensor_map(gemm.a, args.a, a_rows, k, static_cast<std::uint32_t>(gemm.plan.tile_rows));
  if (status != 0) return status;
  const auto n = static_cast<std::uint64_t>(args.n);
  if (gemm.plan.boxed_stores) {
    const Status made = make_tensor_map(gemm.c, args.c, a_rows, n * sizeof(Bf16), consumer_rows);
    if (made != 0) return made;
    gemm.c_mapped = args.c;
  }
  return make_tensor_map(gemm.w, args.w, static_cast<std::uint64_t>(args.groups) * n, k,
                         static_cast<std::uint32_t>(tile_columns / gemm.plan.cluster));
}

}  // namespace

Status prepare_gemm_wgmma(WgmmaGemm& gemm, const GemmArgs& args) {
  if (!gemm_wgmma_supports(args)) return invalid_value;
  return prepare_by(plan_gemm_wgmma(args, device_shape()), gemm, args);
}

Status prepare_gemm_tall(WgmmaGemm& gemm, const GemmArgs& args) {
  if (!gemm_tall_supports(args)) return invalid_value;
  return prepare_by(plan_gemm_tall(args, device_shape()), gemm, args);
}

Status gemm_wgmma(const WgmmaGemm& gemm, void* stream) {
  if (gemm.args.rows == 0) return 0;
  if (gemm.plan.splits > 1 && gemm.args.partial == nullptr) return invalid_value;
  const bool boxed = gemm.plan.boxed_stores && gemm.c_mapped == gemm.args.c;
  const bool pairs = gemm.plan.cluster == 2;
  const bool tall = gemm.plan.tile_rows == 256;
  const Status status = tall && boxed               ? start<2, true, 2, 2>(gemm, stream)
                        : tall                      ? start<2, false, 2, 2>(gemm, stream)
                        : boxed && pairs            ? start<2, true, 2, 1>(gemm, stream)
                        : pairs                     ? start<2, false, 2, 1>(gemm, stream)
                        : boxed                     ? start<2, true, 1, 1>(gemm, stream)
                        : gemm.plan.tile_rows == 64 ? start<1, false, 1, 1>(gemm, stream)
                                                    : start<2, false, 1, 1>(gemm, stream);
  if (status != 0 || gemm.plan.splits == 1) return status;
  return add_gemm_parts(gemm.args, gemm.plan.splits, stream);
}

}  // namespace dsbench::engine::kernels::cuda
