#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/units.h"
#include "loadgen/target.h"

namespace dsbench::loadgen {

// The next requests of sessions that are not yet due, earliest first. While they rest, none is due, and the
// time that passes does not count.
class SleepingSessions {
 public:
  struct Sleeper {
    Nanos due{0};
    std::uint32_t stage = 0;  // of the request that it follows
    Attempt attempt;
  };

  // `ended`: when the request before it did.
  void add(Nanos ended, Nanos pause, std::uint32_t stage, Attempt attempt) {
    if (over_) return;
    const Nanos from = resting_since_ ? std::min(*resting_since_, ended) : ended;
    heap_.push_back({from + pause, stage, std::move(attempt)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  [[nodiscard]] Sleeper take_first() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Sleeper first = std::move(heap_.back());
    heap_.pop_back();
    return first;
  }
  // When the first is due; nothing while they rest.
  [[nodiscard]] std::optional<Nanos> first_due() const {
    if (heap_.empty() || resting_since_) return std::nullopt;
    return heap_.front().due;
  }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }

  void rest(Nanos now) {
    if (!resting_since_) resting_since_ = now;
  }
  void wake(Nanos now) {
    if (!resting_since_) return;
    const Nanos rested = std::max(Nanos{0}, now - *resting_since_);
    for (Sleeper& s : heap_) s.due += rested;  // all alike: it stays a heap
    resting_since_.reset();
  }
  // Forgets all, and takes no more.
  void end() {
    heap_.clear();
    over_ = true;
  }
  [[nodiscard]] bool over() const { return over_; }

 private:
  // For a heap of the standard library, whose first is the largest.
  static bool later(const Sleeper& a, const Sleeper& b) {
    return std::tie(b.due, b.attempt.request) < std::tie(a.due, a.attempt.request);
  }
  std::vector<Sleeper> heap_;
  std::optional<Nanos> resting_since_;
  bool over_ = false;
};

}  // namespace dsbench::loadgen
