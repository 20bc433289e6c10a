#pragma once

#include <cstdint>

#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

inline constexpr int indexer_heads = 64;
inline constexpr int indexer_dim = 128;

// DSA's indexer, one query a request: logits[b, s] = k_scale[b, s] · Σ_h weights[b, h] · relu(q[b, h]·k[b,
// s]) for s < lengths[b]; what lies beyond is not written.
struct IndexerArgs {
  const void* q = nullptr;         // e4m3 [requests, 64, 128]
  const float* weights = nullptr;  // [requests, 64], the scales of q included
  const void* k = nullptr;         // e4m3 [requests, context, 128]
  const float* k_scale = nullptr;  // [requests, context]
  const std::int32_t* lengths = nullptr;
  float* logits = nullptr;  // [requests, context]
  int requests = 0;
  int context = 0;
};
[[nodiscard]] Status dsa_indexer(const IndexerArgs& args, void* stream);

// The ids of the top_k largest of the first lengths[row] logits, by position; −1 where a row has fewer. Among
// equal logits the lowest positions are taken.
struct TopkArgs {
  const float* logits = nullptr;  // [rows, context]
  const std::int32_t* lengths = nullptr;
  std::int32_t* ids = nullptr;  // [rows, top_k]
  int rows = 0;
  int context = 0;
  int top_k = 0;
};
[[nodiscard]] Status dsa_topk(const TopkArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
