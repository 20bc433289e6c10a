#pragma once

#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

// Pages that a block has in shared memory or under way.
inline constexpr int mla_wgmma_pages = 2;

// Paged mla_decode by wgmma and TMA: tiles of 64 rows; one warpgroup fetches pages, two share the scores by
// columns and the output by halves of the latent, which is what 64 × 512 sums in registers ask for. Of an FP8
// cache the one warpgroup makes pages bf16 as it brings them.
struct WgmmaMla {
  MlaDecodeArgs args;
  MlaDecodePlan plan;
  TensorMap q;
  TensorMap cache;  // bf16 only
};

[[nodiscard]] std::size_t mla_decode_wgmma_workspace_bytes(const MlaDecodeArgs& args);
// Makes the tensor maps. `cache_blocks`: pages of the whole cache.
[[nodiscard]] Status prepare_mla_decode_wgmma(WgmmaMla& mla, const MlaDecodeArgs& args,
                                              std::int64_t cache_blocks);
[[nodiscard]] Status mla_decode_wgmma(const WgmmaMla& mla, void* stream);

}  // namespace dsbench::engine::kernels::cuda
