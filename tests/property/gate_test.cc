// What must hold of the gate's statistics whatever the values are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/rng.h"
#include "results/gate/judge.h"
#include "results/gate/many_tests.h"
#include "results/gate/rank_test.h"

namespace dsbench::results::gate {
namespace {

// Coarse values tie often.
std::vector<double> draw(Rng& rng, std::size_t n, bool coarse) {
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i)
    values.push_back(coarse ? 1.0 + static_cast<double>(rng.below(4)) : std::exp(0.3 * rng.normal()));
  return values;
}

void shuffle(Rng& rng, std::vector<double>& values) {
  for (std::size_t k = values.size(); k > 1; --k) std::swap(values[k - 1], values[rng.below(k)]);
}

TEST(GateProperty, sides_and_orders_do_not_matter) {
  Rng rng{1, "gate-property"};
  for (int i = 0; i < 400; ++i) {
    const bool coarse = i % 2 == 0;
    std::vector<double> a = draw(rng, 2 + rng.below(12), coarse), b = draw(rng, 2 + rng.below(12), coarse);
    const RankTest test = mann_whitney(a, b);
    if (!coarse) {
      ASSERT_GE(test.p, smallest_p(a.size(), b.size()) - 1e-12);
    }
    ASSERT_LE(test.p, 1);
    EXPECT_NEAR(mann_whitney(b, a).p, test.p, 1e-12);
    EXPECT_NEAR(mann_whitney(b, a).u, static_cast<double>(a.size() * b.size()) - test.u, 1e-9);
    const RatioInterval interval = hodges_lehmann(a, b, 0.95), turned = hodges_lehmann(b, a, 0.95);
    EXPECT_NEAR(interval.ratio * turned.ratio, 1, 1e-9);
    ASSERT_EQ(interval.lower.has_value(), turned.lower.has_value());
    if (interval.lower) {
      EXPECT_NEAR(*interval.lower * *turned.upper, 1, 1e-9);
      EXPECT_LE(*interval.lower, interval.ratio * (1 + 1e-12));
      EXPECT_GE(*interval.upper, interval.ratio * (1 - 1e-12));
    }
    shuffle(rng, a);
    shuffle(rng, b);
    EXPECT_NEAR(mann_whitney(a, b).p, test.p, 1e-12);
    EXPECT_DOUBLE_EQ(hodges_lehmann(a, b, 0.95).ratio, interval.ratio);
    // Ranks do not know units.
    for (double& v : a) v *= 1000;
    for (double& v : b) v *= 1000;
    EXPECT_NEAR(mann_whitney(a, b).p, test.p, 1e-12);
  }
}

TEST(GateProperty, the_interval_is_what_the_test_does_not_reject) {
  Rng rng{2, "gate-property"};
  for (int i = 0; i < 200; ++i) {
    const std::vector<double> a = draw(rng, 5 + rng.below(8), false);
    std::vector<double> b = draw(rng, 5 + rng.below(8), false);
    const RatioInterval interval = hodges_lehmann(a, b, 0.95);
    ASSERT_TRUE(interval.lower);
    const auto p_at = [&](double ratio) {
      std::vector<double> back = b;
      for (double& v : back) v /= ratio;
      return mann_whitney(a, back).p;
    };
    EXPECT_LE(p_at(*interval.lower * (1 - 1e-9)), 0.05 + 1e-9);
    EXPECT_GT(p_at(*interval.lower * (1 + 1e-9)), 0.05 - 1e-9);
    EXPECT_LE(p_at(*interval.upper * (1 + 1e-9)), 0.05 + 1e-9);
    EXPECT_GT(p_at(*interval.upper * (1 - 1e-9)), 0.05 - 1e-9);
  }
}

TEST(GateProperty, holm_keeps_order_and_never_lowers) {
  Rng rng{3, "gate-property"};
  for (int i = 0; i < 200; ++i) {
    std::vector<double> p;
    for (std::size_t k = 0, n = 1 + rng.below(12); k < n; ++k) p.push_back(rng.uniform());
    const auto adjusted = holm(p);
    for (std::size_t j = 0; j < p.size(); ++j) {
      EXPECT_GE(adjusted[j], p[j]);
      EXPECT_LE(adjusted[j], std::min(1.0, p[j] * static_cast<double>(p.size())) + 1e-12);
      for (std::size_t k = 0; k < p.size(); ++k) EXPECT_TRUE(p[j] > p[k] || adjusted[j] <= adjusted[k]);
    }
  }
}

// Reference section 2.3: noise of 1.5 %, and one run in ten disturbed by 15 %.
double noisy(Rng& rng) {
  return std::exp(0.015 * rng.normal()) * (rng.uniform() < 0.1 ? 1.15 : 1);
}

TEST(GateProperty, identical_builds_are_never_far_from_the_rate) {
  Rng rng{4, "gate-property"};
  int worse = 0, better = 0;
  constexpr int gates = 1500;
  for (int g = 0; g < gates; ++g) {
    std::vector<double> a, b;
    for (int i = 0; i < 10; ++i) {
      a.push_back(noisy(rng));
      b.push_back(noisy(rng));
    }
    const auto verdict = judge_values({"x"}, a, b, 0.05, 0.03).verdict;
    worse += verdict == MetricVerdict::regressed;
    better += verdict == MetricVerdict::improved;
  }
  EXPECT_LE(worse, gates / 200) << "0.5 %";
  EXPECT_LE(better, gates / 200);
}

TEST(GateProperty, five_percent_is_found_and_the_mirror_image_is_an_improvement) {
  Rng rng{5, "gate-property"};
  int worse = 0, better = 0;
  constexpr int gates = 500;
  for (int g = 0; g < gates; ++g) {
    std::vector<double> a, b;
    for (int i = 0; i < 10; ++i) {
      a.push_back(noisy(rng));
      b.push_back(1.05 * noisy(rng));
    }
    const MetricJudgement forth = judge_values({"x"}, a, b, 0.05, 0.03);
    const MetricJudgement back = judge_values({"x"}, b, a, 0.05, 0.03);
    const MetricJudgement rate = judge_values({"x", Better::higher, Unit::per_second}, a, b, 0.05, 0.03);
    worse += forth.verdict == MetricVerdict::regressed;
    better += back.verdict == MetricVerdict::improved;
    EXPECT_EQ(forth.verdict == MetricVerdict::regressed, back.verdict == MetricVerdict::improved);
    EXPECT_EQ(forth.verdict == MetricVerdict::regressed, rate.verdict == MetricVerdict::improved);
    EXPECT_EQ(forth.verdict == MetricVerdict::same, rate.verdict == MetricVerdict::same);
  }
  EXPECT_GE(worse, gates * 87 / 100);
  EXPECT_EQ(worse, better);
}

}  // namespace
}  // namespace dsbench::results::gate
