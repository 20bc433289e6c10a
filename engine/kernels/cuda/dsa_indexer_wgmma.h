#pragma once

#include <algorithm>

#include "engine/kernels/cuda/dsa.h"
#include "engine/kernels/cuda/host_device.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

inline constexpr int indexer_tile_keys = 128;
// Tiles of keys that a block has in shared memory or under way, and blocks of a processor.
inline constexpr int indexer_stages = 6;
inline constexpr int indexer_blocks = 2;
// What numbers the tiles of requests lies in shared memory.
inline constexpr int indexer_most_requests = 2048;

// dsa_indexer by wgmma and TMA. The tiles of all requests, laid end to end, are cut into parts of equal
// length (split_plan.h), a block to a part, two blocks to a processor.
[[nodiscard]] constexpr int plan_indexer_parts(int requests, int context, const DeviceShape& device) {
  const long long tiles = static_cast<long long>(requests) * ceil_div(context, indexer_tile_keys);
  return static_cast<int>(
      std::clamp<long long>(tiles, 1, static_cast<long long>(indexer_blocks) * device.processors));
}

struct WgmmaIndexer {
  IndexerArgs args;
  int parts = 1;
  TensorMap q;
  TensorMap k;
};

// Makes the tensor maps: once for operands that stay where they are. At most indexer_most_requests.
[[nodiscard]] Status prepare_dsa_indexer_wgmma(WgmmaIndexer& indexer, const IndexerArgs& args);
[[nodiscard]] Status dsa_indexer_wgmma(const WgmmaIndexer& indexer, void* stream);

}  // namespace dsbench::engine::kernels::cuda
