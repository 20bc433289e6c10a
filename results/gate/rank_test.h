#pragma once

#include <cstddef>
#include <optional>
#include <span>

// Two samples of runs, compared by ranks: one spoiled run in ten does not move a rank test far, where it
// doubles a standard deviation. Pure functions, no randomness. Values may be +infinity (a run whose p99 was a
// failure); never NaN.
namespace dsbench::results::gate {

struct RankTest {
  double u = 0;  // of b: pairs (a, b) with b > a, ties by half
  double p = 1;  // two-sided
  bool exact = true;
};

// Exact up to this many values a side, ties or not; beyond, the normal approximation.
inline constexpr std::size_t exact_up_to = 30;

// Mann and Whitney (1947), two-sided: P(|U − mean| ≥ |u − mean|) over all ways to deal the pooled values,
// with their mid-ranks, to the two sides. Beyond exact_up_to the normal approximation with the variance
// corrected for ties and a continuity correction of a half. An empty side, or nothing but equal values: p
// = 1.
[[nodiscard]] RankTest mann_whitney(std::span<const double> a, std::span<const double> b);

// The smallest p that so many values can give (no ties, fully separated): 0.1 for 3 and 3, 0.0079 for 5
// and 5.
[[nodiscard]] double smallest_p(std::size_t a, std::size_t b);

// How much larger b is than a, as a factor.
struct RatioInterval {
  double ratio = 1;  // Hodges and Lehmann (1963): the median of all b ÷ a, on a log scale
  // At the confidence asked for; nothing where so few values cannot carry it (6 and 6 carry 99 %, 4 and 4
  // carry 95 %).
  std::optional<double> lower, upper;
};

// The interval holds the ratios that Mann–Whitney would not reject: order statistics of the pairwise ratios
// (exact ranks up to exact_up_to a side, normal ranks beyond). Values must not be negative. 0 ÷ 0 and
// inf ÷ inf are 1.
[[nodiscard]] RatioInterval hodges_lehmann(std::span<const double> a, std::span<const double> b,
                                           double confidence);

// The middle value, or the mean of the two; with infinities as limits. 0 for an empty span.
[[nodiscard]] double median_of(std::span<const double> values);
// b ÷ a with the conventions above.
[[nodiscard]] double ratio_of(double b, double a);

}  // namespace dsbench::results::gate
