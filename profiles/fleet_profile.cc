#include "profiles/fleet_profile.h"

#include <fmt/format.h>

#include "profiles/catalog.h"

namespace dsbench::profiles {

std::string_view to_string(Router router) {
  return router == Router::round_robin ? "round_robin" : "least_outstanding";
}

void FleetProfile::each_parameter(const std::function<void(std::string_view, const Parameter&)>& f) const {
  f("replicas", replicas);
  f("network_rtt", network_rtt);
  if (max_queued) f("max_queued", *max_queued);
  if (queue_timeout) f("queue_timeout", *queue_timeout);
  hardware.each_parameter(
      [&](std::string_view key, const Parameter& p) { f(fmt::format("hardware.{}", key), p); });
}

Result<FleetProfile> parse_fleet(std::string_view text, const std::string& source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(text, source));
  root.schema("fleet", 1);
  FleetProfile fleet;
  fleet.name = root.text("name");
  fleet.description = root.text("description");
  const bool inlined = root.has("hardware_inline");
  std::string hardware_name;
  if (inlined) {
    JsonObject hardware = root.object("hardware_inline");
    fleet.hardware = read_hardware(hardware);
    if (root.has("hardware"))
      root.complain("hardware", "found together with hardware_inline; give one of the two");
    (void)root.text("hardware", "");
  } else {
    hardware_name = root.text("hardware");
  }
  fleet.replicas = read_count(root, "replicas");
  JsonObject router = root.object("router");
  fleet.router = static_cast<Router>(router.choice("value", {"round_robin", "least_outstanding"}));
  fleet.router_provenance =
      static_cast<Provenance>(router.choice("provenance", {"measured", "published", "assumed"}));
  fleet.router_source = router.text("source");
  fleet.network_rtt = read_duration(root, "network_rtt");
  // Asking for an absent one makes it known as an accepted key.
  if (root.has("max_queued")) {
    fleet.max_queued = read_count(root, "max_queued");
  } else {
    (void)root.object("max_queued", false);
  }
  if (root.has("queue_timeout")) {
    fleet.queue_timeout = read_duration(root, "queue_timeout");
  } else {
    (void)root.object("queue_timeout", false);
  }
  DSBENCH_CHECK(root.finish());
  if (!inlined) {
    DSBENCH_TRY(fleet.hardware, load_hardware(hardware_name));
  }
  return fleet;
}

Result<FleetProfile> load_fleet(std::string_view name_or_path) {
  DSBENCH_TRY(const ProfileText found, find_profile("fleet", name_or_path));
  return parse_fleet(found.text, found.source);
}

}  // namespace dsbench::profiles
