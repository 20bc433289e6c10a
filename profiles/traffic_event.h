#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/units.h"
#include "profiles/fault.h"

namespace dsbench::profiles {

// Something that goes wrong while traffic passes: a fault of the target, from when to when.
struct TrafficEvent {
  Fault fault = {};  // its own start and duration are not used
  // Whose beginning `at` and `until` count from; empty: the traffic's.
  std::string stage = {};
  Nanos at{0};
  std::optional<Nanos> until = std::nullopt;          // absent: until the stage, or the traffic, is over
  std::optional<std::int32_t> target = std::nullopt;  // its place among the targets; absent: all of them
  friend bool operator==(const TrafficEvent&, const TrafficEvent&) = default;
};

// "FAULT [of target N] [at TIME] [in STAGE] [until TIME]", as in "cores:left=0.5 at 20s until 40s" or
// "crash of target 0 at 5s in hold until 15s". The fault is as in parse_fault(), without its start and
// duration. The name of a stage may have spaces; it ends at " until " or at the end.
[[nodiscard]] Result<TrafficEvent> parse_event(std::string_view text);
// The same text; parses back to the same event.
[[nodiscard]] std::string print_event(const TrafficEvent& event);
// A fault for an event: one that has no times of its own.
[[nodiscard]] Result<Fault> parse_event_fault(std::string_view text);

// What is wrong with it by itself, empty when nothing is.
[[nodiscard]] std::string check_event(const TrafficEvent& event);

}  // namespace dsbench::profiles
