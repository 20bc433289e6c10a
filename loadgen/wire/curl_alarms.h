#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include "core/units.h"

namespace dsbench::loadgen {

// When each of many multi handles wants to be called, by number. libcurl changes its mind at every turn, so
// that setting costs little: an entry of the heap whose handle has another time by now is stale.
class CurlAlarms {
 public:
  void set(std::size_t handle, Nanos at) {
    if (handle >= times_.size()) times_.resize(handle + 1);
    times_[handle] = at;
    if (heap_.size() > 2 * times_.size() + 64) {
      drop_all_stale();
      return;
    }
    heap_.push_back({at, handle});
    std::push_heap(heap_.begin(), heap_.end());
  }
  void clear(std::size_t handle) {
    if (handle < times_.size()) times_[handle].reset();
  }

  // A handle whose time has come; its alarm is cleared.
  [[nodiscard]] std::optional<std::size_t> take_due(Nanos now) {
    drop_stale();
    if (heap_.empty() || heap_.front().at > now) return {};
    const std::size_t handle = heap_.front().handle;
    times_[handle].reset();
    return handle;
  }
  [[nodiscard]] std::optional<Nanos> first() {
    drop_stale();
    return heap_.empty() ? std::nullopt : std::optional{heap_.front().at};
  }

 private:
  struct Entry {
    Nanos at;
    std::size_t handle;
    friend bool operator<(const Entry& a, const Entry& b) { return a.at > b.at; }
  };

  void drop_stale() {
    while (!heap_.empty() && times_[heap_.front().handle] != heap_.front().at) {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
    }
  }
  void drop_all_stale() {
    heap_.clear();
    for (std::size_t handle = 0; handle < times_.size(); ++handle) {
      if (times_[handle]) heap_.push_back({*times_[handle], handle});
    }
    std::make_heap(heap_.begin(), heap_.end());
  }

  std::vector<std::optional<Nanos>> times_;  // by handle
  std::vector<Entry> heap_;                  // the earliest first
};

}  // namespace dsbench::loadgen
