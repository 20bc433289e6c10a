#pragma once

#include <string>

#include "profiles/traffic_profile.h"

namespace dsbench::cli {

// A traffic profile for a terminal: its description, the offered rate over time in block characters, what
// happens beside it, and its stages in a table.
[[nodiscard]] std::string draw_traffic(const profiles::TrafficProfile& profile);

}  // namespace dsbench::cli
