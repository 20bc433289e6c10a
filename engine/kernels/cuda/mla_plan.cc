#include <algorithm>

#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/split_plan.h"

namespace dsbench::engine::kernels::cuda {

MlaDecodePlan plan_mla_decode(const MlaDecodeArgs& args, const DeviceShape& device, int least_rows) {
  const int rows = args.queries * args.heads;
  MlaDecodePlan plan;
  plan.tile_rows = rows <= 16 ? 16 : rows <= 32 ? 32 : 64;
  plan.tile_rows = std::max(plan.tile_rows, least_rows);
  plan.row_blocks = ceil_div(rows, plan.tile_rows);
  const int request_blocks = args.ids != nullptr ? ceil_div(args.top_k, mla_block) : args.max_blocks;
  const long long blocks = static_cast<long long>(args.requests) * request_blocks;
  plan.parts = static_cast<int>(
      std::max<long long>(1, std::min<long long>(device.processors / plan.row_blocks, blocks)));
  return plan;
}

MlaWay choose_mla_decode(const MlaDecodeArgs& args, int arch) {
  constexpr int wgmma_rows = 64;  // of a tile
  const int rows = args.queries * args.heads;
  if (arch != 90) return MlaWay::mma;
  if (rows < wgmma_rows && !args.fp8_cache) return MlaWay::mma;
  if (args.ids != nullptr) return MlaWay::gather;
  return rows > wgmma_rows || args.fp8_cache ? MlaWay::seesaw : MlaWay::wgmma;
}

MlaWorkspace mla_workspace(const MlaDecodeArgs& args, const MlaDecodePlan& plan) {
  const auto rows = static_cast<std::size_t>(args.queries) * static_cast<std::size_t>(args.heads);
  const auto slots = static_cast<std::size_t>(plan.parts) + static_cast<std::size_t>(args.requests);
  MlaWorkspace at;
  at.lse = round_up<std::size_t>((static_cast<std::size_t>(args.requests) + 1) * sizeof(int), 256);
  at.o = round_up<std::size_t>(at.lse + slots * rows * sizeof(float), 256);
  at.bytes = at.o + slots * rows * mla_latent * sizeof(float);
  return at;
}

std::size_t mla_decode_workspace_bytes(const MlaDecodeArgs& args) {
  return mla_workspace(args, plan_mla_decode(args, device_shape())).bytes;
}

}  // namespace dsbench::engine::kernels::cuda
