#include "results/latency_summary.h"

#include "results/statistics.h"

namespace dsbench::results {

LatencySummary summarize_latency(const Histogram& histogram) {
  struct Wanted {
    double q;
    std::int64_t needs;
  };
  static const std::array<Wanted, 5> wanted = [] {
    std::array<Wanted, 5> w{{{0.5, 0}, {0.9, 0}, {0.95, 0}, {0.99, 0}, {0.999, 0}}};
    for (auto& one : w) one.needs = samples_needed(one.q);
    return w;
  }();
  LatencySummary summary;
  summary.count = histogram.count();
  summary.infinite = histogram.infinite();
  summary.min = histogram.min();
  summary.mean = histogram.mean();
  summary.max = histogram.max();
  for (const auto& [q, needs] : wanted) {
    LatencySummary::Percentile percentile{q, needs, std::nullopt, false};
    if (summary.count + summary.infinite >= needs) {
      percentile.value = histogram.quantile(q);
      percentile.infinite = !percentile.value.has_value();
    }
    summary.percentiles.push_back(percentile);
  }
  return summary;
}

}  // namespace dsbench::results
