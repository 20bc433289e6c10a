#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/offered_traffic.h"
#include "core/result.h"
#include "core/units.h"
#include "loadgen/guards.h"
#include "loadgen/request_source.h"
#include "profiles/traffic_profile.h"

namespace dsbench::cli {

// What a run would come to, without sending anything.
struct DryRunQuestion {
  OfferedTraffic& traffic;  // the whole of it, from its beginning
  const std::string& traffic_json;
  std::vector<profiles::TrafficEvent> events;
  const loadgen::SharedSource& source;
  std::uint64_t seed = 1;
  loadgen::Prices prices;
  Nanos latency{0};  // of one request, assumed: how many are open at once follows from it (Little's law)
  bool json = false;
};

// Where the stages of the traffic lie.
[[nodiscard]] profiles::TrafficPlan plan_of(const OfferedTraffic& traffic);

// Draws the whole schedule and the contents of its requests (of a large one: of 100,000 drawn evenly, scaled
// up) and says per stage and in all: requests, tokens, cost, and the connections that are needed, beside the
// descriptors and ports that this machine has.
[[nodiscard]] std::string dry_run(const DryRunQuestion& question);

}  // namespace dsbench::cli
