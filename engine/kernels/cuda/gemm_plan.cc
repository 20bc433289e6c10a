#include <algorithm>
#include <cstdint>
#include <limits>

#include "engine/kernels/cuda/gemm.h"
#include "engine/kernels/cuda/gemm_swapped.h"
#include "engine/kernels/cuda/gemm_wgmma.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int tile_columns = 128;
constexpr int least_slabs = 4;  // a part along k shorter than the pipeline is all start-up

std::size_t parts_bytes(const GemmArgs& args, int splits) {
  if (splits == 1) return 0;
  return static_cast<std::size_t>(splits) * static_cast<std::size_t>(args.rows) *
         static_cast<std::size_t>(args.n) * sizeof(float);
}

// Rows of a tile of gemm_swapped: all of a dense product, and of a group half as many again as are expected,
// because a second tile of rows fetches the weights once more.
int swapped_rows(const GemmArgs& args) {
  const int typical = typical_rows(args);
  const bool groups = args.rows_kind != Rows::same;
  const int wanted = groups ? std::min(typical + ceil_div(typical, 2), args.rows) : typical;
  int rows = 8;
  while (rows < wanted && rows < 128) rows *= 2;
  return rows;
}

// What a swapped product takes, as the bytes that a processor's share of the memory's bandwidth brings
// meanwhile. Assumed and not measured: a processor can take half as much again as its share where others are
// idle; rows of a come from the second-level cache, twice as fast; so do parts, which are written and read.
long long swapped_cost(const GemmArgs& args, const GemmPlan& plan, long long tiles,
                       const DeviceShape& device) {
  constexpr long long begin_and_end = 4096;   // of a tile
  constexpr long long second_kernel = 32768;  // that adds the parts: about a microsecond
  const int slabs = ceil_div(args.k / 128, plan.splits);
  const long long of_tile = slabs * (plan.tile_columns * 128LL + plan.tile_rows * 128 / 2) + begin_and_end;
  const long long all = tiles * plan.splits;
  const long long evenly = all * of_tile / device.processors;
  const long long busiest = ceil_div<long long>(all, device.processors) * of_tile;
  const long long parts = static_cast<long long>(parts_bytes(args, plan.splits)) / device.processors;
  return std::max(evenly, busiest * 2 / 3) + (plan.splits > 1 ? second_kernel + parts : 0);
}

}  // namespace

int typical_rows(const GemmArgs& args) {
  if (args.typical_rows > 0) return args.typical_rows;
  return args.rows_kind == Rows::contiguous ? ceil_div(args.rows, args.groups) : args.rows;
}

GemmPlan plan_gemm(const GemmArgs& args, const DeviceShape& device) {
  GemmPlan plan;
  const int typical = typical_rows(args);
  plan.tile_rows = typical <= 16 ? 16 : typical <= 64 ? 64 : 128;
  plan.stages = plan.tile_rows == 16 ? 6 : 4;
  const int slabs = ceil_div(args.k * (args.type == Element::e4m3 ? 1 : 2), 128);
  const int columns = ceil_div(args.n, tile_columns);
  const long long tiles = most_tiles(args.rows_kind, args.groups, args.rows, plan.tile_rows, columns);
  // Two blocks of the smaller tiles fit a processor.
  const int room = device.processors * (plan.tile_rows == 128 ? 1 : 2);
  if (args.rows_kind == Rows::same && args.groups == 1)
    plan.splits = plan_splits(tiles, slabs, room, least_slabs);
  plan.grid = static_cast<unsigned>(std::max<long long>(1, std::min<long long>(tiles * plan.splits, room)));
  return plan;
}

bool gemm_supports(const GemmArgs& args) {
  if (args.groups < 1 || args.groups > 1024 || args.n < 1 || args.k < 1) return false;
  return args.type == Element::bf16 || (args.type == Element::e4m3 && args.k % 128 == 0);
}

std::size_t gemm_workspace_bytes(const GemmArgs& args) {
  return parts_bytes(args, plan_gemm(args, device_shape()).splits);
}

namespace {

// Whether c may leave by TMA, which wants its rows one after another, on 16 bytes.
bool stores_boxes(const GemmArgs& args) {
  return args.n % 8 == 0 && (args.c_row == 0 || args.c_row == args.n) &&
         reinterpret_cast<std::uintptr_t>(args.c) % 16 == 0;
}

}  // namespace

GemmPlan plan_gemm_wgmma(const GemmArgs& args, const DeviceShape& device) {
  GemmPlan plan;
  plan.tile_rows = typical_rows(args) <= 64 ? 64 : 128;
  plan.stages = plan.tile_rows == 64 ? 8 : 6;  // 192 KB of shared memory either way
  const int columns = ceil_div(args.n, tile_columns);
  const long long tiles = most_tiles(args.rows_kind, args.groups, args.rows, plan.tile_rows, columns);
  if (args.rows_kind == Rows::same)
    plan.splits = plan_splits(tiles, args.k / 128, device.processors, least_slabs);
  plan.grid = static_cast<unsigned>(
      std::max<long long>(1, std::min<long long>(tiles * plan.splits, device.processors)));
  // Room to put a tile of c together costs a stage of the ring: that is for tiles whose products take longer
  // than their copies.
  plan.boxed_stores = plan.tile_rows == 128 && plan.splits == 1 && stores_boxes(args);
  if (plan.boxed_stores) plan.stages = 5;
  // Two blocks with neighbouring tiles of rows fetch half of the weights each, for both. An odd tile of rows
  // leaves one of them idle, which many make up for.
  const int typical = typical_rows(args);
  const int row_tiles = ceil_div(typical, plan.tile_rows);
  const bool pairs = row_tiles >= 8 || (args.rows_kind == Rows::same && row_tiles % 2 == 0);
  if (plan.boxed_stores && pairs && device.processors >= 2) {
    plan.cluster = 2;
    const long long most = most_tiles(args.rows_kind, args.groups, args.rows, 2 * plan.tile_rows, columns);
    plan.grid =
        static_cast<unsigned>(2 * std::max<long long>(1, std::min<long long>(most, device.processors / 2)));
  }
  return plan;
}

GemmPlan plan_gemm_tall(const GemmArgs& args, const DeviceShape& device) {
  GemmPlan plan;
  plan.tile_rows = 256;
  plan.stages = 4;  // 192 KB, and room for half a tile of c
  plan.cluster = 2;
  plan.boxed_stores = stores_boxes(args);
  const long long most =
      most_tiles(args.rows_kind, args.groups, args.rows, 2 * plan.tile_rows, ceil_div(args.n, tile_columns));
  plan.grid =
      static_cast<unsigned>(2 * std::max<long long>(1, std::min<long long>(most, device.processors / 2)));
  return plan;
}

bool gemm_tall_supports(const GemmArgs& args) {
  return gemm_wgmma_supports(args) && typical_rows(args) > 128 && args.groups <= 512;
}

bool gemm_wgmma_supports(const GemmArgs& args) {
  return args.type == Element::e4m3 && gemm_supports(args) && args.a_row == 0 && args.a_group == 0 &&
         args.c_group == 0 && (args.rows_kind != Rows::same || args.groups == 1);
}

std::size_t gemm_wgmma_workspace_bytes(const GemmArgs& args) {
  return parts_bytes(args, plan_gemm_wgmma(args, device_shape()).splits);
}

GemmPlan plan_gemm_swapped(const GemmArgs& args, const DeviceShape& device) {
  const bool dense = args.rows_kind == Rows::same;
  const int tile_rows = swapped_rows(args);
  // Groups that will have rows, as far as one can tell: the grid is for the most that there can be.
  const int groups = args.rows_kind == Rows::contiguous ? std::min(args.groups, args.rows) : args.groups;
  const long long row_tiles = static_cast<long long>(groups) * ceil_div(typical_rows(args), tile_rows);
  const int most_splits = dense ? std::max(1, args.k / 128 / least_slabs) : 1;
  GemmPlan best;
  long long least = std::numeric_limits<long long>::max();
  // Narrow tiles are more evenly dealt, but each reads all of a: not with the most rows.
  for (const int columns : {128, 64}) {
    if (columns == 64 && tile_rows == 128) continue;
    for (int splits = 1; splits <= most_splits; ++splits) {
      if (parts_bytes(args, splits) > most_parts_bytes(device)) break;
      GemmPlan plan;
      plan.tile_rows = tile_rows;
      plan.tile_columns = columns;
      plan.splits = splits;
      const long long cost = swapped_cost(args, plan, row_tiles * ceil_div(args.n, columns), device);
      if (cost >= least) continue;
      least = cost;
      best = plan;
    }
  }
  best.stages = SwappedRoom{best.tile_columns, best.tile_rows}.stages();
  const long long tiles =
      most_tiles(args.rows_kind, args.groups, args.rows, best.tile_rows, ceil_div(args.n, best.tile_columns));
  best.grid = static_cast<unsigned>(
      std::max<long long>(1, std::min<long long>(tiles * best.splits, device.processors)));
  return best;
}

bool gemm_swapped_supports(const GemmArgs& args) {
  return gemm_wgmma_supports(args) && typical_rows(args) <= 256;
}

std::size_t gemm_swapped_workspace_bytes(const GemmArgs& args) {
  return parts_bytes(args, plan_gemm_swapped(args, device_shape()).splits);
}

GemmWay choose_gemm(const GemmArgs& args, int arch) {
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
  if (arch != 90 || !gemm_wgmma_supports(args) || !aligned(args.a) || !aligned(args.w)) return GemmWay::mma;
  // One tile of rows, or each of them reads the weights; of groups, which vary, most should have but one.
  const int most = args.rows_kind == Rows::same ? 128 : 64;
  return typical_rows(args) <= most ? GemmWay::swapped : GemmWay::wgmma;
}

}  // namespace dsbench::engine::kernels::cuda
