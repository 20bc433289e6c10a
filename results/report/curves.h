#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "results/run_summary.h"

// What the charts plot, taken from a run; no drawing here.
namespace dsbench::results::report {

// Stages on the way up (probes, steps, load), by offered rate.
[[nodiscard]] std::vector<const StageSummary*> rising(const RunSummary& run);
// Every hold.
[[nodiscard]] std::vector<const StageSummary*> holds(const RunSummary& run);
// From the last hold down: that hold, the descent, the recovery, in the order of time. Empty when there was
// no way down.
[[nodiscard]] std::vector<const StageSummary*> falling(const RunSummary& run);

// Repeats of one planned rate as one point: counts over the time they took together.
struct PooledStep {
  double planned = 0;  // all rates per second
  double offered = 0, delivered = 0, completed = 0, good = 0;
  std::vector<const StageSummary*> stages;
};
[[nodiscard]] std::vector<PooledStep> pool(const std::vector<const StageSummary*>& stages);

// What happened around the trigger, second by second.
struct RecoveryPoint {
  double seconds = 0;                // middle of the bin, since the start of the run
  std::optional<double> good_share;  // of the requests due in the bin; nothing when none was due
  double in_flight = 0;              // most in the bin
};
struct RecoveryWindow {
  double from = 0, to = 0;             // seconds since the start of the run
  double bin = 1;                      // seconds
  double trigger_end = 0;              // offered rate back at or below the knee
  std::optional<double> recovered_at;  // seconds since the start of the run
  std::vector<RecoveryPoint> points;
  std::vector<const StageSummary*> stages;
};
// Nothing when the run has no way down or no timeline.
[[nodiscard]] std::optional<RecoveryWindow> recovery_window(const RunSummary& run);

// The timeline in bins of `bin` seconds, no more than `at_most` of them. Counts become rates per second. Of
// levels and of latencies it keeps the highest: an average of percentiles does not exist.
struct TimelineBin {
  double seconds = 0;  // start
  double offered = 0, sent = 0, completed = 0, good = 0, failed = 0;
  double in_flight = 0;
  std::optional<double> ttft_p50, ttft_max;  // seconds
  double send_lag_max = 0;                   // seconds
  std::optional<double> engine_running, engine_waiting, engine_kv_used_share;
};
struct BinnedTimeline {
  std::int64_t bin = 1;
  std::vector<TimelineBin> bins;
};
[[nodiscard]] BinnedTimeline bin_timeline(const RunSummary& run, std::size_t at_most);

}  // namespace dsbench::results::report
