#pragma once

#include <cstddef>
#include <string>

#include "profiles/traffic_profile.h"

namespace dsbench::cli {

// A traffic profile for a terminal: its description, the offered rate over time in block characters, what
// happens beside it, and its stages in a table. No line is wider than `width` columns (at least 60), but for
// a word or a stage's name that is.
[[nodiscard]] std::string draw_traffic(const profiles::TrafficProfile& profile, std::size_t width);

}  // namespace dsbench::cli
