#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/units.h"
#include "loadgen/rehearsal.h"
#include "loadgen/rehearsal_planner.h"
#include "results/recorder.h"
#include "results/run_summary.h"

// What a rehearsal found on its way, and what that comes to: the same whether it has just been walked or is
// made again of what was recorded of it.
namespace dsbench::loadgen {

struct RehearsalFindings {
  results::Knee knee;
  results::StepVerdict without_knee = results::StepVerdict::unclear;
  Rate peak;  // the highest good rate of a step
  std::optional<std::uint32_t> peak_stage, hold_stage;
  Rate hold_rate, base;
  std::optional<Nanos> trigger_end;
  std::vector<std::uint32_t> judged_on;  // steps that were kept though the generator was not fit

  // A step that counts, planned to be measured for so long.
  void saw(const results::StageSummary& step, Nanos planned);
  // The search is over: a knee, or none.
  void concluded(const FoundKnee& found);
  void concluded(const Doomed& none);
};

// A step during which the generator was not fit to measure is no evidence; this many in a row and the run is
// invalid.
inline constexpr int invalid_repeats = 2;

// The search of a rehearsal whose requests take `unloaded` when they are alone, begun at `now`.
[[nodiscard]] PlannerConfig planner_config_of(const RehearsalConfig& config, Nanos unloaded, Nanos now);

[[nodiscard]] results::Collapse judge_hold(results::Recorder& recorder, const RehearsalFindings& found,
                                           Nanos from, Nanos to);
[[nodiscard]] results::Recovery judge_return(results::Recorder& recorder, const RehearsalFindings& found,
                                             const RehearsalConfig& config, Nanos to);

// Knee, collapse, recovery, criteria, validity, verdict and sentence of a summary that has its stages. A
// validity that is not known stays so, unless a stage that counts has a cause against it.
void judge_rehearsal(results::Recorder& recorder, const RehearsalFindings& found,
                     const RehearsalConfig& config, results::RunSummary& summary);

}  // namespace dsbench::loadgen
