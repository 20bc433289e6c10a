#pragma once

#include <optional>

#include "core/units.h"

namespace dsbench::loadgen {

// The kernel says by the wall clock when it received bytes, and the stamps of a run are by a clock that is
// never set. Both run at one pace, however the time of day is disciplined: the distance between them changes
// only when somebody sets the wall clock (or a leap second does). So it is bounded more tightly with every
// look, and a look that contradicts the bounds has found a step.
//
// A stamp from before a step must not be read by the distance after it. look() therefore comes after bytes
// were read: where it tells of a step, what was read since the look before is not to be believed, and for
// `distrust` after it, in which older stamps may still lie in sockets, no stamp is.
//
// Reads no clock itself.
class ReceiveClock {
 public:
  static constexpr Nanos distrust{1'000'000'000};
  // Bounds further apart than this (we were held up between the readings) say too little.
  static constexpr Nanos vague{20'000};

  // The wall clock, read between two readings of the run's clock. True: it has been set since the last look.
  bool look(Nanos before, Nanos wall, Nanos after);
  // When the run's clock showed what the wall clock said; nothing when that is not known.
  [[nodiscard]] std::optional<Nanos> run_time(Nanos wall) const;
  [[nodiscard]] int steps() const { return steps_; }

 private:
  bool known_ = false;
  Nanos least_{0}, most_{0};  // of wall clock − run's clock
  Nanos trusted_from_{0};     // by the run's clock
  Nanos latest_{0};           // look
  int steps_ = 0;
};

}  // namespace dsbench::loadgen
