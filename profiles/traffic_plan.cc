#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "core/text.h"
#include "profiles/traffic_check.h"

namespace dsbench::profiles {
namespace {

// More than this is a slip of a zero, and would not fit in memory.
constexpr double most_requests = 50e6;
constexpr std::int64_t most_steps = 1000;

double steps_between(const StepsPiece& p) {
  return std::abs(p.to.per_second() - p.from.per_second()) / p.by.per_second();
}

// What is wrong with a piece, or an empty string.
struct Check {
  std::string operator()(const HoldPiece& p) const {
    return p.duration > Nanos{0} ? ""
                                 : "hold lasts no time; give a duration above nought, as in hold(10/s,30s)";
  }
  std::string operator()(const RampPiece& p) const {
    return p.duration > Nanos{0}
               ? ""
               : "ramp lasts no time; give a duration above nought, as in ramp(10/s..200/s,5m)";
  }
  std::string operator()(const StepsPiece& p) const {
    if (p.hold <= Nanos{0}) return "each step lasts no time; give a hold above nought, as in hold 30s";
    if (p.by <= Rate{}) return "steps by 0/s never arrive; give a distance above nought, as in by 20/s";
    const double n = steps_between(p);
    if (n > static_cast<double>(most_steps)) {
      return fmt::format("{:.0f} steps; at most {} are accepted", n + 1, most_steps);
    }
    if (std::abs(n - std::round(n)) > 1e-6) {
      const double sign = p.to < p.from ? -1 : 1;
      const double below = p.from.per_second() + sign * std::floor(n) * p.by.per_second();
      return fmt::format("{} is no whole number of steps of {} away from {}; the nearest ends are {} and {}",
                         print_rate(p.to), print_rate(p.by), print_rate(p.from),
                         print_rate(Rate::per_second(below)),
                         print_rate(Rate::per_second(below + sign * p.by.per_second())));
    }
    return "";
  }
  std::string operator()(const SpikePiece& p) const {
    if (p.length <= Nanos{0}) return "the spike lasts no time; give a length above nought, as in for 10s";
    if (p.at + p.length > p.total) {
      return fmt::format("a spike at {} for {} does not fit into a total of {}", print_duration(p.at),
                         print_duration(p.length), print_duration(p.total));
    }
    return "";
  }
  std::string operator()(const CurvePiece& p) const {
    if (p.points.size() < 2) return "a curve needs two points at least, as in curve(0s 10/s,5m 40/s)";
    if (p.points.front().at != Nanos{0})
      return fmt::format("the curve begins at {}; its first point must be at 0s",
                         print_duration(p.points.front().at));
    for (std::size_t i = 1; i < p.points.size(); ++i) {
      if (p.points[i].at < p.points[i - 1].at) {
        return fmt::format("point {} of the curve is at {}, before the one at {}", i + 1,
                           print_duration(p.points[i].at), print_duration(p.points[i - 1].at));
      }
    }
    if (p.points.back().at <= Nanos{0})
      return "the curve lasts no time; give its last point a time above nought";
    if (p.stage_length < Nanos{0}) return "stages of less than no time; give a stage_length above nought";
    if (p.stage_length > Nanos{0} && p.points.back().at / p.stage_length > most_steps)
      return fmt::format("{} stages; at most {} are accepted", p.points.back().at / p.stage_length,
                         most_steps);
    return "";
  }
};

class Planner {
 public:
  TrafficPlan plan;

  // A stage of lines end to end; `lines` begin at nought.
  struct Line {
    Nanos start{0}, end{0};
    Rate from, to;
  };
  void stage(std::string name, Nanos warm_up, std::span<const Line> lines) {
    const auto index = static_cast<std::uint32_t>(plan.stages.size());
    const Nanos start = plan.length;
    const Nanos length = lines.back().end;
    const Nanos measured = std::max(length - warm_up, Nanos{0});
    double measured_requests = 0;
    for (const Line& l : lines) {
      if (l.end <= l.start) continue;
      plan.segments.push_back({start + l.start, start + l.end, l.from, l.to, index});
      plan.requests += (l.from.per_second() + l.to.per_second()) / 2 * to_seconds(l.end - l.start);
      const Nanos from = std::max(l.start, length - measured);
      if (from >= l.end) continue;
      const double share = to_seconds(l.end - from) / to_seconds(l.end - l.start);
      const double rate = l.to.per_second() + (l.from.per_second() - l.to.per_second()) * share;
      measured_requests += (rate + l.to.per_second()) / 2 * to_seconds(l.end - from);
    }
    const double mean = measured > Nanos{0} ? measured_requests / to_seconds(measured) : 0;
    plan.length = start + length;
    plan.stages.push_back(
        {std::move(name), start, plan.length - measured, plan.length, Rate::per_second(mean), mix_});
  }
  void stage(std::string name, Nanos warm_up, Nanos length, Rate from, Rate to) {
    const Line line{Nanos{0}, length, from, to};
    stage(std::move(name), warm_up, std::span{&line, 1});
  }

  void curve(const TrafficPiece& piece, const CurvePiece& p) {
    const Nanos whole = p.points.back().at;
    const Nanos each = p.stage_length > Nanos{0} ? p.stage_length : whole;
    std::size_t next = 1;  // the point that ends the line we are on
    for (Nanos from{0}; from < whole; from += each) {
      const Nanos to = std::min(from + each, whole);
      std::vector<Line> lines;
      Nanos at = from;
      while (at < to) {
        while (p.points[next].at <= at) ++next;
        const CurvePiece::Point a = p.points[next - 1];
        const CurvePiece::Point b = p.points[next];
        const Nanos end = std::min(b.at, to);
        const auto rate_at = [&](Nanos t) {
          const double share = to_seconds(t - a.at) / to_seconds(b.at - a.at);
          return Rate::per_second(a.rate.per_second() + (b.rate.per_second() - a.rate.per_second()) * share);
        };
        lines.push_back({at - from, end - from, rate_at(at), end == b.at ? b.rate : rate_at(end)});
        at = end;
      }
      std::string name = piece.stage.empty() ? "curve" : piece.stage;
      if (each < whole) name += " +" + format_duration(from);
      stage(std::move(name), piece.warm_up, lines);
    }
  }

  void add(const TrafficPiece& piece) {
    mix_ = index_of(piece.mix);
    const auto named = [&](std::string by_default) {
      return piece.stage.empty() ? std::move(by_default) : fmt::format("{}: {}", piece.stage, by_default);
    };
    if (const auto* p = std::get_if<HoldPiece>(&piece.shape)) {
      stage(piece.stage.empty() ? fmt::format("hold {}", print_rate(p->rate)) : piece.stage, piece.warm_up,
            p->duration, p->rate, p->rate);
    } else if (const auto* ramp = std::get_if<RampPiece>(&piece.shape)) {
      stage(piece.stage.empty() ? fmt::format("ramp {}..{}", print_rate(ramp->from), print_rate(ramp->to))
                                : piece.stage,
            piece.warm_up, ramp->duration, ramp->from, ramp->to);
    } else if (const auto* steps = std::get_if<StepsPiece>(&piece.shape)) {
      const auto n = static_cast<std::int64_t>(std::llround(steps_between(*steps)));
      const double sign = steps->to < steps->from ? -1 : 1;
      for (std::int64_t i = 0; i <= n; ++i) {
        const double computed =
            steps->from.per_second() + sign * static_cast<double>(i) * steps->by.per_second();
        const Rate rate = i == n ? steps->to : Rate::per_second(std::max(computed, 0.0));
        stage(named(fmt::format("step {}", format_rate(rate))), piece.warm_up, steps->hold, rate, rate);
      }
    } else if (const auto* points = std::get_if<CurvePiece>(&piece.shape)) {
      curve(piece, *points);
    } else if (const auto* spike = std::get_if<SpikePiece>(&piece.shape)) {
      if (spike->at > Nanos{0})
        stage(named("before the spike"), piece.warm_up, spike->at, spike->base, spike->base);
      stage(named(fmt::format("spike {}", print_rate(spike->peak))), Nanos{0}, spike->length, spike->peak,
            spike->peak);
      if (const Nanos rest = spike->total - spike->at - spike->length; rest > Nanos{0}) {
        stage(named("after the spike"), Nanos{0}, rest, spike->base, spike->base);
      }
    }
  }

 private:
  std::uint32_t index_of(const std::vector<MixShare>& mix) {
    const auto found = std::find(plan.mixes.begin(), plan.mixes.end(), mix);
    const auto index = static_cast<std::uint32_t>(found - plan.mixes.begin());
    if (found == plan.mixes.end()) plan.mixes.push_back(mix);
    return index;
  }
  std::uint32_t mix_ = 0;
};

// Applies `f` to every duration and `g` to every rate of a piece.
template <class F, class G>
void transform(TrafficPiece& piece, F f, G g) {
  f(piece.warm_up);
  if (auto* hold = std::get_if<HoldPiece>(&piece.shape)) {
    f(hold->duration), g(hold->rate);
  } else if (auto* ramp = std::get_if<RampPiece>(&piece.shape)) {
    f(ramp->duration), g(ramp->from), g(ramp->to);
  } else if (auto* steps = std::get_if<StepsPiece>(&piece.shape)) {
    f(steps->hold), g(steps->from), g(steps->to), g(steps->by);
  } else if (auto* spike = std::get_if<SpikePiece>(&piece.shape)) {
    f(spike->at), f(spike->length), f(spike->total), g(spike->base), g(spike->peak);
  } else if (auto* curve = std::get_if<CurvePiece>(&piece.shape)) {
    f(curve->stage_length);
    for (CurvePiece::Point& p : curve->points) f(p.at), g(p.rate);
  }
}

}  // namespace

std::string check_piece(const TrafficPiece& piece) {
  if (std::string wrong = std::visit(Check{}, piece.shape); !wrong.empty()) return wrong;
  double sum = 0;
  for (const MixShare& m : piece.mix) sum += m.share;
  if (!piece.mix.empty() && !(sum > 0)) return "the shares of the mix add up to nothing; give one above 0";
  return "";
}

// What is wrong with the whole, when each piece is right.
std::string check_whole(const TrafficProfile& profile) {
  if (profile.pieces.empty()) return "no pieces; give at least one, as in hold(10/s,30s)";
  const TrafficPlan plan = plan_of(profile);
  for (const auto& stage : plan.stages) {
    if (stage.measure_from >= stage.end) {
      return fmt::format("stage '{}' is all warm-up: {} of {}", stage.name,
                         print_duration(stage.measure_from - stage.start),
                         print_duration(stage.end - stage.start));
    }
  }
  if (plan.requests <= 0) return "the rate is 0/s throughout: nothing would be sent";
  if (plan.requests > most_requests) {
    return fmt::format("about {:.3g} requests would be sent; at most {:.3g} are accepted in one run",
                       plan.requests, most_requests);
  }
  return "";
}

std::string check_events(const TrafficProfile& profile) {
  if (profile.events.empty()) return "";
  const TrafficPlan plan = plan_of(profile);
  for (const TrafficEvent& event : profile.events) {
    if (const auto placed = place_event(event, plan); !placed) return placed.error().message;
  }
  return "";
}

std::string check_cv(double cv) {
  if (cv >= 0.05 && cv <= 20) return "";
  return fmt::format("found a coefficient of variation of {}; accepted: 0.05 to 20 (1 is Poisson)", cv);
}

TrafficPlan plan_of(const TrafficProfile& profile) {
  Planner planner;
  for (const TrafficPiece& piece : profile.pieces) planner.add(piece);
  return std::move(planner.plan);
}

Result<PlannedEvent> place_event(const TrafficEvent& event, const TrafficPlan& plan) {
  Nanos from{0}, to = plan.length;
  if (!event.stage.empty()) {
    const auto stage = std::find_if(plan.stages.begin(), plan.stages.end(),
                                    [&](const TrafficPlan::Stage& s) { return s.name == event.stage; });
    if (stage == plan.stages.end()) {
      std::vector<std::string_view> names;
      for (const TrafficPlan::Stage& s : plan.stages) names.push_back(s.name);
      const std::string_view near = nearest_word(event.stage, names);
      if (names.size() > 12) names.resize(12);
      return fail(ErrorKind::usage, "the event '{}' is in no stage of the traffic; its stages are: {}{}{}",
                  print_event(event), join(names), plan.stages.size() > names.size() ? ", …" : "",
                  near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
    }
    from = stage->start;
    to = stage->end;
  }
  if (from + event.at >= to) {
    return fail(ErrorKind::usage, "the event '{}' would begin when {} is over, after {}", print_event(event),
                event.stage.empty() ? "the traffic" : "its stage", print_duration(to - from));
  }
  const Nanos end = event.until ? from + *event.until : to;
  return PlannedEvent{from + event.at, std::min(end, plan.length)};
}

Rate mean_rate(const TrafficPlan& plan, Nanos from, Nanos to) {
  double requests = 0;
  for (const TrafficPlan::Segment& s : plan.segments) {
    const Nanos a = std::max(from, s.start), b = std::min(to, s.end);
    if (a >= b) continue;
    const auto at = [&](Nanos t) {
      const double share = to_seconds(t - s.start) / to_seconds(s.end - s.start);
      return s.from.per_second() + (s.to.per_second() - s.from.per_second()) * share;
    };
    requests += (at(a) + at(b)) / 2 * to_seconds(b - a);
  }
  return Rate::per_second(requests / to_seconds(to - from));
}

Result<TrafficProfile> scaled(TrafficProfile profile, const TrafficScale& scale) {
  double rate = scale.rate;
  if (scale.base_rate) {
    if (!profile.base_rate) {
      return fail(ErrorKind::usage,
                  "traffic '{}' has no base rate, so none can be set; scale its rates by a factor",
                  profile.name);
    }
    rate *= *scale.base_rate / *profile.base_rate;
  }
  if (!(rate > 0) || !(scale.compress > 0)) {
    return fail(ErrorKind::usage,
                "traffic '{}' scaled by {} in rate and compressed by {}: both must be above 0", profile.name,
                rate, scale.compress);
  }
  const auto shorter = [&](Nanos& d) {
    d = Nanos{std::llround(static_cast<double>(d.count()) / scale.compress)};
  };
  const auto faster = [&](Rate& r) { r = r * rate; };
  for (TrafficPiece& piece : profile.pieces) {
    transform(piece, shorter, faster);
    if (const std::string wrong = check_piece(piece); !wrong.empty())
      return fail(ErrorKind::usage, "traffic '{}', scaled: {}", profile.name, wrong);
  }
  if (profile.base_rate) faster(*profile.base_rate);
  for (BesideCurve& curve : profile.beside) {
    for (auto& [at, value] : curve.points) shorter(at);
  }
  for (TrafficEvent& event : profile.events) {
    shorter(event.at);
    if (event.until) shorter(*event.until);
    if (const std::string wrong = check_event(event); !wrong.empty())
      return fail(ErrorKind::usage, "traffic '{}', scaled: the event '{}': {}", profile.name,
                  print_event(event), wrong);
  }
  if (const std::string wrong = check_whole(profile); !wrong.empty())
    return fail(ErrorKind::usage, "traffic '{}', scaled: {}", profile.name, wrong);
  if (const std::string wrong = check_events(profile); !wrong.empty())
    return fail(ErrorKind::usage, "traffic '{}', scaled: {}", profile.name, wrong);
  return profile;
}

}  // namespace dsbench::profiles
