#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "profiles/traffic_event.h"

namespace dsbench::cli {

// What shall happen to the targets meanwhile, and where they take it.
struct EventOptions {
  std::vector<std::string> events;      // beside those of the traffic profile
  std::vector<std::string> admin_urls;  // by target; empty: embedded and simulated targets only
};

void add_event_flags(CLI::App& app, EventOptions& options);

[[nodiscard]] Result<std::vector<profiles::TrafficEvent>> make_events(const EventOptions& options);

// Whether every event has a target, and every target of an event takes faults. `targets` as in --target.
[[nodiscard]] Result<void> check_events(const std::vector<profiles::TrafficEvent>& events,
                                        const EventOptions& options, const std::vector<std::string>& targets);

}  // namespace dsbench::cli
