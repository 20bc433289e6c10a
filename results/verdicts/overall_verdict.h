#pragma once

#include <span>
#include <string>

#include "results/run_summary.h"

namespace dsbench::results {

struct OverallJudgement {
  Verdict verdict = Verdict::measured;
  std::string sentence;
};

// INVALID when the generator was not fit to measure, whatever was measured; INCONCLUSIVE when nobody knows
// whether it was, and there are criteria; else NOT READY when a criterion
// is missed; else INCONCLUSIVE when one is unclear; else READY. Without criteria (a plain load run):
// MEASURED, unless invalid.
[[nodiscard]] OverallJudgement judge_run(Validity validity, std::span<const std::string> invalid_causes,
                                         std::span<const Criterion> criteria);

}  // namespace dsbench::results
