#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/rng.h"
#include "results/gate/many_tests.h"
#include "results/gate/noise.h"
#include "results/gate/rank_test.h"
#include "results/gate/sequence.h"

namespace dsbench::results::gate {
namespace {

const std::vector<double> seven{10.1, 10.4, 9.8, 10.0, 10.2, 9.9, 10.3};
const std::vector<double> six{10.5, 10.6, 10.05, 10.7, 10.35, 10.9};

TEST(MannWhitney, as_scipy_computes_it_exactly) {
  // scipy 1.17.1: mannwhitneyu(six, seven, method='exact').
  const RankTest test = mann_whitney(seven, six);
  EXPECT_DOUBLE_EQ(test.u, 37);
  EXPECT_NEAR(test.p, 0.022144522144522144, 1e-15);
  EXPECT_TRUE(test.exact);
}

TEST(MannWhitney, with_ties_as_enumeration_gives_it) {
  // All C(13, 7) and C(8, 4) ways, mid-ranks, counted one by one outside this program.
  const std::vector<double> a{1, 2, 2, 3, 5, 5}, b{2, 3, 5, 6, 7, 7, 8};
  EXPECT_DOUBLE_EQ(mann_whitney(a, b).u, 34.5);
  EXPECT_NEAR(mann_whitney(a, b).p, 0.05536130536130536, 1e-15);
  const std::vector<double> c{1, 1, 1, 2}, d{1, 2, 2, 2};
  EXPECT_NEAR(mann_whitney(c, d).p, 0.4857142857142857, 1e-15);
}

TEST(MannWhitney, beyond_thirty_a_side_as_scipy_approximates_it) {
  // scipy 1.17.1: mannwhitneyu([2, 3, 4] * 11, [1, 2, 3] * 11, method='asymptotic'): ties and continuity.
  std::vector<double> a, b;
  for (int i = 0; i < 11; ++i) {
    a.insert(a.end(), {1, 2, 3});
    b.insert(b.end(), {2, 3, 4});
  }
  const RankTest test = mann_whitney(a, b);
  EXPECT_FALSE(test.exact);
  EXPECT_DOUBLE_EQ(test.u, 847);
  EXPECT_NEAR(test.p, 5.238114174670565e-05, 1e-12);
}

TEST(MannWhitney, the_smallest_p_is_the_published_one) {
  // golang/perf's uTestMinP.
  EXPECT_NEAR(smallest_p(3, 3), 0.10, 5e-3);
  EXPECT_NEAR(smallest_p(4, 4), 0.0286, 5e-5);
  EXPECT_NEAR(smallest_p(5, 5), 0.0079, 5e-5);
  EXPECT_NEAR(smallest_p(6, 6), 0.0022, 5e-5);
  for (int n = 2; n <= 12; ++n) {
    std::vector<double> a, b;
    for (int i = 0; i < n; ++i) {
      a.push_back(i);
      b.push_back(100 + i);
    }
    EXPECT_NEAR(mann_whitney(a, b).p, smallest_p(a.size(), b.size()), 1e-12) << n;
  }
}

TEST(MannWhitney, equal_and_empty_sides_say_nothing) {
  const std::vector<double> same{2, 2, 2, 2, 2, 2}, none;
  EXPECT_DOUBLE_EQ(mann_whitney(same, same).p, 1);
  EXPECT_DOUBLE_EQ(mann_whitney(same, none).p, 1);
  const std::vector<double> many(40, 7.0);
  EXPECT_DOUBLE_EQ(mann_whitney(many, many).p, 1);
}

TEST(MannWhitney, an_infinite_run_is_the_largest) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> a{1, 2, 3, 4, 5}, b{6, 7, 8, inf, inf};
  EXPECT_NEAR(mann_whitney(a, b).p, 2.0 / 252, 1e-12);
}

TEST(HodgesLehmann, ratio_and_interval_of_order_statistics) {
  // The 42 ratios sorted; P(U <= 6) <= 0.025 for 7 and 6, so that six are left out at each end.
  const RatioInterval interval = hodges_lehmann(seven, six, 0.95);
  EXPECT_NEAR(interval.ratio, 1.0425251487943046, 1e-12);
  ASSERT_TRUE(interval.lower && interval.upper);
  EXPECT_NEAR(*interval.lower, 1.005, 1e-12);
  EXPECT_NEAR(*interval.upper, 1.0792079207920793, 1e-12);
}

TEST(HodgesLehmann, too_few_runs_carry_no_interval) {
  const std::vector<double> a{1, 2, 3}, b{1, 2, 4};
  EXPECT_FALSE(hodges_lehmann(a, b, 0.95).lower) << "3 and 3: at best p = 0.1";
  const std::vector<double> c{1, 2, 3, 4}, d{1, 2, 3, 5};
  EXPECT_TRUE(hodges_lehmann(c, d, 0.95).lower);
  EXPECT_FALSE(hodges_lehmann(c, d, 0.99).lower);
}

TEST(HodgesLehmann, zeros_and_infinities_have_conventions) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(ratio_of(0, 0), 1);
  EXPECT_EQ(ratio_of(inf, inf), 1);
  EXPECT_EQ(ratio_of(1, inf), 0);
  EXPECT_EQ(ratio_of(1, 0), inf);
  const std::vector<double> zeros(6, 0.0), ones(6, 1.0);
  const RatioInterval same = hodges_lehmann(zeros, zeros, 0.95);
  EXPECT_EQ(same.ratio, 1);
  EXPECT_EQ(*same.lower, 1);
  EXPECT_EQ(hodges_lehmann(zeros, ones, 0.95).ratio, inf);
}

TEST(Holm, the_textbook_example) {
  // Holm's step-down by hand: 0.01·4, 0.02·3, 0.03·2, 0.04·1, never falling.
  const std::vector<double> p{0.04, 0.01, 0.03, 0.02};
  const std::vector<double> adjusted = holm(p);
  EXPECT_NEAR(adjusted[1], 0.04, 1e-15);
  EXPECT_NEAR(adjusted[3], 0.06, 1e-15);
  EXPECT_NEAR(adjusted[2], 0.06, 1e-15);
  EXPECT_NEAR(adjusted[0], 0.06, 1e-15);
  EXPECT_EQ(holm(std::vector<double>{0.9, 0.8})[0], 1);
}

TEST(SplitAlpha, published_levels) {
  // Nominal levels of Pocock and O'Brien-Fleming as the textbooks print them.
  const auto three = split_alpha(0.05, 3, Spending::pocock);
  ASSERT_TRUE(three);
  for (const double a : *three) EXPECT_NEAR(a, 0.0221, 5e-5);
  EXPECT_NEAR(split_alpha(0.05, 2, Spending::pocock)->front(), 0.0294, 5e-5);
  const auto obf = split_alpha(0.05, 3, Spending::obrien_fleming);
  ASSERT_TRUE(obf);
  EXPECT_NEAR((*obf)[0], 0.0005, 5e-5);
  EXPECT_NEAR((*obf)[1], 0.0141, 5e-5);
  EXPECT_NEAR((*obf)[2], 0.0451, 5e-5);
  EXPECT_EQ(split_alpha(0.03, 1, Spending::pocock)->front(), 0.03);
  EXPECT_EQ(split_alpha(0.03, 2, Spending::pocock).error().message,
            "an error level of 0.03 has no table of 2 looks; accepted are 0.1, 0.05 and 0.01, or any with "
            "one look (as "
            "many --max-runs as --runs)");
}

TEST(SplitAlpha, looks_together_err_no_more_than_alpha) {
  Rng rng{7, "split-alpha-test"};
  constexpr int trials = 40'000;
  for (const Spending spending : {Spending::pocock, Spending::obrien_fleming}) {
    const auto split = split_alpha(0.05, 3, spending);
    int crossed = 0;
    for (int i = 0; i < trials; ++i) {
      double sum = 0;
      bool any = false;
      for (int k = 1; k <= 3; ++k) {
        sum += rng.normal();
        any =
            any || std::erfc(std::abs(sum) / std::sqrt(2.0 * k)) < (*split)[static_cast<std::size_t>(k - 1)];
      }
      crossed += any;
    }
    EXPECT_NEAR(static_cast<double>(crossed) / trials, 0.05, 0.004) << to_word(spending);
  }
}

TEST(Noise, spread_is_that_of_the_bulk) {
  Rng rng{1, "noise-test"};
  std::vector<double> values;
  for (int i = 0; i < 2000; ++i) values.push_back(std::exp(0.02 * rng.normal()) * (i % 10 == 0 ? 1.15 : 1));
  EXPECT_NEAR(relative_spread(values), 0.02, 0.004);
  EXPECT_EQ(relative_spread(std::vector<double>{3, 3, 3, 3}), 0);
  EXPECT_GT(relative_spread(std::vector<double>{3, 3, 3, 3.3}), 0) << "more than half equal: the deviation";
}

TEST(Noise, the_detectable_effect_is_called_four_times_in_five) {
  for (const std::size_t n : {std::size_t{6}, std::size_t{10}, std::size_t{16}}) {
    for (const double margin : {0.005, 0.03}) {
      const double effect = detectable_effect(n, 0.015, margin, 0.05);
      Rng rng{n, "detectable-test"};
      int called = 0;
      constexpr int trials = 600;
      for (int i = 0; i < trials; ++i) {
        std::vector<double> a, b;
        for (std::size_t k = 0; k < n; ++k) {
          a.push_back(std::exp(0.015 * rng.normal()));
          b.push_back((1 + effect) * std::exp(0.015 * rng.normal()));
        }
        called += judge_values({"x"}, a, b, 0.05, margin).verdict == MetricVerdict::regressed;
      }
      EXPECT_GT(called, trials * 70 / 100) << n << " runs, margin " << margin << ", effect " << effect;
      EXPECT_LT(called, trials * 92 / 100) << n << " runs, margin " << margin << ", effect " << effect;
    }
  }
  EXPECT_TRUE(std::isinf(detectable_effect(4, 0.01, 0.03, 0.02))) << "p cannot be below 0.0286";
}

TEST(Noise, floor_of_identical_runs_is_nought_and_of_noisy_ones_is_not) {
  EXPECT_EQ(noise_floor(std::vector<double>(20, 5.0), 1), 0);
  EXPECT_TRUE(std::isinf(noise_floor(std::vector<double>{1, 2, 3}, 1)));
  Rng rng{3, "floor-test"};
  std::vector<double> values;
  for (int i = 0; i < 20; ++i) values.push_back(std::exp(0.02 * rng.normal()));
  const double floor = noise_floor(values, 1);
  // 1.96 × 1.2533 × 0.02 × √(2/10) = 2.2 %.
  EXPECT_GT(floor, 0.008);
  EXPECT_LT(floor, 0.045);
  EXPECT_EQ(floor, noise_floor(values, 1)) << "seeded";
}

TEST(Sequence, looks_and_levels) {
  const auto one = plan_sequence(10, 10, 0.05, Spending::pocock, 5);
  ASSERT_TRUE(one);
  ASSERT_EQ(one->looks.size(), 1U);
  EXPECT_EQ(one->looks[0].alpha, 0.05);
  const auto three = plan_sequence(6, 18, 0.05, Spending::pocock, 5);
  ASSERT_EQ(three->looks.size(), 3U);
  EXPECT_EQ(three->looks[0].runs, 6U);
  EXPECT_EQ(three->looks[1].runs, 12U);
  EXPECT_EQ(three->looks[2].runs, 18U);
  EXPECT_EQ(plan_sequence(6, 7, 0.05, Spending::pocock, 5)->looks.size(), 2U);
  EXPECT_EQ(plan_sequence(10, 9, 0.05, Spending::pocock, 5).error().message,
            "--max-runs 9 is below --runs 10; accepted: 10 to 30");
  EXPECT_EQ(plan_sequence(5, 16, 0.05, Spending::pocock, 5).error().message,
            "--max-runs 16 is more than three times --runs 5: the looks would be further apart than the "
            "error level was "
            "split for; accepted: 5 to 15");
}

TEST(Sequence, runs_that_a_level_needs) {
  EXPECT_EQ(runs_needed(0.05, 1), 4U);
  EXPECT_EQ(runs_needed(0.05, 20), 6U) << "the reference's figure for 20 metrics with Holm";
}

TEST(Sequence, what_comes_next) {
  const Sequence sequence = *plan_sequence(6, 12, 0.05, Spending::pocock, 4);
  const auto with = [](MetricVerdict verdict) {
    Judgement judgement;
    judgement.metrics.resize(2);
    judgement.metrics[0].verdict = MetricVerdict::same;
    judgement.metrics[1].verdict = verdict;
    return judgement;
  };
  EXPECT_EQ(next_after(with(MetricVerdict::same), sequence, 0), Next::stop);
  EXPECT_EQ(next_after(with(MetricVerdict::improved), sequence, 0), Next::stop);
  EXPECT_EQ(next_after(with(MetricVerdict::inconclusive), sequence, 0), Next::measure_more);
  EXPECT_EQ(next_after(with(MetricVerdict::inconclusive), sequence, 2), Next::stop);
  EXPECT_EQ(next_after(with(MetricVerdict::regressed), sequence, 0), Next::confirm);
  EXPECT_EQ(next_after(with(MetricVerdict::regressed), sequence, 2), Next::confirm);
  Sequence without = sequence;
  without.confirmation = 0;
  EXPECT_EQ(next_after(with(MetricVerdict::regressed), without, 0), Next::stop);
}

TEST(Sequence, a_regression_that_fresh_runs_do_not_show_is_taken_back) {
  const std::vector<double> slow{1.10, 1.11, 1.12, 1.10, 1.13, 1.12},
      fast{1.00, 1.01, 1.02, 1.00, 1.01, 1.02};
  const auto pooled = [&](const std::vector<double>& fresh) {
    Judgement all;
    std::vector<double> a = fast, b = slow;
    a.insert(a.end(), fast.begin(), fast.begin() + 3);
    b.insert(b.end(), fresh.begin(), fresh.end());
    all.metrics.push_back(judge_values({"x"}, a, b, 0.05, 0.03));
    return all;
  };
  Judgement still = pooled({1.10, 1.09, 1.11});
  ASSERT_EQ(still.metrics[0].verdict, MetricVerdict::regressed);
  keep_confirmed(still, {"x"}, 3);
  EXPECT_EQ(still.metrics[0].verdict, MetricVerdict::regressed);

  Judgement gone = pooled({1.00, 1.01, 1.02});
  ASSERT_EQ(gone.metrics[0].verdict, MetricVerdict::regressed) << "the pooled runs alone would still fail it";
  keep_confirmed(gone, {"x"}, 3);
  EXPECT_EQ(gone.metrics[0].verdict, MetricVerdict::inconclusive);
  EXPECT_EQ(gone.metrics[0].note, "it looked like a regression, which 3 more runs a side did not confirm");

  Judgement late = pooled({1.10, 1.09, 1.11});
  keep_confirmed(late, {"y"}, 3);
  EXPECT_EQ(late.metrics[0].note,
            "it looks like a regression only since the last runs, and has not been confirmed");
}

}  // namespace
}  // namespace dsbench::results::gate
