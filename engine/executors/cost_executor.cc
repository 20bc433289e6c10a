#include "engine/executors/cost_executor.h"

#include <fmt/format.h>

#include <cstddef>

#include "core/rng.h"

namespace dsbench::engine {
namespace {

// A gap up to this long between two steps is ours (a late wake-up, the scheduler's turn) and not the hardware
// idling. It bounds what is made up for: a machine that stalls for longer shows as a slower engine, because
// it was one.
constexpr Nanos our_own_gap{2'000'000};

}  // namespace

CostExecutor::CostExecutor(const profiles::HardwareProfile& hardware, Clock& clock,
                           CostExecutorOptions options)
    : model_{hardware}, clock_{clock}, options_{options}, name_{hardware.name} {}

Result<Nanos> CostExecutor::execute(const StepBatch& batch, std::span<TokenId> sampled) {
  const Nanos now = clock_.now();
  const Nanos start = ran_ && now - last_end_ < our_own_gap ? last_end_ : now;
  const StepCost cost = model_.step_time(batch);
  if (cost.extrapolated) extrapolated_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < batch.items.size(); ++i) {
    const StepItem& item = batch.items[i];
    if (!item.sample) continue;
    const auto position = static_cast<std::uint64_t>(item.start) + item.tokens.size();  // of the successor
    Rng rng{item.seed, "cost_executor.token", position};
    const bool ends = options_.end_probability > 0 && rng.uniform() < options_.end_probability;
    sampled[i] = ends ? options_.end_token : static_cast<TokenId>('a' + rng.below(26));
  }
  last_end_ = start + cost.time;
  ran_ = true;
  clock_.sleep_until(last_end_);
  return cost.time;
}

std::string CostExecutor::describe() const {
  return fmt::format("{} (cost model, simulated)", name_);
}

}  // namespace dsbench::engine
