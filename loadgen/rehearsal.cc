#include "loadgen/rehearsal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "core/text.h"
#include "loadgen/rehearsal_findings.h"
#include "loadgen/rehearsal_planner.h"
#include "loadgen/schedule.h"
#include "results/verdicts/step_verdict.h"

namespace dsbench::loadgen {
namespace {

using results::CollapseVerdict;
using results::RecoveryVerdict;
using results::RunSummary;
using results::StageKind;
using results::StageSummary;
using results::StepVerdict;

constexpr Nanos one_second{1'000'000'000};
constexpr Nanos probe_patience{180'000'000'000};
constexpr int probe_requests = 4;

class Rehearsal {
 public:
  Rehearsal(Runner& runner, results::Recorder& recorder, ContentMap& contents, Observer* observer,
            const RehearsalConfig& config, const RehearsalListener& listener)
      : runner_{runner},
        recorder_{recorder},
        config_{config},
        listener_{listener},
        driver_{runner, recorder, contents, observer, [this](const StageStatus& s) { on_second(s); }} {
    driver_.on_stage(listener.stage);
  }

  Rehearsed run() {
    const auto walked = walk();
    Rehearsed done;
    done.summary.kind = "rehearse";
    if (!walked && walked.error().kind == ErrorKind::interrupted) {
      (void)driver_.drain(config_.drain_max);
      done.summary.ended = "interrupted";
    } else if (!walked) {
      runner_.abandon();
      done.summary.ended = "aborted: " + walked.error().message;
      done.aborted = walked.error();
    }
    judge(done.summary);
    return done;
  }

 private:
  // ---- the walk

  Result<void> walk() {
    DSBENCH_CHECK(probe());
    DSBENCH_CHECK(search());
    if (!found_.knee.offered) return {};
    DSBENCH_CHECK(hold());
    DSBENCH_CHECK(descend());
    DSBENCH_CHECK(recover());
    return driver_.drain(drain_time());
  }

  // A first request alone warms the target up; then a few, one at a time, give the unloaded latency.
  Result<void> probe() {
    DSBENCH_TRY(const Nanos cold, one_at_a_time("warm-up", StageKind::warm_up, 1, Nanos{100'000'000}));
    const Nanos apart = std::max(cold + cold / 4, Nanos{20'000'000});
    DSBENCH_TRY(unloaded_, one_at_a_time("probe", StageKind::probe, probe_requests, apart));
    say("unloaded: a request takes {}", format_duration(unloaded_));
    return {};
  }

  // Offers n requests so far apart; returns their median latency.
  Result<Nanos> one_at_a_time(const std::string& name, StageKind kind, int n, Nanos apart) {
    StagePlan plan;
    plan.name = name;
    plan.kind = kind;
    plan.planned = Rate::per_second(1 / to_seconds(std::max(apart, Nanos{1'000'000})));
    plan.length = apart * n;
    plan.first_content = content_of(0);
    for (int i = 0; i < n; ++i) plan.due.push_back(apart * i);
    DSBENCH_TRY(const std::uint32_t stage, driver_.run(plan));
    stages_.push_back(stage);
    DSBENCH_CHECK(driver_.drain(probe_patience));
    const StageSummary s = driver_.summarize(stage, config_.slo);
    if (s.completed == 0) {
      std::string reasons;
      for (int r = 1; r < results::reason_count; ++r) {
        const auto count = s.requests_by_reason[static_cast<std::size_t>(r)];
        if (count == 0) continue;
        reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", count,
                               to_word(static_cast<results::Reason>(r)));
      }
      return fail(ErrorKind::unreachable,
                  "the target answered none of the first {} requests ({}); an answer within {} was expected",
                  n, reasons.empty() ? "no reason recorded" : reasons, format_duration(probe_patience));
    }
    return s.e2e.mean;
  }

  Result<void> search() {
    RehearsalPlanner planner{planner_config_of(config_, unloaded_, runner_.now())};
    const Nanos began = runner_.now();
    int invalid_in_a_row = 0;
    while (true) {
      const PlannerAnswer answer = planner.next(runner_.now() - began);
      if (const auto* step = std::get_if<PlannedStep>(&answer)) {
        DSBENCH_TRY(const StageSummary s, measure(*step));
        if (!s.invalid_causes.empty() && ++invalid_in_a_row <= invalid_repeats) {
          say("  not evidence, measured again: {}", s.invalid_causes.front());
          planner.discard(*step);
          continue;
        }
        if (!s.invalid_causes.empty())
          found_.judged_on.push_back(s.index);  // given up on: it counts, and makes the run invalid
        invalid_in_a_row = 0;
        planner.record(*step, {s.requests, s.good});
        found_.saw(s, step->measured);
      } else if (const auto* found = std::get_if<FoundKnee>(&answer)) {
        found_.concluded(*found);
        say("knee: {}", found_.knee.sentence);
        return {};
      } else {
        found_.concluded(std::get<Doomed>(answer));
        say("no knee: {}", found_.knee.sentence);
        return {};
      }
    }
  }

  Result<StageSummary> measure(const PlannedStep& step) {
    StagePlan plan = constant_stage(fmt::format("step {}", ++steps_), StageKind::step, step.rate,
                                    step.warm_up, step.measured, repeats_of(step.rate));
    ++repeats_[key_of(step.rate)];
    // A step ends early when it would be bad even if every request that is still open or not yet due turned
    // out good. Nothing but a bad verdict can be reached that way, so looking every second does not bend the
    // statistics. Where requests lead to others, how many will yet come is not known: twice as many as came
    // so far are allowed for, and nothing is concluded from the first half.
    const auto measured_of = [&plan](std::size_t first) {
      return std::count_if(plan.due.begin(), plan.due.begin() + static_cast<std::ptrdiff_t>(first),
                           [&](Nanos due) { return due >= plan.warm_up; });
    };
    const std::int64_t planned = measured_of(plan.due.size());
    std::size_t handed = 0;
    driver_.on_offered([&handed](Nanos) { ++handed; });
    const auto hopeless = [&](std::uint32_t stage, Nanos elapsed) {
      const StageSummary s = recorder_.summarize(stage);
      std::int64_t ended = 0;
      for (const std::int64_t n : s.requests_by_reason) ended += n;
      std::int64_t all = planned;
      if (config_.has_follow_ups) {
        const double done = to_seconds(elapsed - plan.warm_up) / to_seconds(plan.length - plan.warm_up);
        if (done < 0.5) return false;
        const std::int64_t follow_ups = std::max<std::int64_t>(0, s.requests - measured_of(handed));
        const double to_come = 2 * static_cast<double>(follow_ups) * std::max(0.0, 1 - done) / done;
        all += follow_ups + static_cast<std::int64_t>(std::ceil(to_come));
      }
      return results::judge_step(all - (ended - s.good), all).verdict == StepVerdict::bad;
    };
    const auto ran = driver_.run(plan, hopeless);
    driver_.on_offered({});
    DSBENCH_TRY(const std::uint32_t stage, ran);
    stages_.push_back(stage);
    DSBENCH_CHECK(driver_.drain(drain_time()));
    const StageSummary s = driver_.summarize(stage, config_.slo);
    if (s.verdict == StepVerdict::bad) DSBENCH_CHECK(settle());
    say("step {:>2}  {:>8}  good {}/{} ({:.1f} %)  TTFT p50 {}  {}", steps_, format_rate(step.rate), s.good,
        s.requests, 100 * s.good_share, median(s.ttft), results::to_word(s.verdict));
    return s;
  }

  // Waits until the target is as fast as it was unloaded, asking with one request at a time.
  Result<void> settle() {
    const Nanos deadline = runner_.now() + config_.settle_max;
    while (true) {
      StagePlan plan;
      plan.name = "settle";
      plan.kind = StageKind::probe;
      plan.planned = Rate::per_second(1);
      plan.length = Nanos{1'000'000};
      plan.first_content = content_of(0);
      plan.due.push_back(Nanos{0});
      DSBENCH_TRY(const std::uint32_t stage, driver_.run(plan));
      DSBENCH_CHECK(driver_.drain(std::max(deadline - runner_.now(), one_second)));
      const StageSummary s = driver_.summarize(stage, config_.slo);
      if (s.completed == 1 && s.e2e.mean <= 2 * unloaded_ + Nanos{20'000'000}) return {};
      if (runner_.now() >= deadline) {
        say("  the target has not come to rest within {}; going on", format_duration(config_.settle_max));
        return {};
      }
    }
  }

  Result<void> hold() {
    found_.hold_rate = *found_.knee.offered * config_.hold_factor;
    say("hold at {} × knee = {}, until collapse is shown or refuted", config_.hold_factor,
        format_rate(found_.hold_rate));
    const StagePlan plan =
        constant_stage(fmt::format("hold {:g} × knee", config_.hold_factor), StageKind::hold,
                       found_.hold_rate, Nanos{0}, config_.hold_max, repeats_of(found_.hold_rate));
    const auto enough = [this](std::uint32_t stage, Nanos elapsed) {
      if (elapsed < config_.hold_min) return false;
      const StageSummary s = recorder_.summarize(stage);
      const auto verdict = judge_hold(recorder_, found_, s.start, s.start + elapsed).verdict;
      return verdict == CollapseVerdict::collapsed || verdict == CollapseVerdict::none;
    };
    DSBENCH_TRY(found_.hold_stage, driver_.run(plan, enough));
    stages_.push_back(*found_.hold_stage);
    return {};
  }

  // The rates of the way up, in falling order, thinned so that neighbours differ: the highest below the hold,
  // and the base below the knee.
  [[nodiscard]] std::vector<Rate> descent_rates() const {
    std::vector<Rate> rates;
    for (auto it = measured_.rbegin(); it != measured_.rend(); ++it) {
      const Rate rate = it->second;
      if (rate >= found_.hold_rate) continue;
      if (!rates.empty() && rates.back() / rate < 1.15) continue;
      rates.push_back(rate);
      if (rate.per_second() <= 0.75 * found_.knee.offered->per_second()) break;
    }
    if (rates.empty() || rates.back().per_second() > 0.75 * found_.knee.offered->per_second())
      rates.push_back(*found_.knee.offered * 0.7);
    // Keep the base and the highest ones.
    const auto keep = static_cast<std::size_t>(std::max(config_.descent_steps, 1));
    if (rates.size() > keep) {
      rates[keep - 1] = rates.back();
      rates.resize(keep);
    }
    return rates;
  }

  Result<void> descend() {
    const std::vector<Rate> rates = descent_rates();
    found_.base = rates.back();
    for (std::size_t i = 0; i + 1 < rates.size(); ++i) {
      say("down to {}", format_rate(rates[i]));
      DSBENCH_CHECK(
          down(rates[i], fmt::format("down {}", i + 1), StageKind::descent, config_.descent_step, {}));
    }
    return {};
  }

  Result<void> recover() {
    say("down to {}, until the service has recovered", format_rate(found_.base));
    const auto enough = [this](std::uint32_t, Nanos elapsed) {
      return elapsed >= config_.recovery_min &&
             judge_return(recorder_, found_, config_, runner_.now()).verdict == RecoveryVerdict::recovered;
    };
    const Nanos left = std::max(config_.budget - runner_.now() - config_.drain_max, config_.recovery_min);
    return down(found_.base, "recovery", StageKind::recovery, std::min(config_.recovery_max, left), enough);
  }

  Result<void> down(Rate rate, const std::string& name, StageKind kind, Nanos length,
                    const std::function<bool(std::uint32_t, Nanos)>& enough) {
    const StagePlan plan = constant_stage(name, kind, rate, Nanos{0}, length, 0);
    const Nanos now = runner_.now();
    if (!found_.trigger_end && rate <= *found_.knee.offered) found_.trigger_end = now;
    DSBENCH_TRY(const std::uint32_t stage, driver_.run(plan, enough));
    stages_.push_back(stage);
    return {};
  }

  // ---- judging

  void judge(RunSummary& summary) {
    for (const std::uint32_t stage : stages_) summary.stages.push_back(driver_.summarize(stage, config_.slo));
    judge_rehearsal(recorder_, found_, config_, summary);
    if (summary.ended != "complete" && summary.verdict != results::Verdict::invalid &&
        summary.verdict != results::Verdict::not_ready) {
      summary.verdict = results::Verdict::inconclusive;
      summary.sentence = summary.ended == "interrupted"
                             ? "the rehearsal was interrupted before it could decide"
                             : "the rehearsal could not go on (" + summary.ended + ")";
    }
    summary.requests = recorder_.requests();
    summary.attempts = recorder_.attempts();
    summary.retry_amplification =
        summary.requests > 0 ? static_cast<double>(summary.attempts) / static_cast<double>(summary.requests)
                             : 1;
    summary.ledger = driver_.ledger();
    summary.timeline = driver_.timeline();
    summary.duration = runner_.now();
    summary.slo = config_.slo;
    summary.seed = config_.seed;
  }

  // ---- plumbing

  // The same rate always draws the same schedule and the same contents; a repeat draws others.
  StagePlan constant_stage(const std::string& name, StageKind kind, Rate rate, Nanos warm_up, Nanos measured,
                           int repeat) {
    profiles::TrafficProfile profile;
    profile.arrivals.kind = profiles::ArrivalProcess::Kind::poisson;
    profile.pieces.push_back({profiles::HoldPiece{rate, warm_up + measured}, name, warm_up, {}});
    const std::uint64_t key = key_of(rate) + static_cast<std::uint64_t>(repeat) * 0x10000000000ULL;
    StagePlan plan;
    plan.name = name;
    plan.kind = kind;
    plan.planned = rate;
    plan.warm_up = warm_up;
    plan.length = warm_up + measured;
    plan.first_content = content_of(key);
    for (const Arrival& a : make_schedule(profile, derive_seed(config_.seed, "stage", key)))
      plan.due.push_back(a.due);
    measured_.emplace(key_of(rate), rate);
    return plan;
  }
  static std::uint64_t key_of(Rate rate) {
    return static_cast<std::uint64_t>(std::llround(rate.per_second() * 1e6));
  }
  // A range of 2^32 contents for each schedule.
  std::uint64_t content_of(std::uint64_t key) const {
    return derive_seed(config_.seed, "contents", key) & ~0xFFFFFFFFULL;
  }
  int repeats_of(Rate rate) const {
    const auto it = repeats_.find(key_of(rate));
    return it == repeats_.end() ? 0 : it->second;
  }
  Nanos drain_time() const { return std::max(config_.drain_max, 4 * unloaded_); }

  static std::string median(const results::LatencySummary& latency) {
    for (const auto& p : latency.percentiles) {
      if (p.q == 0.5) return p.value ? format_duration(*p.value) : p.infinite ? "∞" : "n/a";
    }
    return "n/a";
  }

  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) const {
    if (listener_.line) listener_.line(fmt::format(format, std::forward<Args>(args)...));
  }
  void on_second(const StageStatus& status) const {
    if (listener_.second) listener_.second(status, runner_.now());
  }

  Runner& runner_;
  results::Recorder& recorder_;
  const RehearsalConfig& config_;
  const RehearsalListener& listener_;
  StageDriver driver_;

  std::vector<std::uint32_t> stages_;
  std::map<std::uint64_t, Rate> measured_;  // by key: every rate that was offered
  std::map<std::uint64_t, int> repeats_;
  int steps_ = 0;
  Nanos unloaded_{0};
  RehearsalFindings found_;
};

}  // namespace

Rehearsed rehearse(Runner& runner, results::Recorder& recorder, ContentMap& contents, Observer* observer,
                   const RehearsalConfig& config, const RehearsalListener& listener) {
  return Rehearsal{runner, recorder, contents, observer, config, listener}.run();
}

}  // namespace dsbench::loadgen
