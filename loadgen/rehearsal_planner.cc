#include "loadgen/rehearsal_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "results/statistics.h"
#include "results/verdicts/step_verdict.h"

namespace dsbench::loadgen {

using results::StepVerdict;

namespace {

constexpr double growth = 2;

bool same(Rate a, Rate b) {
  return std::abs(a / b - 1) < 1e-9;
}

}  // namespace

RehearsalPlanner::RehearsalPlanner(const PlannerConfig& config) : config_{config} {
  config_.start_rate = std::min(config_.start_rate, config_.max_rate);
}

void RehearsalPlanner::record(const PlannedStep& step, StepCounts counts) {
  auto it =
      std::find_if(points_.begin(), points_.end(), [&](const Point& p) { return same(p.rate, step.rate); });
  ++recorded_;
  if (it == points_.end()) {
    it = std::find_if(points_.begin(), points_.end(), [&](const Point& p) { return p.rate > step.rate; });
    it = points_.insert(it, Point{step.rate, {}, recorded_, recorded_});
  }
  it->steps.push_back({counts, step.measured});
  it->last = recorded_;
}

RehearsalPlanner::Judgement RehearsalPlanner::judge(const Point& p) const {
  const auto verdict_of = [&](const StepCounts& c) {
    return results::judge_step(c.good, c.requests, config_.target_share, config_.confidence).verdict;
  };
  const auto looks_good = [&](const StepCounts& c) {
    return c.requests > 0 &&
           static_cast<double>(c.good) >= config_.target_share * static_cast<double>(c.requests);
  };
  Judgement j;
  StepCounts voted;
  std::size_t voters_bad = 0;
  std::size_t voters_good = 0;
  std::size_t steps_good = 0;
  Nanos longest{0};
  for (const Step& step : p.steps) longest = std::max(longest, step.measured);
  for (const Step& step : p.steps) {
    const bool votes = 2 * step.measured >= longest;
    const bool is_bad = verdict_of(step.counts) == StepVerdict::bad;
    const bool is_good = looks_good(step.counts);
    j.all.requests += step.counts.requests;
    j.all.good += step.counts.good;
    j.steps_bad += is_bad ? 1 : 0;
    steps_good += is_good ? 1 : 0;
    if (!votes) continue;
    voted.requests += step.counts.requests;
    voted.good += step.counts.good;
    voters_bad += is_bad ? 1 : 0;
    voters_good += is_good ? 1 : 0;
  }
  const bool out_of_repeats = p.steps.size() > static_cast<std::size_t>(config_.max_repeats);
  j.disputed = j.steps_bad > 0 && steps_good > 0;
  if (j.disputed && voters_bad > 0 && voters_good > 0) {
    j.looks_good = voters_good > voters_bad;
    j.settled = out_of_repeats || voters_good >= voters_bad + 2 || voters_bad >= voters_good + 2;
    return j;
  }
  const StepCounts& judged = j.disputed ? voted : j.all;
  j.looks_good = looks_good(judged);
  j.verdict = verdict_of(judged);
  j.settled = out_of_repeats || (p.steps.size() >= static_cast<std::size_t>(config_.min_steps) &&
                                 j.verdict != StepVerdict::unclear);
  return j;
}

// The fewest requests, so many of them bad, that show the target share.
std::int64_t RehearsalPlanner::requests_to_show(std::int64_t bad) const {
  std::int64_t n = results::trials_to_show(config_.target_share, config_.confidence);
  while (results::share_lower_bound(n - bad, n, config_.confidence) < config_.target_share) n += 1 + n / 100;
  return n;
}

Nanos RehearsalPlanner::length_of(Rate rate, const Point* before) const {
  std::int64_t wanted = config_.scout_requests;
  Nanos at_least = config_.step_min;
  if (before != nullptr) {
    const Judgement j = judge(*before);
    // What looks good, or is disputed, is worth the requests that could show it.
    if (j.looks_good || j.disputed) {
      const std::int64_t bad = j.disputed ? 0 : j.all.requests - j.all.good;
      const std::int64_t have = j.disputed ? 0 : j.all.requests;
      wanted = std::max(wanted, requests_to_show(bad) + config_.spare_requests - have);
      at_least = std::max(at_least, from_seconds(to_seconds(config_.waiting_bound) / config_.resolution));
    }
  }
  const double seconds = std::ceil(static_cast<double>(wanted) / rate.per_second());
  const double most = to_seconds(config_.step_max);
  return std::clamp(from_seconds(std::min(seconds, most)), std::min(at_least, config_.step_max),
                    config_.step_max);
}

const RehearsalPlanner::Point* RehearsalPlanner::find(Rate rate) const {
  const auto it =
      std::find_if(points_.begin(), points_.end(), [&](const Point& p) { return same(p.rate, rate); });
  return it == points_.end() ? nullptr : &*it;
}

PlannedStep RehearsalPlanner::step_at(Rate rate) const {
  const Point* before = find(rate);
  return {rate, config_.warm_up, length_of(rate, before),
          before == nullptr ? 0 : static_cast<std::int32_t>(before->steps.size())};
}

std::size_t RehearsalPlanner::lowest_bad() const {
  const auto it =
      std::find_if(points_.begin(), points_.end(), [&](const Point& p) { return !judge(p).looks_good; });
  return static_cast<std::size_t>(it - points_.begin());
}

// A good rate above the lowest bad one: the bad one is measured again after the good one was, and both until
// they are settled.
std::optional<Rate> RehearsalPlanner::contradiction() const {
  const std::size_t i = lowest_bad();
  for (std::size_t above = i + 1; above < points_.size(); ++above) {
    const Point& good = points_[above];
    if (!judge(good).looks_good) continue;
    const Point& bad = points_[i];
    const bool has_repeats_left = bad.steps.size() <= static_cast<std::size_t>(config_.max_repeats);
    if (!judge(bad).settled || (bad.last < good.first && has_repeats_left)) return bad.rate;
    if (!judge(good).settled) return good.rate;
  }
  return std::nullopt;
}

PlannerAnswer RehearsalPlanner::decide() const {
  if (points_.empty()) return step_at(config_.start_rate);
  if (const auto rate = contradiction()) return step_at(*rate);
  const std::size_t i = lowest_bad();
  if (i == points_.size()) {
    const Point& top = points_.back();
    if (top.rate < config_.max_rate && !same(top.rate, config_.max_rate)) {
      return step_at(std::min(top.rate * growth, config_.max_rate));
    }
    if (!judge(top).settled) return step_at(top.rate);
    return conclude("");
  }
  const Point& bad = points_[i];
  if (!judge(bad).settled) return step_at(bad.rate);
  if (i == 0) {
    const double lowest = config_.start_rate.per_second() / std::pow(growth, config_.max_halvings);
    if (bad.rate.per_second() < lowest * 1.001) return conclude("");
    return step_at(bad.rate / growth);
  }
  const Point& good = points_[i - 1];
  if (!judge(good).settled) return step_at(good.rate);
  const Rate above = bad.rate * growth;
  if (config_.look_above && i + 1 == points_.size() && above <= config_.max_rate) return step_at(above);
  if (bad.rate / good.rate <= 1 + config_.resolution) return conclude("");
  return step_at(Rate::per_second(std::sqrt(good.rate.per_second() * bad.rate.per_second())));
}

PlannerAnswer RehearsalPlanner::next(Nanos elapsed) const {
  PlannerAnswer answer = decide();
  const auto* step = std::get_if<PlannedStep>(&answer);
  if (step == nullptr || points_.empty()) return answer;
  const Nanos cost = step->warm_up + step->measured + config_.drain_allowance;
  return elapsed + cost > config_.budget ? out_of_time() : answer;
}

std::string RehearsalPlanner::evidence(const Point& p) const {
  const Judgement j = judge(p);
  std::string text = fmt::format("{} of {} requests good in {} step{}", j.all.good, j.all.requests,
                                 p.steps.size(), p.steps.size() == 1 ? "" : "s");
  if (j.disputed)
    text += fmt::format(", of which {} {} bad and the others were not", j.steps_bad,
                        j.steps_bad == 1 ? "was" : "were");
  return text;
}

PlannerAnswer RehearsalPlanner::out_of_time() const {
  return so_far(fmt::format("the budget of {}", format_duration(config_.budget)));
}

PlannerAnswer RehearsalPlanner::so_far(const std::string& ended_by) const {
  if (points_.empty()) {
    return Doomed{fmt::format("not known: {} came before a step was whole", ended_by),
                  results::StepVerdict::unclear};
  }
  return conclude(ended_by);
}

PlannerAnswer RehearsalPlanner::conclude(const std::string& ended_by) const {
  const bool out_of_time = !ended_by.empty();
  const std::string target = fmt::format("{:g} %", 100 * config_.target_share);
  const std::size_t i = lowest_bad();
  if (i == 0) {
    const Point& lowest = points_.front();
    return Doomed{fmt::format(
        "even {} is too much: {}, where {} are asked{}", format_rate(lowest.rate), evidence(lowest), target,
        out_of_time ? fmt::format("; {} ended the search before a lower rate could be measured", ended_by)
                    : "; the target cannot meet these objectives at a rate worth measuring")};
  }
  const bool has_bad = i < points_.size();
  if (!has_bad && !out_of_time) {
    return Doomed{
        fmt::format("the knee lies above {}, the highest rate that may be offered: {}; allow a higher one",
                    format_rate(points_.back().rate), evidence(points_.back())),
        StepVerdict::unclear};
  }
  const Point& good = points_[i - 1];
  FoundKnee knee;
  knee.rate = knee.lower = good.rate;
  const Judgement judged = judge(good);
  knee.shown = judged.verdict == StepVerdict::good;
  const double lower_bound =
      results::share_lower_bound(judged.all.good, judged.all.requests, config_.confidence);
  knee.sentence = fmt::format(
      "{} is safe ({}{})", format_rate(good.rate), evidence(good),
      knee.shown ? fmt::format(": at least {} with {:g} % confidence", target, 100 * config_.confidence)
                 : "");
  if (has_bad) {
    const Point& bad = points_[i];
    knee.upper = bad.rate;
    knee.refined = bad.rate / good.rate <= 1 + config_.resolution;
    knee.sentence += fmt::format("; {} is not ({})", format_rate(bad.rate), evidence(bad));
    if (judge(bad).verdict == StepVerdict::unclear) {
      knee.sentence += fmt::format(
          "; at {} the evidence stayed unclear and counts as its point estimate says", format_rate(bad.rate));
    }
  } else {
    knee.sentence += "; nothing bad was measured";
  }
  if (!knee.shown) {
    knee.sentence += fmt::format("; that {} are good at {} is a point estimate, shown are {:.1f} %", target,
                                 format_rate(good.rate), std::floor(1000 * lower_bound) / 10);
  }
  for (std::size_t above = i + 1; above < points_.size(); ++above) {
    if (!judge(points_[above]).looks_good) continue;
    knee.sentence += fmt::format("; not monotonic: {} was good again ({})", format_rate(points_[above].rate),
                                 evidence(points_[above]));
    break;
  }
  if (out_of_time) knee.sentence += fmt::format("; {} ended the search", ended_by);
  return knee;
}

}  // namespace dsbench::loadgen
