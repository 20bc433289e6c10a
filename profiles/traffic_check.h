#pragma once

#include <fmt/format.h>

#include <string>

#include "profiles/traffic_profile.h"

// What the readers of traffic profiles share: what is wrong with what they read, each an empty string when
// nothing is.
namespace dsbench::profiles {

// The shortest text that parses back to the same rate.
[[nodiscard]] inline std::string print_rate(Rate r) {
  return fmt::format("{}/s", r.per_second());
}

[[nodiscard]] std::string check_piece(const TrafficPiece& piece);
// When each piece is right.
[[nodiscard]] std::string check_whole(const TrafficProfile& profile);
// When the pieces are right: whether each event has a stage to happen in.
[[nodiscard]] std::string check_events(const TrafficProfile& profile);
[[nodiscard]] std::string check_cv(double cv);

}  // namespace dsbench::profiles
