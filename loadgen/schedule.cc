#include "loadgen/schedule.h"

#include <algorithm>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

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

std::vector<Arrival> make_schedule(const profiles::TrafficProfile& profile, std::uint64_t seed,
                                   const ScheduleOrigin& origin) {
  const TrafficPlan plan = profiles::plan_of(profile);
  std::vector<Arrival> arrivals;
  arrivals.reserve(static_cast<std::size_t>(plan.requests * 1.02) + 64);
  UnitProcess process{profile.arrivals, seed};
  double point = process.next();
  double before = 0;  // Λ at the start of the segment
  for (const TrafficPlan::Segment& segment : plan.segments) {
    const double a = segment.from.per_second();
    const double b = segment.to.per_second();
    const double duration = to_seconds(segment.end - segment.start);
    const double mass = (a + b) / 2 * duration;
    // Rounding must not lose or invent an arrival of a constant rate, whose points lie half a unit from the
    // ends.
    for (; point < before + mass; point = process.next()) {
      const Nanos at = segment.start + from_seconds(seconds_until(point - before, a, b, duration));
      const Nanos due = std::clamp(at, segment.start, segment.end - Nanos{1});
      arrivals.push_back(
          {origin.first_request + arrivals.size(), origin.start + due, origin.first_stage + segment.stage});
    }
    before += mass;
  }
  return arrivals;
}

std::vector<Arrival> share_of(const std::vector<Arrival>& arrivals, std::uint32_t worker,
                              std::uint32_t workers) {
  std::vector<Arrival> share;
  share.reserve(arrivals.size() / workers + 1);
  for (const Arrival& arrival : arrivals) {
    if (arrival.request % workers == worker) share.push_back(arrival);
  }
  return share;
}

}  // namespace dsbench::loadgen
