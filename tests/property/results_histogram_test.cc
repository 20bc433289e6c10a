#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/rng.h"
#include "results/histogram.h"

namespace dsbench::results {
namespace {

// Over twelve orders of magnitude, 1 ns to 1 h.
Nanos any_duration(Rng& rng) {
  return Nanos{static_cast<std::int64_t>(std::pow(10.0, rng.uniform() * 12.556))};
}

Histogram any_histogram(Rng& rng) {
  Histogram h;
  const std::uint64_t n = rng.below(200);
  for (std::uint64_t i = 0; i < n; ++i)
    h.record(any_duration(rng), 1 + static_cast<std::int64_t>(rng.below(5)));
  h.record_infinite(static_cast<std::int64_t>(rng.below(3)));
  return h;
}

Histogram sum(const Histogram& a, const Histogram& b) {
  Histogram s = a;
  s.add(b);
  return s;
}

TEST(HistogramProperty, adding_is_commutative_and_associative) {
  Rng rng{1, "histogram"};
  for (int i = 0; i < 60; ++i) {
    const Histogram a = any_histogram(rng), b = any_histogram(rng), c = any_histogram(rng);
    EXPECT_TRUE(sum(a, b) == sum(b, a));
    EXPECT_TRUE(sum(sum(a, b), c) == sum(a, sum(b, c)));
    EXPECT_TRUE(sum(a, Histogram{}) == a);
  }
}

TEST(HistogramProperty, parts_sum_to_the_whole_in_any_order) {
  Rng rng{2, "histogram"};
  Histogram whole;
  std::vector<Histogram> parts(7);
  for (int i = 0; i < 20'000; ++i) {
    const Nanos v = any_duration(rng);
    whole.record(v);
    parts[rng.below(parts.size())].record(v);
  }
  Histogram forward, backward;
  for (const auto& p : parts) forward.add(p);
  for (auto p = parts.rbegin(); p != parts.rend(); ++p) backward.add(*p);
  EXPECT_TRUE(forward == whole);
  EXPECT_TRUE(backward == whole);
}

TEST(HistogramProperty, every_value_lies_in_its_counter_and_counters_are_narrow) {
  Rng rng{3, "histogram"};
  for (int i = 0; i < 200'000; ++i) {
    const Nanos v = any_duration(rng);
    const int index = Histogram::index_of(v);
    const Nanos low = Histogram::lowest_at(index), high = Histogram::highest_at(index);
    ASSERT_LE(low, v);
    ASSERT_GE(high, v);
    ASSERT_LE(static_cast<double>((high - low).count()), 1e-3 * static_cast<double>(v.count()));
  }
  // Counters follow each other without a hole.
  for (int i = 1; i < Histogram::counter_count; ++i) {
    ASSERT_EQ(Histogram::lowest_at(i), Histogram::highest_at(i - 1) + Nanos{1}) << i;
    ASSERT_EQ(Histogram::index_of(std::min(Histogram::lowest_at(i), Nanos{Histogram::highest})),
              std::min(i, Histogram::index_of(Nanos{Histogram::highest})));
  }
}

TEST(HistogramProperty, quantiles_are_within_a_thousandth_above_the_sample_of_that_rank) {
  Rng rng{4, "histogram"};
  for (int turn = 0; turn < 40; ++turn) {
    Histogram h;
    std::vector<std::int64_t> samples;
    const std::size_t n = 1 + rng.below(3000);
    for (std::size_t i = 0; i < n; ++i) {
      const Nanos v = any_duration(rng);
      h.record(v);
      samples.push_back(v.count());
    }
    std::sort(samples.begin(), samples.end());
    for (const double q : {0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0}) {
      const auto rank = static_cast<std::size_t>(std::max(1.0, std::ceil(q * static_cast<double>(n) - 1e-9)));
      const auto exact = static_cast<double>(samples[rank - 1]);
      const auto found = static_cast<double>(h.quantile(q)->count());
      EXPECT_GE(found, exact);
      EXPECT_LE(found, exact * 1.001);
    }
  }
}

TEST(Histogram, infinite_samples_count_in_the_ranks) {
  Histogram h;
  h.record(Nanos{1000}, 98);
  h.record_infinite(2);
  EXPECT_TRUE(h.quantile(0.98).has_value());
  EXPECT_FALSE(h.quantile(0.99).has_value());
  EXPECT_EQ(h.count(), 98);
  EXPECT_EQ(h.max(), Nanos{1000});
}

TEST(Histogram, the_ends_of_the_range) {
  Histogram h;
  EXPECT_FALSE(h.quantile(0.5).has_value());
  h.record(Nanos{-5});
  EXPECT_EQ(h.quantile(0.5), Nanos{0});
  h.record(std::chrono::hours{3});
  EXPECT_EQ(h.max(), std::chrono::hours{3});
  EXPECT_EQ(h.count_at(std::chrono::hours{1}), 1) << "longer than an hour is counted at an hour";
}

}  // namespace
}  // namespace dsbench::results
