#pragma once

#include "engine/kernels/cuda/gemm.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

// The e4m3 products of gemm.h by wgmma and TMA: one warpgroup fetches, one or two multiply, blocks stay and
// walk through tiles.
struct WgmmaGemm {
  GemmArgs args;
  GemmPlan plan;
  TensorMap a;
  TensorMap w;
  TensorMap c;                     // with boxed stores
  const void* c_mapped = nullptr;  // where c lay when the map was made; elsewhere it is stored without it
};

// e4m3 with rows of a one after another (dense, contiguous or masked; not the heads of absorb products).
[[nodiscard]] bool gemm_wgmma_supports(const GemmArgs& args);
[[nodiscard]] GemmPlan plan_gemm_wgmma(const GemmArgs& args, const DeviceShape& device);
[[nodiscard]] std::size_t gemm_wgmma_workspace_bytes(const GemmArgs& args);
// Makes the tensor maps: once for operands that stay where they are.
[[nodiscard]] Status prepare_gemm_wgmma(WgmmaGemm& gemm, const GemmArgs& args);
[[nodiscard]] Status gemm_wgmma(const WgmmaGemm& gemm, void* stream);

// The same with tiles of 256 rows in pairs of blocks: a warpgroup multiplies twice 64 rows, one half after
// the other, so that less has to come for a product. For more than 128 rows to a group, and up to 512 groups.
// The engine does not take it: where it pays is not yet measured on a device.
[[nodiscard]] bool gemm_tall_supports(const GemmArgs& args);
[[nodiscard]] GemmPlan plan_gemm_tall(const GemmArgs& args, const DeviceShape& device);
// Then gemm_wgmma.
[[nodiscard]] Status prepare_gemm_tall(WgmmaGemm& gemm, const GemmArgs& args);

}  // namespace dsbench::engine::kernels::cuda
