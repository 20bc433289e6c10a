#include "loadgen/schedule.h"

#include <algorithm>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <utility>

#include "core/rng.h"

namespace dsbench::loadgen {
namespace {

using profiles::ArrivalProcess;
using profiles::TrafficPlan;

// The points S_1 < S_2 < … of a renewal process with rate 1.
class UnitProcess {
 public:
  UnitProcess(const ArrivalProcess& process, std::uint64_t seed) : process_{process}, rng_{seed, "arrivals"} {
    shape_ = 1 / (process_.cv * process_.cv);
  }

  [[nodiscard]] double next() {
    switch (process_.kind) {
      case ArrivalProcess::Kind::constant:
        return static_cast<double>(n_++) + 0.5;  // no sum: it would drift
      case ArrivalProcess::Kind::poisson:
        return sum_ += rng_.exponential();
      case ArrivalProcess::Kind::gamma:
        break;
    }
    if (n_++ == 0) {
      const double length_biased = gap(shape_ + 1);
      return sum_ += rng_.uniform() * length_biased;
    }
    return sum_ += gap(shape_);
  }

 private:
  // Gamma with this shape and scale 1 / shape_.
  double gap(double shape) { return boost::math::gamma_p_inv(shape, rng_.open_uniform()) / shape_; }

  ArrivalProcess process_;
  Rng rng_;
  double shape_ = 1;
  std::uint64_t n_ = 0;
  double sum_ = 0;
};

// When a rate that goes from a to b in T seconds has let `mass` arrive: the root of a·t + (b − a)·t²/(2T) =
// mass, in the form that loses nothing when b is near a.
double seconds_until(double mass, double a, double b, double duration) {
  const double slope = (b - a) / duration;
  const double root = std::sqrt(std::max(a * a + 2 * slope * mass, 0.0));
  return a + root > 0 ? 2 * mass / (a + root) : 0;
}

}  // namespace

struct ScheduleStream::Impl {
  Impl(const profiles::TrafficProfile& profile, std::uint64_t seed)
      : plan{profiles::plan_of(profile)}, process{profile.arrivals, seed}, point{process.next()} {
    enter(0);
  }

  TrafficPlan plan;
  UnitProcess process;
  double point;       // the next one's place in the process with rate 1
  double before = 0;  // Λ at `start`
  double factor = 1;
  std::size_t at = 0;  // the segment
  Nanos start{0};      // of what is left of the segment, and its rate there
  double from = 0;

  void enter(std::size_t segment) {
    at = segment;
    if (at == plan.segments.size()) return;
    start = plan.segments[at].start;
    from = plan.segments[at].from.per_second();
  }
  [[nodiscard]] bool over() const { return at == plan.segments.size(); }
  [[nodiscard]] double mass() const {
    const TrafficPlan::Segment& s = plan.segments[at];
    return factor * (from + s.to.per_second()) / 2 * to_seconds(s.end - start);
  }
  void leave() {
    before += mass();
    enter(at + 1);
  }
};

ScheduleStream::ScheduleStream(const profiles::TrafficProfile& profile, std::uint64_t seed)
    : impl_{std::make_unique<Impl>(profile, seed)} {}
ScheduleStream::~ScheduleStream() = default;
ScheduleStream::ScheduleStream(ScheduleStream&&) noexcept = default;

std::optional<ScheduleStream::Point> ScheduleStream::next_before(Nanos limit) {
  Impl& s = *impl_;
  while (!s.over()) {
    const TrafficPlan::Segment& segment = s.plan.segments[s.at];
    if (s.start >= limit) return std::nullopt;
    // Rounding must not lose or invent an arrival of a constant rate, whose points lie half a unit from the
    // ends.
    if (s.point < s.before + s.mass()) {
      const double a = s.factor * s.from;
      const double b = s.factor * segment.to.per_second();
      const Nanos due =
          s.start + from_seconds(seconds_until(s.point - s.before, a, b, to_seconds(segment.end - s.start)));
      const Point found{std::clamp(due, s.start, segment.end - Nanos{1}), segment.stage};
      if (found.due >= limit) return std::nullopt;
      s.point = s.process.next();
      return found;
    }
    if (segment.end > limit) return std::nullopt;
    s.leave();
  }
  return std::nullopt;
}

void ScheduleStream::scale_from(Nanos at, double factor) {
  Impl& s = *impl_;
  while (!s.over() && s.plan.segments[s.at].end <= at) s.leave();
  if (!s.over() && at > s.start) {
    const TrafficPlan::Segment& segment = s.plan.segments[s.at];
    const double share = to_seconds(at - s.start) / to_seconds(segment.end - s.start);
    const double here = s.from + (segment.to.per_second() - s.from) * share;
    s.before += s.factor * (s.from + here) / 2 * to_seconds(at - s.start);
    s.start = at;
    s.from = here;
  }
  s.factor = factor;
}

std::vector<Arrival> make_schedule(const profiles::TrafficProfile& profile, std::uint64_t seed,
                                   const ScheduleOrigin& origin) {
  ScheduleStream stream{profile, seed};
  std::vector<Arrival> arrivals;
  arrivals.reserve(static_cast<std::size_t>(profiles::plan_of(profile).requests * 1.02) + 64);
  while (const auto point = stream.next_before(Nanos::max())) {
    arrivals.push_back({origin.first_request + arrivals.size(), origin.start + point->due,
                        origin.first_stage + point->stage});
  }
  return arrivals;
}

}  // namespace dsbench::loadgen
