#pragma once

#include <cstdint>

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/launch.h"
#include "engine/kernels/cuda/tile_schedule.h"

namespace dsbench::engine::kernels::cuda {

// c = a·wᵀ in groups: dense (one group), experts (contiguous or masked rows), heads (same rows, strided).
// bf16 operands, or e4m3 with f32 scales of 1×128 for a and 128×128 for w, promoted to f32 every 128 of k. c
// is bf16.
struct GemmArgs {
  const void* a = nullptr;
  const float* a_scale = nullptr;  // [rows of a, k/128]; e4m3 only
  const void* w = nullptr;         // [groups, n, k]
  const float* w_scale = nullptr;  // [groups, ⌈n/128⌉, k/128]; e4m3 only
  void* c = nullptr;
  float* partial = nullptr;  // gemm_workspace_bytes() of them; may be null when that is 0
  Element type = Element::bf16;
  Rows rows_kind = Rows::same;
  const int* table = nullptr;  // contiguous: offsets[groups + 1]; masked: rows[groups]
  int groups = 1;
  int rows = 0;          // same: of each group; contiguous: of all together; masked: room of each group
  int typical_rows = 0;  // what a group is expected to have: chooses the tile; 0: rows
  int n = 0;
  int k = 0;
  std::int64_t a_row = 0;    // elements from row to row; 0: k
  std::int64_t c_row = 0;    // 0: n
  std::int64_t a_group = 0;  // elements from group to group beside what the rows say (heads)
  std::int64_t c_group = 0;
};

// What will be launched: how the planner cuts the product.
struct GemmPlan {
  int tile_rows = 128;     // 16, 64 or 128; gemm_swapped: 8, 16, 32, 64 or 128
  int tile_columns = 128;  // gemm_swapped: 64 or 128
  int splits = 1;          // along k; then a second kernel adds the parts in order
  int stages = 4;          // slabs of 128 bytes under way
  unsigned grid = 1;
  int cluster = 1;            // gemm_wgmma: blocks that share what they fetch of the weights
  bool boxed_stores = false;  // gemm_wgmma: whole tiles of c leave by TMA
};
// Parts of a product never take more bytes than this.
[[nodiscard]] constexpr std::size_t most_parts_bytes(const DeviceShape& device) {
  return static_cast<std::size_t>(device.processors) * 2 * 128 * 128 * sizeof(float);
}
// Rows that a group is expected to have.
[[nodiscard]] int typical_rows(const GemmArgs& args);
[[nodiscard]] GemmPlan plan_gemm(const GemmArgs& args, const DeviceShape& device);

// Which kernel is to take a product on a device of this SM version (gemm, gemm_wgmma, gemm_swapped).
enum class GemmWay : std::uint8_t { mma, wgmma, swapped };
[[nodiscard]] GemmWay choose_gemm(const GemmArgs& args, int arch);

// At most 1,024 groups; e4m3: k a multiple of 128. bf16 rows that do not start on 16 bytes go the slow way.
[[nodiscard]] bool gemm_supports(const GemmArgs& args);
[[nodiscard]] std::size_t gemm_workspace_bytes(const GemmArgs& args);
[[nodiscard]] Status gemm(const GemmArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
