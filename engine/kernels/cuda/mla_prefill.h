#pragma once

#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

// Causal attention with 192 wide keys and 128 wide values, bf16: query i stands at position context − queries
// + i.
struct MlaPrefillArgs {
  const void* q = nullptr;  // [queries, heads, 192]
  const void* k = nullptr;  // [context, heads, 192]
  const void* v = nullptr;  // [context, heads, 128]
  void* o = nullptr;        // [queries, heads, 128]
  int queries = 0;
  int context = 0;
  int heads = 0;
};
[[nodiscard]] Status mla_prefill(const MlaPrefillArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
