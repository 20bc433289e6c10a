#pragma once

#include <string>
#include <vector>

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/fleet/fleet.h"
#include "loadgen/observer.h"
#include "loadgen/target.h"

namespace dsbench::cli {

// A simulated fleet as a target of the load generator: the two rooms do not know each other, this is where
// they meet.
class FleetTarget final : public loadgen::VirtualTarget, public loadgen::Observer {
 public:
  // `tenants`: the workload's classes by Attempt::tenant. The fleet's overload control knows them by name,
  // and each is one account.
  FleetTarget(engine::Fleet fleet, const std::vector<std::string>& tenants);

  void submit(const loadgen::Attempt& attempt, Nanos now) override;
  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) override;
  [[nodiscard]] std::optional<Nanos> next_event() const override { return fleet_.next_event(); }
  void advance(Nanos now, std::vector<loadgen::TargetEvent>& events) override;

  [[nodiscard]] std::optional<loadgen::Observation> observe() override;

  [[nodiscard]] engine::Fleet& fleet() { return fleet_; }

 private:
  engine::Fleet fleet_;
  std::vector<engine::Caller> callers_;  // by tenant; never empty
  std::vector<engine::FleetEvent> seen_;
};

// The engine's counters in the ledger's words.
[[nodiscard]] results::Ledger ledger_of(const engine::EngineStats& stats);

}  // namespace dsbench::cli
