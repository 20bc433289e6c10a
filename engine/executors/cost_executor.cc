#include "engine/executors/cost_executor.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>

#include "core/rng.h"
#include "engine/executors/draft_law.h"

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
  StepCost cost = model_.step_time(batch);
  if (options_.slowdown != nullptr) {
    const double slowdown = options_.slowdown->load(std::memory_order_relaxed);
    cost.time = Nanos{std::llround(static_cast<double>(cost.time.count()) * slowdown)};
  }
  if (cost.extrapolated) extrapolated_.fetch_add(1, std::memory_order_relaxed);
  report_.drafts.assign(options_.drafts > 0 ? batch.items.size() : 0, {});
  for (std::size_t i = 0; i < batch.items.size(); ++i) {
    const StepItem& item = batch.items[i];
    if (!item.sample) continue;
    const auto known = item.tokens.size() - static_cast<std::size_t>(item.drafts);
    std::int64_t position = item.start + static_cast<std::int64_t>(known);  // of what follows
    sampled[i] = token_at(item.seed, position);
    if (options_.drafts == 0) continue;
    DraftOutcome& outcome = report_.drafts[i];
    for (std::size_t j = known; j < item.tokens.size() && item.tokens[j] == sampled[i]; ++j) {
      ++outcome.accepted;
      sampled[i] = token_at(item.seed, ++position);
    }
    propose(item, position + 1, outcome);
  }
  last_end_ = start + cost.time;
  ran_ = true;
  clock_.sleep_until(last_end_);
  return cost.time;
}

TokenId CostExecutor::token_at(std::uint64_t seed, std::int64_t position) const {
  Rng rng{seed, "cost_executor.token", static_cast<std::uint64_t>(position)};
  const bool ends = options_.end_probability > 0 && rng.uniform() < options_.end_probability;
  return ends ? options_.end_token : static_cast<TokenId>('a' + rng.below(26));
}

// A wrong guess is a token that is never the right one: the right ones are letters or the end.
void CostExecutor::propose(const StepItem& item, std::int64_t position, DraftOutcome& outcome) const {
  outcome.proposed = options_.drafts;
  for (std::int32_t j = 0; j < options_.drafts; ++j) {
    outcome.tokens[static_cast<std::size_t>(j)] =
        draft_is_right(item.seed, position + j, options_.draft_acceptance) ? token_at(item.seed, position + j)
                                                                           : TokenId{'?'};
  }
}

std::string CostExecutor::describe() const {
  return fmt::format("{} (cost model, simulated)", name_);
}

}  // namespace dsbench::engine
