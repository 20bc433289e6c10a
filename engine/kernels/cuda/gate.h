#pragma once

#include <cstdint>

#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

enum class GateScoring : int { sigmoid, softmax, sqrt_softplus };

// Chooses experts; the semantics are those of engine/kernels/ref/gate.h. The bias takes part in choosing
// only; groups that are not kept are masked with minus infinity.
struct GateArgs {
  const float* logits = nullptr;  // [tokens, experts]
  const float* bias = nullptr;    // [experts]; null: none
  std::int32_t* ids = nullptr;    // [tokens, top_k], best first; the lowest index wins a tie
  float* weights = nullptr;
  std::int64_t tokens = 0;
  int experts = 0;
  int top_k = 0;
  int groups = 1;
  int kept_groups = 1;
  GateScoring scoring = GateScoring::sigmoid;
  bool renormalise = true;
  float routed_scale = 1;
};

// At most 512 experts, 32 groups, top 32.
[[nodiscard]] bool gate_supports(int experts, int top_k, int groups);
[[nodiscard]] Status gate(const GateArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
