#pragma once

#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

// mla_decode over the rows of the cache that ids name (sparse_mla) by wgmma: a warpgroup gathers entries into
// tiles of 64 of them, two multiply and take turns (mla_seesaw.cuh). Tiles of 64 rows.
struct GatherMla {
  MlaDecodeArgs args;
  MlaDecodePlan plan;
  TensorMap q;
};

[[nodiscard]] std::size_t mla_gather_workspace_bytes(const MlaDecodeArgs& args);
// Makes the tensor map.
[[nodiscard]] Status prepare_mla_gather(GatherMla& mla, const MlaDecodeArgs& args);
[[nodiscard]] Status mla_gather(const GatherMla& mla, void* stream);

}  // namespace dsbench::engine::kernels::cuda
