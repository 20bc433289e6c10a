#pragma once

#include <cstdint>

#include "core/units.h"
#include "engine/executors/executor.h"
#include "engine/scheduler/scheduler_config.h"
#include "profiles/hardware_profile.h"

namespace dsbench::engine {

struct StepCost {
  Nanos time{0};
  bool extrapolated = false;  // the step lies outside the range in which the law was measured
};

// The step-time law of a hardware profile.
class CostModel {
 public:
  explicit CostModel(const profiles::HardwareProfile& hardware);

  // At least 1 ns, so that virtual time always moves.
  [[nodiscard]] StepCost step_time(const StepBatch& batch) const;

 private:
  double base_ns_;
  double prefill_token_ns_;
  double decode_token_ns_;
  double kv_token_ns_;
  std::int64_t max_prefill_tokens_;
  std::int64_t max_decode_tokens_;
  std::int64_t max_kv_tokens_;
};

// The scheduler that goes with the hardware: its KV capacity in whole blocks, its bounds, no queue bound.
[[nodiscard]] SchedulerConfig scheduler_config(const profiles::HardwareProfile& hardware);

}  // namespace dsbench::engine
