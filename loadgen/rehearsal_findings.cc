#include "loadgen/rehearsal_findings.h"

#include <fmt/format.h>

#include <algorithm>

#include "loadgen/rehearsal_criteria.h"
#include "results/verdicts/collapse_verdict.h"
#include "results/verdicts/overall_verdict.h"
#include "results/verdicts/recovery_verdict.h"

namespace dsbench::loadgen {

using results::RunSummary;
using results::SecondCounts;
using results::StageKind;
using results::StageSummary;
using results::StepVerdict;

namespace {

constexpr Nanos one_second{1'000'000'000};

// The first and the last whole second within; none where the last is not behind the first.
struct WholeSeconds {
  std::int64_t first = 0, last = 0;
  WholeSeconds(Nanos from, Nanos to)
      : first{(from.count() + one_second.count() - 1) / one_second.count()},
        last{to.count() / one_second.count()} {}
  [[nodiscard]] std::int64_t count() const { return std::max<std::int64_t>(last - first, 0); }
};

std::vector<SecondCounts> seconds_within(results::Recorder& recorder, Nanos from, Nanos to) {
  const WholeSeconds whole{from, to};
  if (whole.count() == 0) return {};
  return recorder.seconds(whole.first * one_second, whole.last * one_second);
}

}  // namespace

void RehearsalFindings::saw(const StageSummary& step, Nanos planned) {
  // A step that was cut short saw the queue fill, not the service at work: it makes no peak.
  const bool whole = step.end - step.measure_from >= planned - one_second / 2;
  const bool long_enough = whole && WholeSeconds{step.measure_from, step.end}.count() >= 4;
  if (long_enough && step.good_rate > peak) {
    peak = step.good_rate;
    peak_stage = step.index;
  }
}

void RehearsalFindings::concluded(const FoundKnee& found) {
  knee.offered = found.rate;
  knee.lower = found.lower;
  knee.upper = found.upper;
  knee.sentence = found.sentence;
}

void RehearsalFindings::concluded(const Doomed& none) {
  knee.sentence = none.sentence;
  without_knee = none.verdict;
}

PlannerConfig planner_config_of(const RehearsalConfig& config, Nanos unloaded, Nanos now) {
  PlannerConfig planner;
  planner.start_rate =
      config.start_rate.value_or(Rate::per_second(config.start_in_flight / to_seconds(unloaded)));
  planner.resolution = config.resolution;
  planner.min_steps = config.min_steps;
  planner.warm_up = std::max(config.warm_up, unloaded + unloaded / 2);
  planner.step_min = std::max(config.step_min, 3 * unloaded);
  planner.step_max = std::max(config.step_max, planner.step_min);
  const Nanos after_search =
      config.hold_max + config.descent_steps * config.descent_step + config.recovery_min + config.drain_max;
  planner.budget = std::max(config.budget - after_search - now, config.budget / 4);
  planner.drain_allowance = unloaded * 2;
  planner.waiting_bound = config.slo.ttft.value_or(config.slo.e2e.value_or(Nanos{0}));
  return planner;
}

results::Collapse judge_hold(results::Recorder& recorder, const RehearsalFindings& found, Nanos from,
                             Nanos to) {
  const auto hold = seconds_within(recorder, from, to);
  std::vector<SecondCounts> peak;
  if (found.peak_stage) {
    const StageSummary s = recorder.summarize(*found.peak_stage);
    peak = seconds_within(recorder, s.measure_from, s.end);
  }
  return results::judge_collapse({found.hold_rate, hold, peak});
}

results::Recovery judge_return(results::Recorder& recorder, const RehearsalFindings& found,
                               const RehearsalConfig& config, Nanos to) {
  const auto after = seconds_within(recorder, *found.trigger_end, to);
  std::vector<double> in_flight;
  for (const auto& point : recorder.timeline()) {
    if (after.empty() || point.second < after.front().second || point.second > after.back().second) continue;
    in_flight.push_back(static_cast<double>(point.in_flight));
  }
  in_flight.resize(after.size(), in_flight.empty() ? 0 : in_flight.back());
  results::RecoveryRule rule;
  rule.min_hold = config.client_patience ? results::metastable_hold(*config.client_patience, Nanos{0})
                                         : config.recovery_max / 10 * 9;
  return results::judge_recovery({found.base, *found.trigger_end, after, in_flight}, rule);
}

void judge_rehearsal(results::Recorder& recorder, const RehearsalFindings& found,
                     const RehearsalConfig& config, RunSummary& summary) {
  summary.knee = found.knee;
  if (found.hold_stage) {
    const StageSummary s = recorder.summarize(*found.hold_stage);
    summary.collapse = judge_hold(recorder, found, s.start, s.end);
    if (summary.collapse.peak_good_rate) {
      summary.collapse.collapse_load =
          results::lowest_collapsed_load(summary.stages, *summary.collapse.peak_good_rate);
    }
  }
  if (found.trigger_end) {
    summary.recovery = judge_return(recorder, found, config, summary.stages.back().end);
    for (const StageSummary& s : summary.stages) {
      const bool on_the_way_down = s.kind == StageKind::descent || s.kind == StageKind::recovery;
      const bool higher =
          !summary.recovery.highest_recovered || s.planned > *summary.recovery.highest_recovered;
      if (on_the_way_down && s.verdict == StepVerdict::good && higher)
        summary.recovery.highest_recovered = s.planned;
    }
  }
  for (const StageSummary& s : summary.stages) {
    const bool rests_on =
        s.kind == StageKind::hold || s.kind == StageKind::descent || s.kind == StageKind::recovery ||
        std::find(found.judged_on.begin(), found.judged_on.end(), s.index) != found.judged_on.end();
    if (!rests_on) continue;
    for (const std::string& cause : s.invalid_causes)
      summary.invalid_causes.push_back(fmt::format("{}: {}", s.name, cause));
  }
  if (!summary.invalid_causes.empty()) summary.validity = results::Validity::invalid;
  summary.criteria = criteria_of(summary, config, found.without_knee);
  const auto judged = results::judge_run(summary.validity, summary.invalid_causes, summary.criteria);
  summary.verdict = judged.verdict;
  summary.sentence = judged.sentence;
}

}  // namespace dsbench::loadgen
