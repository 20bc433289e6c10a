#include "engine/server/fault_director.h"

#include <cmath>

namespace dsbench::engine::server {

Result<std::int64_t> FaultDirector::add(const Fault& fault, Nanos now) {
  if (is_of_engine(fault.kind) && !executor_) {
    return fail(
        ErrorKind::usage,
        "the fault '{}' is of an engine that goes in steps; this one has none (--executor fixed): use "
        "--executor cpu or cost:NAME",
        print_fault(fault));
  }
  const std::int64_t id = board_.add(fault, now);
  on_time(now);
  return id;
}

void FaultDirector::on_time(Nanos now) {
  const EngineCondition condition = board_.condition(now);
  board_.expire(now);
  if (condition == condition_) return;
  if (condition.slowdown != condition_.slowdown) {
    if (board_.active(FaultKind::cores, now) != nullptr) board_.count(FaultKind::cores);
    if (board_.active(FaultKind::hot_experts, now) != nullptr) board_.count(FaultKind::hot_experts);
    executor_->slowdown = condition.slowdown;
    executor_->expert_skew = condition.expert_skew;
  }
  if (condition.kv_left != condition_.kv_left) {
    const double gone = (1 - condition.kv_left) * static_cast<double>(engine_.config().blocks);
    if (condition.kv_left < 1) board_.count(FaultKind::kv);
    engine_.withhold_blocks(static_cast<std::int32_t>(std::lround(gone)));
  }
  if (condition.down != condition_.down) {
    if (condition.down) board_.count(FaultKind::crash);
    // On both edges: a step that fails may still have left something in the cache.
    engine_.drop_cache();
    executor_->down = condition.down;
  }
  condition_ = condition;
}

}  // namespace dsbench::engine::server
