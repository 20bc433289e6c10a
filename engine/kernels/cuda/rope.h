#pragma once

#include <cstdint>

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

// Turns the rope part of queries and of the new latent, and writes the latent row into the cache.
struct RopeKvWriteArgs {
  const void* q_pe = nullptr;      // [tokens, heads, rope]
  const void* kv = nullptr;        // [tokens, latent + rope]
  const float* cos_sin = nullptr;  // [positions, rope]: cosines of the rope/2 pairs, then sines
  const std::int32_t* positions = nullptr;
  const std::int32_t* slots = nullptr;
  void* q_pe_out = nullptr;
  void* cache = nullptr;  // [slots, latent + rope]
  std::int64_t tokens = 0;
  int heads = 0;
  int latent = 512;
  int rope = 64;
  bool interleaved = true;  // pairs (2i, 2i+1); else (i, i + rope/2)
  Element type = Element::bf16;
};

// Pieces of 16 bytes must not straddle the latent, the rope part or its halves.
[[nodiscard]] bool rope_kv_write_supports(int latent, int rope, Element type);
[[nodiscard]] Status rope_kv_write(const RopeKvWriteArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
