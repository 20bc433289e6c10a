#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "loadgen/content_map.h"
#include "loadgen/observer.h"
#include "loadgen/runner.h"
#include "loadgen/stage_driver.h"
#include "results/recorder.h"
#include "results/run_summary.h"

namespace dsbench::loadgen {

struct RehearsalConfig {
  results::Slo slo;
  std::uint64_t seed = 1;
  Nanos budget{210'000'000'000};   // for everything, from the first request
  std::optional<Rate> start_rate;  // default: start_in_flight ÷ unloaded latency
  double start_in_flight = 1;
  std::optional<Rate> forecast;  // what the launch expects; a criterion when given
  Nanos recovery_objective{30'000'000'000};
  // How long a client waits before it gives an attempt up; METASTABLE is not said before 10 times that have
  // passed since the trigger was gone. Absent: clients wait for ever, and most of the recovery hold must have
  // passed.
  std::optional<Nanos> client_patience;
  bool has_follow_ups =
      false;                   // requests lead to others (sessions, agents), which the schedule does not know
  double resolution = 0.10;    // the search ends when its bracket is this narrow
  std::int32_t min_steps = 2;  // of one rate, before the search concludes anything from it
  Nanos warm_up{2'000'000'000};  // of each step; at least 1.5 × the unloaded latency is used
  Nanos step_min{5'000'000'000}, step_max{30'000'000'000};
  double hold_factor = 1.5;  // × knee
  Nanos hold_min{12'000'000'000}, hold_max{30'000'000'000};
  std::int32_t descent_steps = 3;
  Nanos descent_step{6'000'000'000};
  Nanos recovery_min{8'000'000'000}, recovery_max{40'000'000'000};
  Nanos drain_max{12'000'000'000};  // after a step; at least 4 × the unloaded latency is used
  // After a bad step: how long to wait until a lone request is as fast as at the start. A target that goes on
  // working for clients who left looks idle from outside while it is not.
  Nanos settle_max{30'000'000'000};
};

// What the rehearsal tells whoever waits.
struct RehearsalListener {
  std::function<void(std::string_view)> line;                         // something was decided
  std::function<void(const StageStatus&, Nanos run_elapsed)> second;  // once a second
  std::function<void(const StageSpan&)> stage = {};                   // see StageDriver::on_stage
};

struct Rehearsed {
  results::RunSummary summary;   // whole for what was measured, however it ended
  std::optional<Error> aborted;  // why it did not come to its end; an interruption is none
};

// Walks through probe, search, hold, descent and recovery hold (docs/design.md, "The rehearsal") and judges.
// Fills everything of the summary that the experiment yields: verdict, criteria, stages, knee, collapse,
// recovery, ledger, timeline, counts, ended. What surrounds it (command, host, versions, stamps, target) is
// the caller's. Aborted: unreachable, when the target answered none of the first requests.
[[nodiscard]] Rehearsed rehearse(Runner& runner, results::Recorder& recorder, ContentMap& contents,
                                 Observer* observer, const RehearsalConfig& config,
                                 const RehearsalListener& listener);

}  // namespace dsbench::loadgen
