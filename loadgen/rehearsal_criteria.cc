#include "loadgen/rehearsal_criteria.h"

#include <fmt/format.h>

#include "core/text.h"

namespace dsbench::loadgen {

using results::CollapseVerdict;
using results::Criterion;
using results::RecoveryVerdict;
using results::RunSummary;
using results::StepVerdict;

std::vector<Criterion> criteria_of(const RunSummary& summary, const RehearsalConfig& config,
                                   StepVerdict without_knee) {
  const results::Knee& knee_found = summary.knee;
  std::vector<Criterion> criteria;
  Criterion knee{"some load meets the objectives",
                 knee_found.sentence.empty() ? "not measured" : knee_found.sentence, StepVerdict::unclear};
  if (knee_found.offered) {
    knee.verdict = StepVerdict::good;
    knee.measured = fmt::format(
        "safe load {}{}", format_rate(*knee_found.offered),
        knee_found.upper ? fmt::format(", the knee lies below {}", format_rate(*knee_found.upper)) : "");
  } else if (!knee_found.sentence.empty()) {
    knee.verdict = without_knee;
  }
  criteria.push_back(knee);
  if (config.forecast) {
    Criterion forecast{fmt::format("safe load ≥ the forecast of {}", format_rate(*config.forecast)),
                       knee.measured, knee.verdict};
    if (knee_found.offered) {
      forecast.verdict = *knee_found.offered >= *config.forecast                    ? StepVerdict::good
                         : knee_found.upper && *knee_found.upper > *config.forecast ? StepVerdict::unclear
                                                                                    : StepVerdict::bad;
      if (!knee_found.upper && forecast.verdict == StepVerdict::bad) forecast.verdict = StepVerdict::unclear;
      forecast.measured += fmt::format(", headroom {:.2f} ×", *knee_found.offered / *config.forecast);
    }
    criteria.push_back(forecast);
  }
  if (!knee_found.offered) return criteria;
  Criterion collapse{fmt::format("no collapse at {:g} × knee", config.hold_factor), summary.collapse.sentence,
                     StepVerdict::unclear};
  if (summary.collapse.verdict == CollapseVerdict::none) collapse.verdict = StepVerdict::good;
  if (summary.collapse.verdict == CollapseVerdict::collapsed) collapse.verdict = StepVerdict::bad;
  if (collapse.measured.empty()) collapse.measured = "not measured";
  criteria.push_back(collapse);

  Criterion recovery{fmt::format("recovers within {}", format_duration(config.recovery_objective)),
                     summary.recovery.sentence, StepVerdict::unclear};
  if (summary.recovery.verdict == RecoveryVerdict::recovered && summary.recovery.time) {
    recovery.verdict =
        *summary.recovery.time <= config.recovery_objective ? StepVerdict::good : StepVerdict::bad;
  }
  if (summary.recovery.verdict == RecoveryVerdict::metastable) recovery.verdict = StepVerdict::bad;
  if (recovery.measured.empty()) recovery.measured = "not measured";
  criteria.push_back(recovery);
  return criteria;
}

}  // namespace dsbench::loadgen
