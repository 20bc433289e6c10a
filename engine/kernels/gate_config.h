#pragma once

#include <cstdint>

namespace dsbench::engine::kernels {

enum class Scoring : std::uint8_t { sigmoid, softmax, sqrt_softplus };  // √ln(1 + e^x)

// What a gate does with its logits. With a correction bias this is DeepSeek-V3's "noaux_tc"; without one,
// V2's.
struct GateConfig {
  std::int32_t experts = 0;
  std::int32_t top_k = 0;
  std::int32_t groups = 1;
  std::int32_t kept_groups = 1;
  Scoring scoring = Scoring::sigmoid;
  bool renormalise = true;
  double routed_scale = 1;
};

}  // namespace dsbench::engine::kernels
