#pragma once

#include <vector>

#include "loadgen/rehearsal.h"
#include "results/recorder.h"
#include "results/run_summary.h"

namespace dsbench::loadgen {

// Judges a rehearsal that was cut off by what was recorded of it: the planner is walked once more along the
// steps that were offered, and hold and recovery are judged as they would have been. Only stages that were
// whole count: `whole`, one for each of the summary's stages, in their order. What the others leave open is
// said in the sentences of knee, collapse and recovery, and what rests on what in a warning.
//
// Needs the summary's stages, with what is known against them; fills what judge_rehearsal() fills.
void retrace_rehearsal(results::Recorder& recorder, const RehearsalConfig& config,
                       const std::vector<bool>& whole, results::RunSummary& summary);

}  // namespace dsbench::loadgen
