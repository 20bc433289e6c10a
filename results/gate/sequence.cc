#include "results/gate/sequence.h"

#include <algorithm>

#include "results/gate/rank_test.h"

namespace dsbench::results::gate {

Result<Sequence> plan_sequence(std::size_t runs, std::size_t max_runs, double alpha, Spending spending,
                               std::size_t confirmation) {
  if (max_runs < runs)
    return fail(ErrorKind::usage, "--max-runs {} is below --runs {}; accepted: {} to {}", max_runs, runs,
                runs, 3 * runs);
  if (max_runs > 3 * runs) {
    return fail(ErrorKind::usage,
                "--max-runs {} is more than three times --runs {}: the looks would be further apart than the "
                "error level was split for; accepted: {} to {}",
                max_runs, runs, runs, 3 * runs);
  }
  Sequence sequence;
  sequence.confirmation = confirmation;
  sequence.looks.push_back({runs, 0});
  if (max_runs >= runs + 2) sequence.looks.push_back({runs + (max_runs - runs) / 2, 0});
  if (max_runs > runs) sequence.looks.push_back({max_runs, 0});
  DSBENCH_TRY(const auto split, split_alpha(alpha, sequence.looks.size(), spending));
  for (std::size_t i = 0; i < split.size(); ++i) sequence.looks[i].alpha = split[i];
  return sequence;
}

std::size_t runs_needed(double alpha, std::size_t metrics) {
  std::size_t runs = 2;
  while (smallest_p(runs, runs) * static_cast<double>(std::max<std::size_t>(1, metrics)) >= alpha) ++runs;
  return runs;
}

Next next_after(const Judgement& judgement, const Sequence& sequence, std::size_t look) {
  const bool last = look + 1 >= sequence.looks.size();
  if (judgement.any(MetricVerdict::regressed)) return sequence.confirmation > 0 ? Next::confirm : Next::stop;
  if (judgement.any(MetricVerdict::inconclusive) && !last) return Next::measure_more;
  return Next::stop;
}

bool is_confirmed(const MetricJudgement& all, std::span<const double> block_baseline,
                  std::span<const double> block_candidate) {
  if (all.verdict != MetricVerdict::regressed || block_baseline.empty() || block_candidate.empty())
    return false;
  const double a = median_of(block_baseline), b = median_of(block_candidate);
  return (all.metric.better == Better::lower ? ratio_of(b, a) : ratio_of(a, b)) > 1 + all.margin / 2;
}

void keep_confirmed(Judgement& all, const std::vector<std::string>& called, std::size_t block) {
  const auto last = [block](const std::vector<double>& values) {
    const std::span<const double> v{values};
    return v.last(std::min(block, v.size()));
  };
  for (MetricJudgement& m : all.metrics) {
    if (m.verdict != MetricVerdict::regressed) {
      if (m.verdict == MetricVerdict::inconclusive &&
          std::find(called.begin(), called.end(), m.metric.name) != called.end())
        m.note = fmt::format("it looked like a regression, which {} more runs a side did not confirm", block);
      continue;
    }
    const bool was_called = std::find(called.begin(), called.end(), m.metric.name) != called.end();
    if (was_called && is_confirmed(m, last(m.baseline_values), last(m.candidate_values))) continue;
    m.verdict = MetricVerdict::inconclusive;
    m.note = was_called ? fmt::format(
                              "it looked like a regression, which {} more runs a side did not confirm", block)
                        : "it looks like a regression only since the last runs, and has not been confirmed";
  }
}

}  // namespace dsbench::results::gate
