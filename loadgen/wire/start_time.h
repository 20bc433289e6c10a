#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "core/result.h"
#include "core/units.h"

// An instant of the wall clock at which several processes begin together.
namespace dsbench::loadgen {

// The same instant on CLOCK_MONOTONIC, by both clocks as they stand now.
[[nodiscard]] Nanos steady_of_wall(Nanos wall);

// Sleeps until the wall clock shows `until`; `each`, if there is one, is called about five times a second
// with what is left. Errors: interrupted, when the flag goes up.
[[nodiscard]] Result<void> wait_for_wall(Nanos until, const std::atomic<bool>& stop,
                                         const std::function<void(Nanos left)>& each = {});

// A thread that only sleeps until the start, and notes how late it woke: what the process itself, whatever it
// is about to do, could not do better. A process that was stopped meanwhile shows here.
class StartWatch {
 public:
  // Both are the same instant, on the wall clock and on CLOCK_MONOTONIC.
  StartWatch(Nanos wall, Nanos steady);
  ~StartWatch();
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

  // The later of what the two clocks say, not below nought: a wall clock that was set back or forward
  // meanwhile shows too. Nothing: the start is yet to come.
  [[nodiscard]] std::optional<Nanos> lateness() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::loadgen
