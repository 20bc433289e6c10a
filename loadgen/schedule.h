#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/units.h"
#include "loadgen/runner.h"
#include "profiles/traffic_profile.h"

namespace dsbench::loadgen {

// Where the arrivals of a schedule are numbered and timed from.
struct ScheduleOrigin {
  std::uint64_t first_request = 0;
  Nanos start{0};                 // since the start of the run
  std::uint32_t first_stage = 0;  // the profile's stages are numbered from here
};

// The arrivals of a profile, a function of (profile, seed) alone: whenever it is asked, however far it is
// asked at a time, and wherever the run is by then. It is drawn as it is needed, so that a run of days takes
// no more memory than one of minutes.
//
// Time-rescaling: let Λ(t) be the integral of the offered rate from 0 to t, which for a piecewise linear rate
// has a closed form, and S_1 < S_2 < … the points of a process with rate 1. Then Λ⁻¹(S_n) are the arrivals
// (for exponential gaps: exactly the inhomogeneous Poisson process). Gaps of the process with rate 1:
//   constant  all 1, the first point at ½: a hold of r/s for T seconds has exactly r·T arrivals, 1/r apart
//   poisson   exponential
//   gamma     Gamma with mean 1 and the profile's coefficient of variation; the first is drawn from the
//   residual law (U times a
//             length-biased gap), so that the process is stationary and its mean count is the integral from
//             the start
// Stream of randomness: "arrivals".
class ScheduleStream {
 public:
  struct Point {
    Nanos due{0};  // since the profile's start
    std::uint32_t stage = 0;
    friend bool operator==(const Point&, const Point&) = default;
  };

  ScheduleStream(const profiles::TrafficProfile& profile, std::uint64_t seed);
  ~ScheduleStream();
  ScheduleStream(ScheduleStream&&) noexcept;

  // The next arrival if it is due before `limit`; it is not asked for again. Limits must not go back.
  [[nodiscard]] std::optional<Point> next_before(Nanos limit);

  // A hand on the dial: from `at` on, which must not lie before a limit that was asked with, the profile's
  // rates are multiplied by `factor` (instead of by the former factor). What is drawn then is a function of
  // (profile, seed, and these calls).
  void scale_from(Nanos at, double factor);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// All of them at once, numbered and moved by the origin.
[[nodiscard]] std::vector<Arrival> make_schedule(const profiles::TrafficProfile& profile, std::uint64_t seed,
                                                 const ScheduleOrigin& origin = {});

}  // namespace dsbench::loadgen
