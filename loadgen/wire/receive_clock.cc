#include "loadgen/wire/receive_clock.h"

#include <algorithm>

namespace dsbench::loadgen {
namespace {

// Below this a contradiction is the rounding of two clocks.
constexpr Nanos rounding{1'000};

}  // namespace

bool ReceiveClock::look(Nanos before, Nanos wall, Nanos after) {
  const Nanos least = wall - after, most = wall - before;
  latest_ = after;
  if (!known_) {
    known_ = true;
    least_ = least;
    most_ = most;
    return false;
  }
  if (least > most_ + rounding || most < least_ - rounding) {
    least_ = least;
    most_ = most;
    trusted_from_ = after + distrust;
    ++steps_;
    return true;
  }
  least_ = std::max(least_, least);
  most_ = std::min(most_, most);
  if (least_ > most_) std::swap(least_, most_);
  return false;
}

std::optional<Nanos> ReceiveClock::run_time(Nanos wall) const {
  if (!known_ || most_ - least_ > vague || latest_ < trusted_from_) return std::nullopt;
  return wall - (least_ + (most_ - least_) / 2);
}

}  // namespace dsbench::loadgen
