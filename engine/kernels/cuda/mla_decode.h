#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

inline constexpr int mla_latent = 512;
inline constexpr int mla_rope = 64;
inline constexpr int mla_width = mla_latent + mla_rope;
inline constexpr int mla_block = 64;
// An entry of an FP8 cache, as engine/kernels/kv_layout.h has it: 512 e4m3 codes, an f32 scale for every 128
// of them, the rotary part in bf16.
inline constexpr int mla_scales_at = mla_latent;
inline constexpr int mla_rope_at = mla_latent + mla_latent / 128 * 4;
inline constexpr int mla_fp8_bytes = mla_rope_at + mla_rope * 2;

// Absorbed MLA attention over a latent cache, bf16: paged (each query sees the cache up to its own position),
// or sparse (one query a request, which sees the rows that `ids` names). The rows of a request are its
// queries times heads.
struct MlaDecodeArgs {
  const void* q = nullptr;                    // [requests, queries, heads, 576]
  const void* cache = nullptr;                // paged: [blocks, 64, 576]; sparse: [rows, 576]
  const std::int32_t* block_table = nullptr;  // paged: [requests, max_blocks]
  const std::int32_t* lengths = nullptr;      // paged: [requests]
  const std::int32_t* ids = nullptr;          // sparse: [requests, top_k], −1: none
  void* o = nullptr;                          // [requests, queries, heads, 512]
  float* lse = nullptr;                       // [requests, queries, heads]
  void* workspace = nullptr;
  int requests = 0;
  int queries = 1;
  int heads = 0;
  int max_blocks = 0;  // of the block table
  int top_k = 0;       // sparse
  // Entries of the cache are 656 bytes; code · scale is rounded to bf16 on the way in.
  bool fp8_cache = false;
};

struct MlaDecodePlan {
  int tile_rows = 64;  // 16, 32 or 64 rows of a request to a block
  int row_blocks = 1;
  int parts = 1;  // of the cache of all requests together
};
// `least_rows`: the smallest tile that the kernel has.
[[nodiscard]] MlaDecodePlan plan_mla_decode(const MlaDecodeArgs& args, const DeviceShape& device,
                                            int least_rows = 16);
// What is fastest by the bounds of docs/kernels-cuda.md, which is not yet measured on a device: mma below 64
// rows of bf16, since memory bounds either and its tiles are smaller; above, and of an FP8 cache, wgmma, by
// warpgroups that take turns unless one tile of rows is all that reads a page. gather: the same of what ids
// name.
enum class MlaWay : int { mma, wgmma, seesaw, gather };
[[nodiscard]] MlaWay choose_mla_decode(const MlaDecodeArgs& args, int arch);
[[nodiscard]] std::size_t mla_decode_workspace_bytes(const MlaDecodeArgs& args);
[[nodiscard]] Status mla_decode(const MlaDecodeArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
