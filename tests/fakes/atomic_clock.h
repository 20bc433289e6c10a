#pragma once

#include <atomic>

#include "core/clock.h"

namespace dsbench::fakes {

// A ManualClock that several threads may read while a test moves it.
class AtomicClock final : public Clock {
 public:
  [[nodiscard]] Nanos now() const override { return Nanos{now_.load()}; }
  void sleep_until(Nanos deadline) override {
    std::int64_t seen = now_.load();
    while (seen < deadline.count() && !now_.compare_exchange_weak(seen, deadline.count())) {
    }
  }
  void advance(Nanos by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{0};
};

}  // namespace dsbench::fakes
