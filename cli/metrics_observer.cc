#include "cli/metrics_observer.h"

#include "loadgen/wire/prometheus_text.h"

namespace dsbench::cli {
namespace {

constexpr int most_failures = 3;
constexpr int between_tries = 10;
constexpr Nanos long_time{100'000'000};

bool counts_less(const results::Ledger& now, const results::Ledger& then) {
  return now.computed_tokens < then.computed_tokens || now.recomputed_tokens < then.recomputed_tokens ||
         now.abandoned_tokens < then.abandoned_tokens || now.generated_tokens < then.generated_tokens ||
         now.preemptions < then.preemptions;
}

results::Ledger sum_of(results::Ledger a, const results::Ledger& b) {
  a.computed_tokens += b.computed_tokens;
  a.recomputed_tokens += b.recomputed_tokens;
  a.abandoned_tokens += b.abandoned_tokens;
  a.generated_tokens += b.generated_tokens;
  a.preemptions += b.preemptions;
  return a;
}

}  // namespace

std::optional<loadgen::Observation> MetricsObserver::observe() {
  if (!answered_ && failures_ >= most_failures) return std::nullopt;
  if (hung_ >= most_failures && ++passed_over_ % between_tries != 0) return std::nullopt;
  const Nanos asked = clock_.now();
  const auto page = fetch_();
  if (!page) {
    ++failures_;
    hung_ = clock_.now() - asked >= long_time ? hung_ + 1 : 0;
    return std::nullopt;
  }
  failures_ = hung_ = 0;
  answered_ = true;
  const loadgen::EngineMetrics metrics = loadgen::parse_prometheus_text(*page);
  loadgen::Observation seen;
  seen.running = metrics.running;
  seen.waiting = metrics.waiting;
  seen.kv_used_share = metrics.kv_used_share;
  if (const auto counted = metrics.ledger()) {
    if (last_ && counts_less(*counted, *last_)) {
      before_ = sum_of(before_, *last_);
      ++restarts_;
    }
    last_ = counted;
    seen.ledger = sum_of(before_, *counted);
  }
  return seen;
}

}  // namespace dsbench::cli
