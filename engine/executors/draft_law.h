#pragma once

#include <cstdint>

#include "core/rng.h"

namespace dsbench::engine {

// Whether the draft for a position of a sequence is what the model would have said, where there is no model:
// a function of its arguments, true with probability `acceptance`. Published rates: DeepSeek-V3's MTP module
// has its one draft accepted in 85 to 90 % of cases (arXiv 2412.19437, 5.4.3).
[[nodiscard]] inline bool draft_is_right(std::uint64_t seed, std::int64_t position, double acceptance) {
  return Rng{seed, "spec.draft", static_cast<std::uint64_t>(position)}.uniform() < acceptance;
}

}  // namespace dsbench::engine
