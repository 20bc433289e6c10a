#pragma once

#include <vector>

#include "loadgen/rehearsal.h"
#include "results/run_summary.h"

namespace dsbench::loadgen {

// What a rehearsal must show for READY: some load meets the objectives; the safe load reaches the forecast,
// when there is one; no collapse in the hold; recovery within the objective. Reads knee, collapse and
// recovery of the summary.
// `without_knee`: what is to be said where no knee was found.
[[nodiscard]] std::vector<results::Criterion> criteria_of(const results::RunSummary& summary,
                                                          const RehearsalConfig& config,
                                                          results::StepVerdict without_knee);

}  // namespace dsbench::loadgen
