#pragma once

#include <algorithm>

#include "engine/kernels/cuda/gemm.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

// The e4m3 products of gemm.h where rows are few, by wgmma and TMA with the operands swapped: the tensor
// cores take 64 rows at least, so those are weights, and the rows of a, of which eight will do, are the
// columns of their product.
struct SwappedGemm {
  GemmArgs args;
  GemmPlan plan;
  TensorMap a;
  TensorMap w;
};

// Shared memory of a block of the kernel: a ring of stages, room to turn c round, scales beside each stage.
struct SwappedRoom {
  int columns;
  int rows;
  [[nodiscard]] constexpr int w_bytes() const { return columns * 128; }
  [[nodiscard]] constexpr int stage_bytes() const { return w_bytes() + rows * 128; }
  // Rows of c that a warpgroup turns round at a time, its own 64 columns of them.
  [[nodiscard]] constexpr int turned_rows() const { return std::min(rows, 64); }
  [[nodiscard]] constexpr int turned_bytes() const { return columns / 64 * turned_rows() * 64 * 2; }
  [[nodiscard]] constexpr int scales() const { return rows + 4; }  // of a's rows, then that of w
  [[nodiscard]] constexpr int beside_stage() const { return scales() * 4 + 2 * 8; }  // and two barriers
  [[nodiscard]] constexpr int stages() const {
    constexpr int most_bytes = 232448;           // what a block may have
    constexpr int most_groups_bytes = 1028 * 4;  // first tiles of up to 1,024 groups
    return std::min(24, (most_bytes - most_groups_bytes - turned_bytes()) / (stage_bytes() + beside_stage()));
  }
  [[nodiscard]] constexpr int bytes(int groups) const {
    return stages() * (stage_bytes() + beside_stage()) + turned_bytes() + (groups + 1) * 4;
  }
};

// As gemm_wgmma, but for at most 256 rows to a group: beyond, every tile of rows reads the weights again.
[[nodiscard]] bool gemm_swapped_supports(const GemmArgs& args);
[[nodiscard]] GemmPlan plan_gemm_swapped(const GemmArgs& args, const DeviceShape& device);
[[nodiscard]] std::size_t gemm_swapped_workspace_bytes(const GemmArgs& args);
// Makes the tensor maps: once for operands that stay where they are.
[[nodiscard]] Status prepare_gemm_swapped(SwappedGemm& gemm, const GemmArgs& args);
[[nodiscard]] Status prepare_gemm_swapped_by(const GemmPlan& plan, SwappedGemm& gemm, const GemmArgs& args);
[[nodiscard]] Status gemm_swapped(const SwappedGemm& gemm, void* stream);

}  // namespace dsbench::engine::kernels::cuda
