#include "cli/many_observer.h"

#include <algorithm>

namespace dsbench::cli {
namespace {

void add(results::Ledger& sum, const results::Ledger& part) {
  sum.computed_tokens += part.computed_tokens;
  sum.recomputed_tokens += part.recomputed_tokens;
  sum.abandoned_tokens += part.abandoned_tokens;
  sum.generated_tokens += part.generated_tokens;
  sum.preemptions += part.preemptions;
}

void add(std::optional<double>& sum, const std::optional<double>& part) {
  if (part) sum = sum.value_or(0) + *part;
}

}  // namespace

std::optional<loadgen::Observation> ManyObserver::observe() {
  loadgen::Observation all;
  bool any = false;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const auto seen = parts_[i]->observe();
    if (seen) {
      any = true;
      last_[i] = seen;
      add(all.running, seen->running);
      add(all.waiting, seen->waiting);
      if (seen->kv_used_share)
        all.kv_used_share = std::max(all.kv_used_share.value_or(0), *seen->kv_used_share);
    }
    if (last_[i] && last_[i]->ledger) {
      if (!all.ledger) all.ledger.emplace();
      add(*all.ledger, *last_[i]->ledger);
    }
  }
  if (!any) return std::nullopt;
  return all;
}

}  // namespace dsbench::cli
