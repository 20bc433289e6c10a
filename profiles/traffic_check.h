#pragma once

#include <string>

#include "profiles/traffic_profile.h"

// What the readers of traffic profiles share: what is wrong with what they read, each an empty string when
// nothing is.
namespace dsbench::profiles {

[[nodiscard]] std::string check_piece(const TrafficPiece& piece);
// When each piece is right.
[[nodiscard]] std::string check_whole(const TrafficProfile& profile);
// When the pieces are right: whether each event has a stage to happen in.
[[nodiscard]] std::string check_events(const TrafficProfile& profile);
[[nodiscard]] std::string check_cv(double cv);

}  // namespace dsbench::profiles
