#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "results/run_summary.h"

namespace dsbench::results {

// A bound on one number of a stage: "p95 ttft < 2s", "good_share >= 99%", "good_rate > 40/s",
// "climb: p50 tpot <= 50ms"; or on that of every window in it: "p99 ttft < 500ms over 60s".
struct Threshold {
  enum class Op : std::uint8_t { less, at_most, more, at_least };
  std::string text;   // as it was written
  std::string stage;  // the beginning of a stage's name; empty: every stage
  std::string metric;
  double quantile = -1;  // of a latency: 0.95; -1: the mean; -2: the maximum
  Op op = Op::less;
  double value = 0;  // seconds, a share or a rate per second
  Nanos window{0};   // 0: the stage as a whole. Else see windowed_threshold.h
};
// Errors: usage, with what is accepted.
[[nodiscard]] Result<Threshold> parse_threshold(std::string_view text);

// What a stage says to a threshold.
struct Finding {
  std::string text;  // "184 ms", "no data"
  bool met = false;  // no data is not
};
[[nodiscard]] Finding judge_stage(const Threshold& threshold, const StageSummary& stage);

// For thresholds without a window. One criterion for each stage that the threshold is about. No data is a
// failure: a percentile that has too few samples, a stage that never came. A threshold that no stage fits
// gives one failed criterion that says so.
[[nodiscard]] std::vector<Criterion> judge_threshold(const Threshold& threshold,
                                                     const std::vector<StageSummary>& stages);

}  // namespace dsbench::results
