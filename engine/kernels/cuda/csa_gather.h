#pragma once

#include "engine/kernels/cuda/csa_decode.h"
#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

// csa_decode by wgmma, as mla_gather: entries are gathered into tiles of 64, and two warpgroups take turns
// with them. Tiles of 64 rows.
struct GatherCsa {
  CsaDecodeArgs args;
  MlaDecodePlan plan;
  TensorMap q;
};

[[nodiscard]] std::size_t csa_gather_workspace_bytes(const CsaDecodeArgs& args);
// Makes the tensor map.
[[nodiscard]] Status prepare_csa_gather(GatherCsa& csa, const CsaDecodeArgs& args);
[[nodiscard]] Status csa_gather(const GatherCsa& csa, void* stream);

}  // namespace dsbench::engine::kernels::cuda
