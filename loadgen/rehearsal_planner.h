#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/units.h"
#include "results/run_summary.h"

namespace dsbench::loadgen {

struct PlannerConfig {
  Rate start_rate = Rate::per_second(1);
  Rate max_rate = Rate::per_second(1e6);  // never offered more
  std::int32_t max_halvings = 6;          // how far below a bad start the search goes
  double resolution = 0.10;               // done when lowest bad ÷ highest good ≤ 1 + resolution
  double target_share = 0.99;             // of requests that must be good
  double confidence = 0.95;               // one-sided
  // Requests of the first step at a rate: enough to see that a rate is bad. A rate that looks good is then
  // repeated until the pooled requests could show it, which takes 299 without a failure (Clopper and
  // Pearson), 473 with one …
  std::int64_t scout_requests = 100;
  std::int64_t spare_requests = 31;  // over and above, because arrivals are random
  std::int32_t min_steps = 2;        // of one rate, before anything is concluded from it
  std::int32_t max_repeats = 3;  // of one rate; after these an unclear rate counts as its point estimate says
  Nanos warm_up{2'000'000'000};
  Nanos step_min{5'000'000'000}, step_max{30'000'000'000};  // measured part of a step
  // The longest wait that the SLO allows. A rate of (1 + resolution) × capacity makes the queue exceed it
  // only after bound ÷ resolution, so a repeat lasts at least that long (within step_max). Nought: not
  // considered.
  Nanos waiting_bound{0};
  Nanos budget{120'000'000'000};  // for the whole search
  Nanos drain_allowance{0};       // reckoned per step beside warm-up and measurement
  bool look_above = false;        // one step above the lowest bad rate, to see whether the curve is monotonic
};

struct PlannedStep {
  Rate rate;
  Nanos warm_up{0}, measured{0};
  std::int32_t repeat = 0;  // how many steps were recorded at this rate before
};

// What was seen: of the requests due in the measured part.
struct StepCounts {
  std::int64_t requests = 0, good = 0;
};

struct FoundKnee {
  Rate rate;                  // the safe load: this and every lower measured rate is good
  Rate lower;                 // the same: the knee lies above it …
  std::optional<Rate> upper;  // … and below this; nothing: nothing bad was measured
  bool shown = false;  // the share at `rate` is ≥ the target with confidence, not only by its point estimate
  bool refined = false;  // the bracket is as narrow as was asked
  std::string sentence;
};

// This can never converge, or did not within the budget, because …
struct Doomed {
  std::string sentence;
  // bad: even the lowest measured rate was; unclear: nothing is known against the target.
  results::StepVerdict verdict = results::StepVerdict::bad;
};

using PlannerAnswer = std::variant<PlannedStep, FoundKnee, Doomed>;

// Which rate to measure next, by measured steps only. Pure: the answer is a function of the configuration, of
// what was recorded, and of the time used.
//
// - Bracket: from the start rate by doubling while steps look good, by halving while they look bad.
// - Confirm: both ends of the bracket are measured at least twice, samples pooled, before anything is
// concluded from them;
//   an unclear one again, up to max_repeats.
// - Refine: the geometric mean of the ends, confirmed likewise, until they are near enough.
// - The curve is not assumed to be monotonic. The ends are the lowest bad rate and the highest good one below
// it, judged anew
//   from everything measured after every step. A good rate above a bad one sends both to a repeat.
class RehearsalPlanner {
 public:
  explicit RehearsalPlanner(const PlannerConfig& config);

  // `elapsed`: since the search began. The same question again gets the same answer until something is
  // recorded.
  [[nodiscard]] PlannerAnswer next(Nanos elapsed) const;
  // What is to be concluded though the search is not over: the budget ended it, or what is named.
  [[nodiscard]] PlannerAnswer out_of_time() const;
  [[nodiscard]] PlannerAnswer so_far(const std::string& ended_by) const;
  void record(const PlannedStep& step, StepCounts counts);
  // The step was no evidence (the generator was not fit): as if it had not been measured.
  void discard(const PlannedStep& step) { (void)step; }

 private:
  struct Step {
    StepCounts counts;
    Nanos measured{0};
  };
  struct Point {
    Rate rate;
    std::vector<Step> steps;
    std::uint64_t first = 0, last = 0;  // when it was measured, by number of step
  };
  // What is known of a rate.
  struct Judgement {
    bool looks_good = false;
    bool settled = false;
    results::StepVerdict verdict = results::StepVerdict::unclear;
    StepCounts all;             // of every step
    std::size_t steps_bad = 0;  // shown to be bad, each by itself
    bool disputed = false;      // by other steps that look good
  };
  [[nodiscard]] Judgement judge(const Point& p) const;
  [[nodiscard]] const Point* find(Rate rate) const;
  [[nodiscard]] PlannedStep step_at(Rate rate) const;
  [[nodiscard]] Nanos length_of(Rate rate, const Point* before) const;
  [[nodiscard]] std::int64_t requests_to_show(std::int64_t bad) const;
  [[nodiscard]] std::size_t lowest_bad() const;  // points_.size() when there is none
  [[nodiscard]] std::optional<Rate> contradiction() const;
  [[nodiscard]] PlannerAnswer decide() const;
  [[nodiscard]] PlannerAnswer conclude(const std::string& ended_by) const;
  [[nodiscard]] std::string evidence(const Point& p) const;

  PlannerConfig config_;
  std::vector<Point> points_;  // by rate
  std::uint64_t recorded_ = 0;
};

}  // namespace dsbench::loadgen
