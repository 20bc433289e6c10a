#include "results/verdicts/recovery_verdict.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "core/text.h"
#include "results/statistics.h"

namespace dsbench::results {
namespace {

constexpr std::size_t least_late_seconds = 8;

// Offered and good, summed from the front, so that any window is two subtractions.
class Sums {
 public:
  explicit Sums(std::span<const SecondCounts> seconds) : due_{0}, good_{0} {
    for (const auto& s : seconds) {
      due_.push_back(due_.back() + s.due);
      good_.push_back(good_.back() + s.good);
    }
  }
  // Share over seconds [from, to); nothing when none was due.
  [[nodiscard]] std::optional<double> share(std::size_t from, std::size_t to) const {
    const std::int64_t due = due_[to] - due_[from];
    if (due <= 0) return std::nullopt;
    return static_cast<double>(good_[to] - good_[from]) / static_cast<double>(due);
  }

 private:
  std::vector<std::int64_t> due_, good_;
};

std::optional<std::size_t> first_recovered(const Sums& sums, std::size_t seconds, std::size_t window,
                                           const RecoveryRule& rule) {
  const auto windows = static_cast<std::size_t>(std::max(1, rule.windows));
  const auto has_share = [&](std::size_t from, std::size_t to) {
    const auto share = sums.share(from, to);
    return share && *share >= rule.share;
  };
  for (std::size_t s = 0; s + window + windows - 1 <= seconds; ++s) {
    bool stays = has_share(s, s + 1) ||
                 !sums.share(s, s + 1);  // the instant itself, not only a window that forgives it
    for (std::size_t w = 0; stays && w < windows; ++w) stays = has_share(s + w, s + w + window);
    if (stays && has_share(s, seconds)) return s;
  }
  return std::nullopt;
}

}  // namespace

Nanos metastable_hold(Nanos client_patience, Nanos drain_time) {
  return std::max(10 * client_patience, 5 * drain_time);
}

Recovery judge_recovery(const RecoveryEvidence& evidence, const RecoveryRule& rule) {
  Recovery recovery;
  recovery.verdict = RecoveryVerdict::undecided;
  recovery.base = evidence.base;

  std::size_t n = evidence.after.size();
  while (n > 0 && !evidence.after[n - 1].decided()) --n;
  const auto seconds = evidence.after.first(n);
  const std::size_t late_from = n / 2;
  std::vector<double> due, good, good_at_most;
  for (const auto& s : seconds.subspan(late_from)) {
    due.push_back(static_cast<double>(s.due));
    good.push_back(static_cast<double>(s.good));
    good_at_most.push_back(static_cast<double>(s.good + std::max<std::int64_t>(0, s.due - s.ended)));
  }
  const auto late = ratio_of_sums(good, due);
  const auto late_at_most = ratio_of_sums(good_at_most, due);
  if (late) recovery.ratio = late->ratio;
  if (late_at_most) recovery.ratio_upper = late_at_most->upper;

  const double per_second = std::max(evidence.base.per_second(), 1e-9);
  const auto window = static_cast<std::size_t>(
      std::clamp(std::ceil(static_cast<double>(rule.window_requests) / per_second), 1.0, 3600.0));
  const Sums sums{seconds};
  if (const auto at = first_recovered(sums, n, window, rule)) {
    recovery.verdict = RecoveryVerdict::recovered;
    recovery.time =
        std::max(Nanos{0}, Nanos{std::chrono::seconds{seconds[*at].second}} - evidence.trigger_end);
    recovery.sentence = fmt::format("recovered {} after the load was back at {}",
                                    format_duration(*recovery.time), format_rate(evidence.base));
    return recovery;
  }

  const std::string back = fmt::format("{:.0f} % of the requests good", rule.share * 100);
  const Nanos held = std::chrono::seconds{evidence.after.size()};
  if (n < 2 * least_late_seconds) {
    recovery.sentence = fmt::format(
        "undecided: not seen {} after the load was back at {}, and only {} seconds are decided, "
        "{} are needed",
        back, format_rate(evidence.base), n, 2 * least_late_seconds);
    return recovery;
  }
  const std::string found = fmt::format(
      "{} after the load was back at {} still {:.1f} % of the requests were good (at most {:.1f} % with "
      "confidence)",
      format_duration(held), format_rate(evidence.base), recovery.ratio.value_or(0) * 100,
      recovery.ratio_upper.value_or(1) * 100);
  if (!recovery.ratio_upper || *recovery.ratio_upper >= rule.metastable_share) {
    recovery.sentence = fmt::format("undecided: {}, between recovered (≥ {:.0f} %) and not (< {:.0f} %)",
                                    found, rule.share * 100, rule.metastable_share * 100);
    return recovery;
  }
  if (held < rule.min_hold) {
    recovery.sentence = fmt::format("undecided: {}, but {} must be held before it may be called metastable",
                                    found, format_duration(rule.min_hold));
    return recovery;
  }
  const auto in_flight = evidence.in_flight.first(std::min(n, evidence.in_flight.size()));
  const auto slope = trend(in_flight.subspan(std::min(late_from, in_flight.size())));
  if (!slope) {
    recovery.sentence = fmt::format("undecided: {}, but what was in flight is not known", found);
    return recovery;
  }
  const double fall = -slope->per_second * static_cast<double>(n - late_from);
  if (slope->upper < 0 && fall >= standing_share * slope->mean) {
    recovery.sentence = fmt::format(
        "undecided: {}, but what is in flight falls by {:.1f} requests a second: "
        "a longer hold would tell",
        found, -slope->per_second);
    return recovery;
  }
  recovery.verdict = RecoveryVerdict::metastable;
  recovery.sentence = fmt::format("metastable: {}, and what is in flight does not fall", found);
  return recovery;
}

}  // namespace dsbench::results
