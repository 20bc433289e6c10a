#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "results/gate/evidence.h"

// Is the candidate worse than the baseline? One verdict for each metric.
namespace dsbench::results::gate {

enum class MetricVerdict : std::uint8_t { regressed, improved, same, inconclusive };
[[nodiscard]] std::string_view to_word(MetricVerdict verdict);  // "REGRESSED", "IMPROVED", "SAME", …

inline constexpr double kernel_margin = 0.03, serving_margin = 0.05;

struct JudgeSettings {
  double alpha = 0.05;                    // of the family of gated metrics; at this look
  std::optional<double> margin;           // nothing: 3 % for kernels, 5 % for serving
  std::map<std::string, double> margins;  // by metric, before `margin`
  std::vector<std::string> metrics;       // names or patterns with '*'; empty: each run's own defaults
};

struct MetricJudgement {
  Metric metric;
  MetricVerdict verdict = MetricVerdict::inconclusive;
  std::size_t baseline_runs = 0, candidate_runs = 0;  // with a value
  std::size_t baseline_missing = 0, candidate_missing = 0;
  double baseline = 0, candidate = 0;  // medians over the runs
  double ratio = 1;                    // candidate ÷ baseline of the medians
  double estimate = 1;                 // Hodges and Lehmann's ratio
  std::optional<double> lower, upper;  // its interval at 1 − alpha
  double p = 1, p_holm = 1;
  bool exact = true;
  double alpha = 0.05, margin = 0.05;
  double spread = 0;      // of a run, as a share: results/gate/noise.h
  double detectable = 0;  // the smallest true change that would be called 4 times in 5 with these runs
  // Of kernels whose clocks differed by more than 0.5 %: the candidate's ÷ the baseline's, and the ratio of
  // the medians in cycles, which must be beyond the margin too.
  std::optional<double> clock_ratio, cycle_ratio;
  std::string note;                                       // why it is inconclusive; what was missing
  std::vector<double> baseline_values, candidate_values;  // in the order of the runs
  // How much worse the candidate is: > 1 is worse, whichever way the metric points.
  [[nodiscard]] double worse() const;
};

struct Judgement {
  std::vector<MetricJudgement> metrics;
  std::vector<std::string> notes;  // metrics that are not gated, and why
  [[nodiscard]] bool any(MetricVerdict verdict) const;
};

// The names of the metrics that are gated: those asked for, or the defaults that every baseline run has.
// Errors: usage, for a pattern that fits nothing, with what there is.
[[nodiscard]] Result<std::vector<std::string>> gated_metrics(std::span<const Evidence> baseline,
                                                             std::span<const Evidence> candidate,
                                                             const JudgeSettings& settings,
                                                             std::vector<std::string>* notes = nullptr);

[[nodiscard]] double margin_of(const JudgeSettings& settings, std::string_view metric, std::string_view kind);

// REGRESSED (IMPROVED): the two-sided exact Mann–Whitney p, corrected by Holm over the gated metrics, is
// below alpha, and the ratio of the medians is beyond the margin on the worse (better) side, that is above 1
// + margin or below its reciprocal. SAME: the interval of the Hodges–Lehmann ratio lies within these two.
// Else INCONCLUSIVE; also what some run does not tell, unless the others show a regression. The runs must be
// comparable and valid.
[[nodiscard]] Result<Judgement> judge(std::span<const Evidence> baseline, std::span<const Evidence> candidate,
                                      const JudgeSettings& settings);

// Only the numbers: what judge() does for one metric, with p_holm = p.
[[nodiscard]] MetricJudgement judge_values(const Metric& metric, std::vector<double> baseline,
                                           std::vector<double> candidate, double alpha, double margin);
// The verdict of a judgement whose p_holm has been set.
[[nodiscard]] MetricVerdict verdict_of(const MetricJudgement& judgement);

// Shell patterns with '*' only.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text);

}  // namespace dsbench::results::gate
