#pragma once

#include <cstdint>
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

// Every arrival of a profile, complete before the first leaves: a function of (profile, seed) alone, moved by
// the origin.
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
[[nodiscard]] std::vector<Arrival> make_schedule(const profiles::TrafficProfile& profile, std::uint64_t seed,
                                                 const ScheduleOrigin& origin = {});

// The arrivals of one worker of `workers`: i belongs to i mod workers, so that every worker's share is as
// smooth as the whole.
[[nodiscard]] std::vector<Arrival> share_of(const std::vector<Arrival>& arrivals, std::uint32_t worker,
                                            std::uint32_t workers);

}  // namespace dsbench::loadgen
