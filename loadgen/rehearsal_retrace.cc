#include "loadgen/rehearsal_retrace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <variant>

#include "core/text.h"
#include "loadgen/rehearsal_criteria.h"
#include "loadgen/rehearsal_findings.h"

namespace dsbench::loadgen {
namespace {

using results::CollapseVerdict;
using results::RecoveryVerdict;
using results::RunSummary;
using results::StageKind;
using results::StageSummary;

bool same(Rate a, Rate b) {
  return std::abs(a / b - 1) < 1e-6;
}

class Retrace {
 public:
  Retrace(const RehearsalConfig& config, const std::vector<bool>& whole, RunSummary& summary)
      : config_{config}, whole_{whole}, summary_{summary} {}

  RehearsalFindings walk() {
    search();
    const std::size_t hold = first_of(StageKind::hold);
    if (hold == none) return std::move(found_);
    found_.hold_rate = summary_.stages[hold].planned;
    take_knee_of_hold();
    if (whole_[hold]) found_.hold_stage = summary_.stages[hold].index;
    const std::size_t recovery = first_of(StageKind::recovery);
    if (recovery == none || !whole_[recovery]) return std::move(found_);
    found_.base = summary_.stages[recovery].planned;
    for (std::size_t i = hold + 1; i < summary_.stages.size(); ++i) {
      if (summary_.stages[i].planned > *found_.knee.offered) continue;
      // The trigger is gone when the last stage above the knee is over.
      found_.trigger_end = summary_.stages[i - 1].end;
      break;
    }
    return std::move(found_);
  }

  // After the judging: what it could not judge.
  void say_what_is_missing() {
    std::size_t counted = 0;
    std::string open;
    for (std::size_t i = 0; i < summary_.stages.size(); ++i) {
      if (whole_[i])
        ++counted;
      else
        open += fmt::format("{}'{}'", open.empty() ? "" : ", ", summary_.stages[i].name);
    }
    const std::size_t hold = first_of(StageKind::hold), recovery = first_of(StageKind::recovery);
    if (hold != none && !found_hold_) {
      summary_.collapse.verdict = CollapseVerdict::undecided;
      summary_.collapse.at = summary_.stages[hold].planned;
      summary_.collapse.sentence = "not decided: the run was cut off within the hold";
    } else if (hold == none && searched_) {
      summary_.collapse.sentence = "not tested: the run was cut off before the hold";
    }
    if (recovery != none && !found_recovery_) {
      summary_.recovery.verdict = RecoveryVerdict::undecided;
      summary_.recovery.base = summary_.stages[recovery].planned;
      summary_.recovery.sentence = "not decided: the run was cut off within the recovery";
    } else if (recovery == none && searched_) {
      summary_.recovery.sentence = "not tested: the run was cut off before the load was back below the knee";
    }
    summary_.warnings.push_back(fmt::format(
        "knee, collapse and recovery are judged by the {} stage{} that {} whole{}; where the rehearsal "
        "itself "
        "threw a step away because its generator was not fit, it counts here unless its send lag tells",
        counted, counted == 1 ? "" : "s", counted == 1 ? "was" : "were",
        open.empty() ? "" : fmt::format(", and {} not at all", open)));
  }
  void judged(const RehearsalFindings& found) {
    found_hold_ = found.hold_stage.has_value();
    found_recovery_ = found.trigger_end.has_value();
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  [[nodiscard]] std::size_t first_of(StageKind kind) const {
    const auto it = std::find_if(summary_.stages.begin(), summary_.stages.end(),
                                 [kind](const StageSummary& s) { return s.kind == kind; });
    return it == summary_.stages.end() ? none : static_cast<std::size_t>(it - summary_.stages.begin());
  }

  void search() {
    const std::size_t first = first_of(StageKind::step), probe = first_of(StageKind::probe);
    if (first == none || probe == none) {
      found_.knee.sentence = "not known: the run was cut off before the search";
      return;
    }
    searched_ = true;
    RehearsalConfig as_walked = config_;
    as_walked.start_rate = summary_.stages[first].planned;
    RehearsalPlanner planner{
        planner_config_of(as_walked, summary_.stages[probe].e2e.mean, summary_.stages[first].start)};
    bool cut_off = false;
    int invalid_in_a_row = 0;
    for (std::size_t i = first; i < summary_.stages.size(); ++i) {
      const StageSummary& s = summary_.stages[i];
      if (s.kind != StageKind::step) continue;
      if (!whole_[i]) {
        cut_off = true;
        continue;
      }
      const PlannedStep step = step_of(planner, s);
      if (!s.invalid_causes.empty() && ++invalid_in_a_row <= invalid_repeats) {
        planner.discard(step);
        continue;
      }
      if (!s.invalid_causes.empty()) found_.judged_on.push_back(s.index);
      invalid_in_a_row = 0;
      planner.record(step, {s.requests, s.good});
      found_.saw(s, step.measured);
    }
    const bool over = first_of(StageKind::hold) != none;
    PlannerAnswer answer = planner.next(Nanos{0});
    if (std::holds_alternative<PlannedStep>(answer))
      answer = over ? planner.out_of_time() : planner.so_far("the run's end");
    if (const auto* knee = std::get_if<FoundKnee>(&answer)) found_.concluded(*knee);
    if (const auto* doomed = std::get_if<Doomed>(&answer)) {
      found_.concluded(*doomed);
      // A lower rate may have been next.
      if (cut_off || doomed->verdict != results::StepVerdict::bad)
        found_.without_knee = results::StepVerdict::unclear;
    }
  }

  // The step that was asked for, with the length that it was meant to have: an early end may have hidden it.
  static PlannedStep step_of(const RehearsalPlanner& planner, const StageSummary& s) {
    const PlannerAnswer answer = planner.next(Nanos{0});
    if (const auto* step = std::get_if<PlannedStep>(&answer); step != nullptr && same(step->rate, s.planned))
      return *step;
    return {s.planned, s.measure_from - s.start, s.end - s.measure_from, 0};
  }

  // What was held is what the rehearsal itself took for the knee, whatever the records alone would say.
  void take_knee_of_hold() {
    const Rate knee = found_.hold_rate / config_.hold_factor;
    if (found_.knee.offered && same(*found_.knee.offered, knee)) return;
    found_.knee.sentence = fmt::format(
        "{} is what the rehearsal took for safe: it held {:g} times that; by the records alone: {}",
        format_rate(knee), config_.hold_factor, found_.knee.sentence);
    found_.knee.offered = found_.knee.lower = knee;
    if (found_.knee.upper && *found_.knee.upper <= knee) found_.knee.upper.reset();
  }

  const RehearsalConfig& config_;
  const std::vector<bool>& whole_;
  RunSummary& summary_;
  RehearsalFindings found_;
  bool searched_ = false, found_hold_ = false, found_recovery_ = false;
};

}  // namespace

void retrace_rehearsal(results::Recorder& recorder, const RehearsalConfig& config,
                       const std::vector<bool>& whole, RunSummary& summary) {
  Retrace retrace{config, whole, summary};
  const RehearsalFindings found = retrace.walk();
  retrace.judged(found);
  const std::string sentence = summary.sentence;
  judge_rehearsal(recorder, found, config, summary);
  retrace.say_what_is_missing();
  summary.criteria = criteria_of(summary, config, found.without_knee);
  if (summary.validity == results::Validity::invalid) return;
  summary.verdict = results::Verdict::inconclusive;
  summary.sentence = sentence;
}

}  // namespace dsbench::loadgen
