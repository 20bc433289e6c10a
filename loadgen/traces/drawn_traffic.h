#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>

#include "core/units.h"
#include "loadgen/request_source.h"

namespace dsbench::loadgen {

struct DrawnRequest {
  Nanos due{0};
  std::uint64_t session = 0;  // number of the arrival that began it
  Nanos gap{0};               // since the turn before was due; 0 of a first one
  std::int32_t growth = 0;    // of the prompt since that turn; 0 of a first one
  const Attempt* attempt = nullptr;
};

// Draws what would be offered: the arrivals and the turns that follow them, in order of time, with answers of
// the length asked for that take no time. What is due at or after `end` is not offered. Arrivals are numbered
// from `first_number` on.
void draw_traffic(const SharedSource& source, std::span<const Nanos> arrivals, std::uint64_t first_number,
                  std::optional<Nanos> end, const std::function<void(const DrawnRequest&)>& visit);

}  // namespace dsbench::loadgen
