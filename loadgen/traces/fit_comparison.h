#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/fit_line.h"
#include "loadgen/traces/fit_profiles.h"
#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {

// What is compared of the prompts' common beginnings, as an endless cache would find them.
struct PrefixHits {
  double share = 0;                         // of input tokens
  double share_of_blocks = 0;               // the same counted in the source's blocks
  std::vector<double> by_age, by_position;  // see PrefixMeter
};
// Nothing where the source has no hashes.
[[nodiscard]] std::optional<PrefixHits> prefix_hits(const Trace& trace);

// Draws as many requests from the profiles as they make in the trace's time (of a small trace several times,
// to compare means that have no accidents of their own), and says how far they are from the trace. `name`,
// `seed`: of the draw. Errors: what the profiles' own checks say.
[[nodiscard]] Result<std::vector<FitLine>> compare(const Trace& trace, const FittedProfiles& fitted,
                                                   const std::optional<PrefixHits>& hits,
                                                   const std::string& name, std::uint64_t seed);

}  // namespace dsbench::loadgen
