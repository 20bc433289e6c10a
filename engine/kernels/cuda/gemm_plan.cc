#include <algorithm>

#include "engine/kernels/cuda/gemm.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int tile_columns = 128;
constexpr int least_slabs = 4;  // a part along k shorter than the pipeline is all start-up

}  // namespace

GemmPlan plan_gemm(const GemmArgs& args, const DeviceShape& device) {
  GemmPlan plan;
  int typical = args.typical_rows > 0 ? args.typical_rows : args.rows;
  if (args.rows_kind == Rows::contiguous && args.typical_rows == 0) typical = ceil_div(args.rows, args.groups);
  plan.tile_rows = typical <= 16 ? 16 : typical <= 64 ? 64 : 128;
  plan.stages = plan.tile_rows == 16 ? 6 : 4;
  const int slabs = ceil_div(args.k * (args.type == Element::e4m3 ? 1 : 2), 128);
  const int columns = ceil_div(args.n, tile_columns);
  const long long tiles = most_tiles(args.rows_kind, args.groups, args.rows, plan.tile_rows, columns);
  // Two blocks of the smaller tiles fit a processor.
  const int room = device.processors * (plan.tile_rows == 128 ? 1 : 2);
  if (args.rows_kind == Rows::same && args.groups == 1) plan.splits = plan_splits(tiles, slabs, room, least_slabs);
  plan.grid = static_cast<unsigned>(std::max<long long>(1, std::min<long long>(tiles * plan.splits, room)));
  return plan;
}

bool gemm_supports(const GemmArgs& args) {
  if (args.groups < 1 || args.groups > 1024 || args.n < 1 || args.k < 1) return false;
  if (args.type == Element::e4m3) return args.k % 128 == 0;
  const std::int64_t a_row = args.a_row != 0 ? args.a_row : args.k;
  return args.type == Element::bf16 && args.k % 8 == 0 && a_row % 8 == 0 && args.a_group % 8 == 0;
}

std::size_t gemm_workspace_bytes(const GemmArgs& args) {
  const GemmPlan plan = plan_gemm(args, device_shape());
  if (plan.splits == 1) return 0;
  return static_cast<std::size_t>(plan.splits) * static_cast<std::size_t>(args.rows) * static_cast<std::size_t>(args.n) *
         sizeof(float);
}

}  // namespace dsbench::engine::kernels::cuda
