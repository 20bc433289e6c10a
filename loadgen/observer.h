#pragma once

#include <optional>

#include "results/run_summary.h"

namespace dsbench::loadgen {

// What the target says of itself, where it says anything: a scrape of /metrics, or the state of a simulated
// fleet.
struct Observation {
  std::optional<results::Ledger> ledger;  // counters since the target's start
  std::optional<double> running, waiting, kv_used_share;
};

class Observer {
 public:
  virtual ~Observer() = default;
  // Nothing when the target did not answer this time. May take milliseconds; the issuers go on meanwhile.
  [[nodiscard]] virtual std::optional<Observation> observe() = 0;
};

}  // namespace dsbench::loadgen
