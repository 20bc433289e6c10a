#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/result.h"
#include "engine/faults/fault_board.h"
#include "engine/fleet/fleet.h"
#include "loadgen/target.h"

namespace dsbench::cli {

// A simulated fleet that things go wrong with: its answers are late, stand still, break off or are refused,
// as the reference server's are (engine/server/afflicted_reply.h); what is wrong with its engines it is told.
class AfflictedTarget final : public loadgen::VirtualTarget {
 public:
  // `fleet` is what `inner` passes attempts on to; both must outlive this.
  AfflictedTarget(loadgen::VirtualTarget& inner, engine::Fleet& fleet)
      : inner_{inner}, fleet_{fleet}, round_trip_{fleet.round_trip()} {}

  // From the fault's start (an instant of the run, none before the present one) for its duration. Errors:
  // usage, for a fault that virtual time does not know.
  [[nodiscard]] Result<std::int64_t> add_fault(const engine::Fault& fault);
  // It is over at `at`, or was before. `id` is what add_fault() returned for a fault of this kind.
  void end_fault(engine::FaultKind kind, std::int64_t id, Nanos at);

  void submit(const loadgen::Attempt& attempt, Nanos now) override;
  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) override;
  [[nodiscard]] std::optional<Nanos> next_event() const override;
  void advance(Nanos now, std::vector<loadgen::TargetEvent>& events) override;

 private:
  using Key = std::pair<std::uint64_t, std::uint32_t>;
  // One attempt that something goes wrong with.
  struct Ill {
    engine::RequestFaults faults;
    bool held = false;        // nothing is told until it is released
    std::int32_t tokens = 0;  // told
    bool begun = false;       // the first byte was told
    std::deque<loadgen::TargetEvent> waiting;
  };
  using Events = std::vector<loadgen::TargetEvent>;

  void take(const loadgen::TargetEvent& event, Events& events);
  // False when the event, and what follows it, must wait; the attempt may have ended by it.
  [[nodiscard]] bool pass(const Key& key, Ill& ill, loadgen::TargetEvent event, Nanos now, Events& events);
  void release(const Key& key, Nanos now, Events& events);
  void break_off(const Key& key, Ill& ill, Nanos now, Events& events);
  void tell(loadgen::TargetEvent event, Nanos now, Events& events);

  loadgen::VirtualTarget& inner_;
  engine::Fleet& fleet_;
  Nanos round_trip_;
  engine::FaultBoard board_;  // of requests
  std::uint64_t arrivals_ = 0;
  std::map<Key, Ill> ill_;
  std::multimap<Nanos, Key> releases_;
  std::multimap<Nanos, loadgen::TargetEvent> refusals_;
  Events inner_told_;
};

}  // namespace dsbench::cli
