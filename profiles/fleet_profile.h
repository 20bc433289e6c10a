#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "profiles/hardware_profile.h"
#include "profiles/parameter.h"

namespace dsbench::profiles {

enum class Router : std::uint8_t { round_robin, least_outstanding };
[[nodiscard]] std::string_view to_string(Router router);

// A simulated service: identical replicas of one kind of hardware behind a router. Schema "dsbench.fleet/1".
struct FleetProfile {
  std::string name;
  std::string description;
  HardwareProfile hardware;  // "hardware": a shipped name or a path; or "hardware_inline": the object itself
  Parameter replicas;
  Router router = Router::least_outstanding;
  std::string router_source;
  Provenance router_provenance = Provenance::assumed;
  Parameter network_rtt;                   // seconds, between the client and the replica, there and back
  std::optional<Parameter> max_queued;     // per replica; unbounded when absent
  std::optional<Parameter> queue_timeout;  // seconds; none when absent

  // Every parameter, the hardware's included ("hardware.step_time.base_s"); the router is not a number and
  // not among them.
  void each_parameter(const std::function<void(std::string_view name, const Parameter&)>& f) const;
};

// By shipped name or by path.
[[nodiscard]] Result<FleetProfile> load_fleet(std::string_view name_or_path);
[[nodiscard]] Result<FleetProfile> parse_fleet(std::string_view text, const std::string& source);

}  // namespace dsbench::profiles
