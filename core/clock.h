#pragma once

#include "core/units.h"

namespace dsbench {

// Time and waiting, passed in. Only core/clock.cc and the two loops that execute actions (wire, engine) may
// wait.
struct Clock {
  virtual ~Clock() = default;
  // Since the clock's epoch; never goes back.
  [[nodiscard]] virtual Nanos now() const = 0;
  // Returns at once when the deadline has passed.
  virtual void sleep_until(Nanos deadline) = 0;
};

// CLOCK_MONOTONIC.
class SteadyClock final : public Clock {
 public:
  [[nodiscard]] Nanos now() const override;
  void sleep_until(Nanos deadline) override;
};

// Moves only when told; sleeping moves it. For tests and for virtual time.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Nanos start = Nanos{0}) : now_{start} {}
  [[nodiscard]] Nanos now() const override { return now_; }
  void sleep_until(Nanos deadline) override {
    if (deadline > now_) now_ = deadline;
  }
  void advance(Nanos by) { now_ += by; }

 private:
  Nanos now_;
};

// Wall-clock time, since the Unix epoch: only for stamps that a person reads.
[[nodiscard]] Nanos wall_clock_now();

}  // namespace dsbench
