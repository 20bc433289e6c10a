#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/faults/fault.h"

namespace dsbench::engine {

// What goes wrong with one request. At most one of the ways to break a stream applies: the first in the order
// of FaultKind.
struct RequestFaults {
  Nanos delay{0};                           // before the answer begins
  std::optional<std::int32_t> stall_after;  // tokens
  std::optional<Nanos> stall;               // absent: for ever
  std::optional<FaultKind> breaks;          // close, error_frame or truncate
  std::int32_t break_after = 0;             // tokens
  std::optional<std::int32_t> refuse;       // with this status
  bool flood = false;

  [[nodiscard]] bool any() const { return delay > Nanos{0} || stall_after || breaks || refuse || flood; }
};

// What is wrong with the engine.
struct EngineCondition {
  bool down = false;
  double slowdown = 1;  // of a step's time
  double kv_left = 1;
  double expert_skew = 1;  // see EngineFaults

  friend bool operator==(const EngineCondition&, const EngineCondition&) = default;
};

// Which faults are on. A pure state machine: time is passed in, chance is a function of a fault's seed and a
// request's number. A fault is on from its start until its end; of two of one kind the later added counts.
class FaultBoard {
 public:
  struct Entry {
    std::int64_t id = 0;
    Fault fault;  // its start is a moment of the clock
  };

  // `start` of the fault counts from `now`. Its id.
  std::int64_t add(Fault fault, Nanos now);
  // It is over at `at`, or was before. False when there is none with this id.
  bool end(std::int64_t id, Nanos at);
  // When the next of them begins or ends after `now`.
  [[nodiscard]] std::optional<Nanos> next_change(Nanos now) const;
  // Takes away the faults of one kind, or all. How many there were, those not yet on included.
  std::size_t clear(std::optional<FaultKind> kind);
  // Forgets what is over.
  void expire(Nanos now);

  [[nodiscard]] const Fault* active(FaultKind kind, Nanos now) const;
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }

  // What happens to a request that arrives now.
  [[nodiscard]] RequestFaults draw(std::uint64_t request, Nanos now) const;
  // The bytes a second at which this request's body is read, if slowly.
  [[nodiscard]] std::optional<std::int64_t> read_rate(std::uint64_t request, Nanos now) const;
  [[nodiscard]] EngineCondition condition(Nanos now) const;

  // How often each was applied: to a request, or, those of the engine, to the engine.
  void count(FaultKind kind) { ++applied_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] std::int64_t applied(FaultKind kind) const {
    return applied_[static_cast<std::size_t>(kind)];
  }

 private:
  [[nodiscard]] const Fault* hits(FaultKind kind, std::uint64_t request, Nanos now) const;

  std::vector<Entry> entries_;
  std::int64_t last_id_ = 0;
  std::array<std::int64_t, fault_kinds> applied_{};
};

}  // namespace dsbench::engine
