#pragma once

#include <cstdint>
#include <span>

#include "engine/executors/executor.h"

namespace dsbench::engine {

// The token that follows `position`. temperature 0: the largest logit, the lowest token on a tie. Otherwise
// the inverse CDF of softmax(logits/temperature), in order of token, at a uniform that depends on (seed,
// position) alone, so that a token that is computed again after a preemption is the same token.
[[nodiscard]] TokenId sample_token(std::span<const float> logits, float temperature, std::uint64_t seed,
                                   std::int32_t position);

}  // namespace dsbench::engine
