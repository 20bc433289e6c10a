#pragma once

#include <cstdint>

#include "results/run_summary.h"

namespace dsbench::results {

inline constexpr double good_share_wanted = 0.99;
inline constexpr double step_confidence = 0.95;

struct ShareJudgement {
  double share = 0, lower = 0, upper = 1;  // one-sided bounds, each at the confidence
  StepVerdict verdict = StepVerdict::unclear;
};

// Good when the lower bound of good ÷ offered reaches `wanted` (that takes at least 299 requests for 0.99 at
// 95 %), bad when the upper bound stays below it, unclear otherwise. A request that has not ended counts as
// offered and not as good.
[[nodiscard]] ShareJudgement judge_step(std::int64_t good, std::int64_t offered,
                                        double wanted = good_share_wanted,
                                        double confidence = step_confidence);

}  // namespace dsbench::results
