#include "results/verdicts/collapse_verdict.h"

#include <algorithm>
#include <vector>

#include "core/text.h"
#include "results/statistics.h"

namespace dsbench::results {
namespace {

constexpr std::size_t least_hold_seconds = 8;
constexpr std::size_t least_peak_seconds = 4;

// Up to and with the last decided second.
std::span<const SecondCounts> until_last_decided(std::span<const SecondCounts> seconds) {
  std::size_t n = seconds.size();
  while (n > 0 && !seconds[n - 1].decided()) --n;
  return seconds.first(n);
}

double sum(std::span<const double> x) {
  double total = 0;
  for (const double v : x) total += v;
  return total;
}

Rate mean_rate(std::span<const double> x) {
  return Rate::per_second(sum(x) / static_cast<double>(std::max<std::size_t>(1, x.size())));
}

}  // namespace

Collapse judge_collapse(const CollapseEvidence& evidence) {
  Collapse collapse;
  collapse.verdict = CollapseVerdict::undecided;
  collapse.at = evidence.at;

  std::vector<double> peak;
  for (const auto& s : evidence.peak) {
    if (s.decided()) peak.push_back(static_cast<double>(s.good));
  }
  if (peak.size() < least_peak_seconds || sum(peak) <= 0) {
    collapse.sentence = fmt::format(
        "undecided: the peak good rate rests on {} decided seconds with {:.0f} good requests, "
        "{} seconds and one request are needed",
        peak.size(), sum(peak), least_peak_seconds);
    return collapse;
  }
  collapse.peak_good_rate = mean_rate(peak);

  // A request that is still open inside the stretch may turn out either way.
  std::vector<double> at_least, at_most;
  for (const auto& s : until_last_decided(evidence.hold)) {
    at_least.push_back(static_cast<double>(s.good));
    at_most.push_back(static_cast<double>(s.good + std::max<std::int64_t>(0, s.due - s.ended)));
  }
  const std::size_t transient = transient_length(at_least);
  const auto kept_low = std::span<const double>{at_least}.subspan(transient);
  const auto kept_high = std::span<const double>{at_most}.subspan(transient);
  if (kept_low.size() < least_hold_seconds) {
    collapse.sentence = fmt::format(
        "undecided: of {} seconds at {} only {} are decided and past the transient, {} are needed",
        evidence.hold.size(), format_rate(evidence.at), kept_low.size(), least_hold_seconds);
    return collapse;
  }
  collapse.good_rate = mean_rate(kept_low);
  const auto pessimistic = ratio_of_rates(kept_low, peak);
  const auto optimistic = ratio_of_rates(kept_high, peak);
  if (!pessimistic || !optimistic) {
    collapse.sentence = "undecided: the ratio to the peak good rate has no confidence interval";
    return collapse;
  }
  collapse.ratio = pessimistic->ratio;
  collapse.ratio_lower = pessimistic->lower;
  collapse.ratio_upper = optimistic->upper;
  const double later_low = mean_rate(kept_low.subspan(kept_low.size() / 2)) / *collapse.peak_good_rate;
  const double later_high = mean_rate(kept_high.subspan(kept_high.size() / 2)) / *collapse.peak_good_rate;
  const std::string found = fmt::format(
      "at {} the good rate was {}, {:.2f} of its peak {} (95 % interval {:.2f} to {})",
      format_rate(evidence.at), format_rate(*collapse.good_rate), *collapse.ratio,
      format_rate(*collapse.peak_good_rate), *collapse.ratio_lower,
      collapse.ratio_upper ? fmt::format("{:.2f}", *collapse.ratio_upper) : std::string{"unbounded"});
  if (collapse.ratio_upper && *collapse.ratio_upper < collapse_share && later_high < collapse_share) {
    collapse.verdict = CollapseVerdict::collapsed;
    collapse.sentence = fmt::format("collapsed: {}", found);
  } else if (*collapse.ratio_lower > collapse_share && later_low > collapse_share) {
    collapse.verdict = CollapseVerdict::none;
    collapse.sentence = fmt::format("no collapse: {}", found);
  } else if (*collapse.ratio_lower > collapse_share) {
    collapse.sentence = fmt::format(
        "undecided: {}, but {:.2f} in the later half of the hold: it was still falling", found, later_low);
  } else if (collapse.ratio_upper && *collapse.ratio_upper < collapse_share) {
    collapse.sentence = fmt::format(
        "undecided: {}, but {:.2f} in the later half of the hold: it was rising again", found, later_high);
  } else {
    collapse.sentence = fmt::format("undecided: {}, and 0.80 lies inside; a longer hold would tell", found);
  }
  return collapse;
}

std::optional<Rate> lowest_collapsed_load(std::span<const StageSummary> stages, Rate peak_good_rate) {
  std::optional<Rate> lowest;
  const Rate bound = collapse_share * peak_good_rate;
  for (const auto& stage : stages) {
    const bool upward =
        stage.kind == StageKind::probe || stage.kind == StageKind::step || stage.kind == StageKind::hold;
    if (!upward || stage.requests == 0 || stage.offered <= bound || stage.good_rate >= bound) continue;
    if (!lowest || stage.offered < *lowest) lowest = stage.offered;
  }
  return lowest;
}

}  // namespace dsbench::results
