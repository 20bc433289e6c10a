#include "results/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/rng.h"
#include "results/latency_summary.h"

namespace dsbench::results {
namespace {

TEST(Statistics, samples_that_a_percentile_needs) {
  // The table of MLPerf's early stopping.
  EXPECT_EQ(samples_needed(0.5), 11);
  EXPECT_EQ(samples_needed(0.9), 64);
  EXPECT_EQ(samples_needed(0.95), 130);
  EXPECT_EQ(samples_needed(0.99), 662);
  EXPECT_EQ(samples_needed(0.999), 6'636);
  EXPECT_EQ(samples_needed(0.9999), 66'381);
}

TEST(Statistics, a_percentile_below_its_samples_has_no_value) {
  Histogram h;
  h.record(Nanos{5'000'000}, 600);
  h.record_infinite(61);
  const LatencySummary few = summarize_latency(h);
  ASSERT_EQ(few.percentiles.size(), 5U);
  EXPECT_EQ(few.percentiles[3].needs, 662);
  EXPECT_FALSE(few.percentiles[3].value.has_value());
  EXPECT_FALSE(few.percentiles[3].infinite) << "not known is not infinite";
  EXPECT_TRUE(few.percentiles[1].value.has_value());
  h.record(Nanos{5'000'000});
  const LatencySummary enough = summarize_latency(h);
  EXPECT_FALSE(enough.percentiles[3].value.has_value());
  EXPECT_TRUE(enough.percentiles[3].infinite) << "61 of 662 failed";
}

TEST(Statistics, clopper_pearson_bounds) {
  // Closed forms at the ends: n of n gives (1 − c)^(1/n); none of n gives 1 − (1 − c)^(1/n).
  EXPECT_NEAR(share_lower_bound(299, 299, 0.95), std::pow(0.05, 1.0 / 299), 1e-12);
  EXPECT_NEAR(share_upper_bound(0, 100, 0.95), 1 - std::pow(0.05, 0.01), 1e-12);
  // Found by bisection on the exact binomial tail.
  EXPECT_NEAR(share_lower_bound(95, 100, 0.95), 0.8977466223567254, 1e-9);
  EXPECT_NEAR(share_upper_bound(95, 100, 0.95), 0.9800944363378281, 1e-9);
  EXPECT_EQ(share_lower_bound(0, 0, 0.95), 0);
  EXPECT_EQ(share_upper_bound(0, 0, 0.95), 1);
  EXPECT_EQ(trials_to_show(0.99, 0.95), 299);
}

TEST(Statistics, bounds_invert_the_binomial_tail) {
  // At the lower bound p, P(X ≥ k) is exactly 1 − c.
  const std::int64_t k = 17, n = 40;
  const double p = share_lower_bound(k, n, 0.95);
  double tail = 0;
  for (std::int64_t i = k; i <= n; ++i) {
    tail += std::exp(std::lgamma(n + 1.0) - std::lgamma(static_cast<double>(i) + 1) -
                     std::lgamma(static_cast<double>(n - i) + 1) + static_cast<double>(i) * std::log(p) +
                     static_cast<double>(n - i) * std::log1p(-p));
  }
  EXPECT_NEAR(tail, 0.05, 1e-9);
}

// Counts per second with a slow disturbance (first-order autoregressive), as a queue makes them.
std::vector<double> correlated_counts(Rng& rng, std::size_t n, double mean, double relative_sd,
                                      double correlation) {
  std::vector<double> x;
  double state = rng.normal();
  for (std::size_t i = 0; i < n; ++i) {
    state = correlation * state + std::sqrt(1 - correlation * correlation) * rng.normal();
    const double rate = std::max(0.0, mean * (1 + relative_sd * state));
    x.push_back(std::max(0.0, std::round(rate + std::sqrt(rate) * rng.normal())));
  }
  return x;
}

TEST(Statistics, intervals_of_a_ratio_cover_the_truth) {
  int covered = 0;
  constexpr int turns = 600;
  for (int i = 0; i < turns; ++i) {
    Rng rng{7, "coverage", static_cast<std::uint64_t>(i)};
    const auto x = correlated_counts(rng, 40, 60, 0.1, 0.5), y = correlated_counts(rng, 30, 100, 0.1, 0.5);
    const auto r = ratio_of_rates(x, y);
    ASSERT_TRUE(r && r->upper);
    ASSERT_LE(r->lower, r->ratio);
    ASSERT_GE(*r->upper, r->ratio);
    if (r->lower <= 0.6 && *r->upper >= 0.6) ++covered;
  }
  RecordProperty("coverage_percent", 100 * covered / turns);
  EXPECT_GE(covered, turns * 92 / 100);
}

TEST(Statistics, paired_intervals_cover_the_truth) {
  int covered = 0;
  constexpr int turns = 600;
  for (int i = 0; i < turns; ++i) {
    Rng rng{8, "coverage", static_cast<std::uint64_t>(i)};
    const auto due = correlated_counts(rng, 40, 50, 0.2, 0.5);
    std::vector<double> good;
    for (const double d : due) {
      double g = 0;
      for (int k = 0; k < static_cast<int>(d); ++k) g += rng.uniform() < 0.85 ? 1 : 0;
      good.push_back(g);
    }
    const auto r = ratio_of_sums(good, due);
    ASSERT_TRUE(r && r->upper);
    if (r->lower <= 0.85 && *r->upper >= 0.85) ++covered;
  }
  RecordProperty("coverage_percent", 100 * covered / turns);
  EXPECT_GE(covered, turns * 92 / 100);
}

TEST(Statistics, nothing_but_zeros_is_not_certain) {
  const std::vector<double> zeros(10, 0.0), tens(10, 10.0);
  const auto r = ratio_of_rates(zeros, tens);
  ASSERT_TRUE(r && r->upper);
  EXPECT_EQ(r->ratio, 0);
  EXPECT_GT(*r->upper, 0.0);
  EXPECT_LT(*r->upper, 0.05);
  EXPECT_FALSE(ratio_of_rates(tens, zeros).has_value());
  EXPECT_FALSE(ratio_of_rates(std::vector<double>(3, 1.0), tens).has_value());
  EXPECT_FALSE(ratio_of_sums(zeros, zeros).has_value());
}

TEST(Statistics, a_trend_is_told_from_noise) {
  std::vector<double> falling, flat;
  Rng rng{9, "trend"};
  for (int i = 0; i < 60; ++i) {
    falling.push_back(500 - 4.0 * i + 5 * rng.normal());
    flat.push_back(500 + 5 * rng.normal());
  }
  const auto down = trend(falling), level = trend(flat);
  ASSERT_TRUE(down && level);
  EXPECT_NEAR(down->per_second, -4, 0.2);
  EXPECT_LT(down->upper, 0);
  EXPECT_LT(level->lower, 0);
  EXPECT_GT(level->upper, 0);
  EXPECT_FALSE(trend(std::vector<double>(7, 1.0)).has_value());
}

TEST(Statistics, the_transient_is_cut) {
  std::vector<double> x(10, 100.0);
  x.resize(40, 20.0);
  EXPECT_EQ(transient_length(x), 10U);
  EXPECT_EQ(transient_length(std::vector<double>(20, 5.0)), 0U);
  EXPECT_EQ(transient_length(std::vector<double>(3, 5.0)), 0U);
}

}  // namespace
}  // namespace dsbench::results
