#pragma once

#include <cstdint>
#include <optional>
#include <span>

// What may be said from how much evidence. Pure functions, no randomness.
namespace dsbench::results {

// --- shares
// -------------------------------------------------------------------------------------------------------------

// One-sided bounds of a binomial share at `confidence` (Clopper and Pearson 1934, exact): the smallest
// (largest) share under which seeing at least (at most) `successes` of `trials` has probability 1 −
// confidence. With no trials: 0 and 1.
[[nodiscard]] double share_lower_bound(std::int64_t successes, std::int64_t trials, double confidence);
[[nodiscard]] double share_upper_bound(std::int64_t successes, std::int64_t trials, double confidence);

// The fewest trials, all of them successes, whose lower bound reaches `share`: 299 for 0.99 at 95 %.
[[nodiscard]] std::int64_t trials_to_show(double share, double confidence);

// The samples that a percentile needs before it is printed: the smallest n with P(Binomial(n, 1 − q) ≤ 1) ≤
// 0.01, that is, with n samples the second largest is an upper bound of the percentile at 99 % confidence.
// This is MLPerf's early stopping (LoadGen's early_stopping.cc: I_q(h, t + 1) ≤ 1 − c with t = 1, c = 0.99).
// p50 11, p90 64, p95 130, p99 662, p99.9 6,636. q in (0, 1).
[[nodiscard]] std::int64_t samples_needed(double q);

// --- rates
// --------------------------------------------------------------------------------------------------------------

// A ratio with its one-sided 97.5 % bounds: together a 95 % interval.
struct RatioEstimate {
  double ratio = 0, lower = 0;
  std::optional<double> upper;  // nothing: the denominator may be 0
};

// mean(numerator) ÷ mean(denominator) of two independent series of counts per second. Seconds of a queueing
// system are correlated, so the variance of a mean comes from batch means (batches of ⌈√n⌉ seconds, shorter
// where that makes fewer than 4 of them), and is at least that of one event, so that a series of nothing but
// zeros is not certain to be zero. The interval of the ratio is Fieller's (1954), with Student's t for the
// fewer batches. Nothing: fewer than 4 seconds in either.
[[nodiscard]] std::optional<RatioEstimate> ratio_of_rates(std::span<const double> numerator,
                                                          std::span<const double> denominator);

// Σ part ÷ Σ whole of one paired series (good of due, second by second): the ratio estimator with the batch
// means of its residuals. Nothing: fewer than 4 seconds, or a whole of 0.
[[nodiscard]] std::optional<RatioEstimate> ratio_of_sums(std::span<const double> part,
                                                         std::span<const double> whole);

// --- trends
// -------------------------------------------------------------------------------------------------------------

// Least squares through batch means; bounds one-sided 97.5 %, per second.
struct TrendEstimate {
  double per_second = 0, lower = 0, upper = 0;
  double mean = 0;  // of the series
};
// Nothing: fewer than 8 seconds.
[[nodiscard]] std::optional<TrendEstimate> trend(std::span<const double> series);

// How many leading seconds to leave out so that what remains is stationary: the cut d ≤ n/2 with the smallest
// Σ(x − mean)² ÷ (n − d)² of what remains (MSER, White 1997). 0 for fewer than 4 seconds.
[[nodiscard]] std::size_t transient_length(std::span<const double> series);

}  // namespace dsbench::results
