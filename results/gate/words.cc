// Figures of a gate as people read them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "results/gate/outputs.h"

namespace dsbench::results::gate {

std::string format_change(double ratio) {
  if (std::isinf(ratio)) return "infinite";
  const double percent = 100 * (ratio - 1);
  return fmt::format("{:+.1f} %", std::abs(percent) < 0.05 ? 0.0 : percent);
}

std::string format_interval(const MetricJudgement& m) {
  if (!m.lower) return "none";
  return fmt::format("{} to {}", format_change(*m.lower), format_change(*m.upper));
}

std::string format_p(double p) {
  return p < 0.0001 ? "<0.0001" : fmt::format("{:.4f}", p);
}

std::vector<const MetricJudgement*> worst_first(const Judgement& judgement) {
  std::vector<const MetricJudgement*> sorted;
  for (const MetricJudgement& m : judgement.metrics) sorted.push_back(&m);
  const auto rank = [](MetricVerdict v) {
    return v == MetricVerdict::regressed      ? 0
           : v == MetricVerdict::inconclusive ? 1
           : v == MetricVerdict::same         ? 2
                                              : 3;
  };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const auto* a, const auto* b) {
    if (rank(a->verdict) != rank(b->verdict)) return rank(a->verdict) < rank(b->verdict);
    return a->worse() > b->worse();
  });
  return sorted;
}

}  // namespace dsbench::results::gate
