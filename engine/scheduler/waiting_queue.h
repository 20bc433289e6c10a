#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/units.h"
#include "engine/admission/overload_config.h"

namespace dsbench::engine {

// The requests that have not been admitted yet, in the order in which they will be. One list per tenant class
// in order of arrival, an index beside it where the order is another; between classes first the rank, then
// start-time fair queueing (Goyal et al., 1996) over tokens by weight.
//
// Entries are the owner's slots: small numbers that it reuses.
class WaitingQueue {
 public:
  using Slot = std::uint32_t;
  explicit WaitingQueue(const OverloadConfig& config);

  struct Entry {
    Slot slot = 0;
    std::int32_t prompt = 0;  // tokens
    std::int32_t cost = 0;    // tokens that it may take in all: what its class is charged
    std::int32_t priority = 0;
    std::uint8_t tenant = 0;
    Nanos since{0};
  };
  void push(const Entry& entry);
  // Who goes next; nothing when nobody waits. Stays the same until something else is called.
  [[nodiscard]] std::optional<Slot> next() const;
  // Leaves the queue: admitted, and charged to its class, or for another reason.
  void admit(Slot slot);
  void erase(Slot slot);

  // Moves to `now`, then takes out and returns who has waited too long: beyond `timeout`, or beyond the
  // controlled delay's bound while the queue is standing.
  [[nodiscard]] std::vector<Slot> expire(Nanos now, std::optional<Nanos> timeout);

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t prompt_tokens() const { return prompt_tokens_; }
  // Those that would go before a new one of this class, were it the order of arrival: its rank and the lower.
  struct Ahead {
    std::int64_t requests = 0;
    std::int64_t prompt_tokens = 0;
  };
  [[nodiscard]] Ahead ahead_of(std::uint8_t tenant) const;
  [[nodiscard]] bool standing() const { return standing_; }
  // Says what is broken, empty when nothing is: for tests.
  [[nodiscard]] std::string check() const;

 private:
  static constexpr Slot none = ~Slot{0};
  // By prompt or priority, then by arrival.
  using Key = std::tuple<std::int64_t, std::uint64_t, Slot>;

  struct Node {
    Entry entry;
    std::uint64_t number = 0;  // of arrival
    Slot previous = none, following = none;
    bool in = false;
  };
  struct Class {
    std::int32_t rank = 0;
    double weight = 1;
    double virtual_time = 0;  // tokens charged so far, by weight
    Slot head = none, tail = none;
    Ahead waiting;
    std::set<Key> index;  // of the orders that need one
  };

  [[nodiscard]] Key key_of(const Node& node) const;
  [[nodiscard]] bool indexed() const {
    return order_ == QueueOrder::shortest_prompt || order_ == QueueOrder::priority;
  }
  [[nodiscard]] const Class* chosen_class() const;

  QueueOrder order_;
  std::optional<Nanos> codel_target_;
  Nanos standing_after_;
  std::vector<Class> classes_;
  std::vector<Node> nodes_;  // by slot
  std::int64_t size_ = 0;
  std::int64_t prompt_tokens_ = 0;
  std::uint64_t arrivals_ = 0;
  double system_time_ = 0;  // the virtual time at which the last one was served
  Nanos filled_at_{0};      // when the queue was last empty
  bool standing_ = false;
};

}  // namespace dsbench::engine
