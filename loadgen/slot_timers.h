#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "core/units.h"

namespace dsbench::loadgen {

// What happens first at one instant. Requests of one class go by number. (An event stamped with the instant
// of a timeout is in time, if the loop feeds events before it calls on_time().)
enum class TimerClass : std::uint8_t { timeout, retry, arrival, follow_up };

struct Timer {
  Nanos at{0};
  TimerClass what = TimerClass::timeout;
  std::uint64_t request = 0;
  friend bool operator<(const Timer& a, const Timer& b) {
    return std::tie(a.at, a.what, a.request) < std::tie(b.at, b.what, b.request);
  }
};

// At most one timer for each slot of a table: a binary heap that knows each slot's place in it, so that a
// timer can be moved and taken away.
class SlotTimers {
 public:
  void arm(std::uint32_t slot, const Timer& timer) {
    if (slot >= entries_.size()) entries_.resize(std::size_t{slot} + 1);
    Entry& e = entries_[slot];
    e.timer = timer;
    if (e.place == nowhere) {
      e.place = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back(slot);
    }
    sift(e.place);
  }
  void disarm(std::uint32_t slot) {
    if (!armed(slot)) return;
    const std::uint32_t at = entries_[slot].place;
    entries_[slot].place = nowhere;
    const std::uint32_t last = heap_.back();
    heap_.pop_back();
    if (last == slot) return;
    put(last, at);
    sift(at);
  }
  [[nodiscard]] bool armed(std::uint32_t slot) const {
    return slot < entries_.size() && entries_[slot].place != nowhere;
  }
  // Of an armed slot.
  [[nodiscard]] const Timer& timer(std::uint32_t slot) const { return entries_[slot].timer; }

  [[nodiscard]] bool empty() const { return heap_.empty(); }
  // The slot whose timer is first.
  [[nodiscard]] std::uint32_t first() const { return heap_.front(); }
  [[nodiscard]] Nanos first_at() const { return entries_[heap_.front()].timer.at; }

 private:
  static constexpr std::uint32_t nowhere = ~std::uint32_t{0};
  struct Entry {
    Timer timer;
    std::uint32_t place = nowhere;  // in the heap
  };

  [[nodiscard]] bool earlier(std::uint32_t a, std::uint32_t b) const {
    return entries_[a].timer < entries_[b].timer;
  }
  void put(std::uint32_t slot, std::size_t at) {
    heap_[at] = slot;
    entries_[slot].place = static_cast<std::uint32_t>(at);
  }
  void sift(std::size_t at) {
    const std::uint32_t slot = heap_[at];
    while (at > 0 && earlier(slot, heap_[(at - 1) / 2])) {
      put(heap_[(at - 1) / 2], at);
      at = (at - 1) / 2;
    }
    for (;;) {
      std::size_t child = 2 * at + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && earlier(heap_[child + 1], heap_[child])) ++child;
      if (!earlier(heap_[child], slot)) break;
      put(heap_[child], at);
      at = child;
    }
    put(slot, at);
  }

  std::vector<Entry> entries_;  // by slot
  std::vector<std::uint32_t> heap_;
};

}  // namespace dsbench::loadgen
