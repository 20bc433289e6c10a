#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "loadgen/schedule.h"
#include "loadgen/traces/joint_fit.h"
#include "loadgen/traces/load_trace.h"
#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/prompt_index.h"
#include "loadgen/traces/rate_curve.h"
#include "loadgen/traces/trace_statistics.h"
#include "profiles/traffic_profile.h"

namespace dsbench::loadgen {
namespace {

using testing::ElementsAre;

std::vector<Nanos> due_of(const char* traffic, std::uint64_t seed = 1) {
  std::vector<Nanos> due;
  for (const Arrival& arrival : make_schedule(profiles::parse_traffic_text(traffic).value(), seed))
    due.push_back(arrival.due);
  return due;
}

TEST(KsDistance, is_the_greatest_gap_between_the_distribution_functions) {
  EXPECT_DOUBLE_EQ(ks_distance({1, 2, 3}, {1, 2, 3}), 0);
  EXPECT_DOUBLE_EQ(ks_distance({1, 2}, {3, 4}), 1);
  EXPECT_DOUBLE_EQ(ks_distance({4, 1, 2, 3}, {3, 3, 3, 3}), 0.5);
  EXPECT_DOUBLE_EQ(ks_distance({1, 1, 1, 2}, {1, 2}), 0.25);
}

TEST(Spearman, sees_order_only) {
  const std::vector<double> x{1, 2, 3, 4, 5}, up{1, 10, 100, 1000, 10000}, down{5, 4, 3, 2, 1},
      flat{7, 7, 7, 7, 7};
  EXPECT_DOUBLE_EQ(spearman(x, up), 1);
  EXPECT_DOUBLE_EQ(spearman(x, down), -1);
  EXPECT_DOUBLE_EQ(spearman(x, flat), 0);
  const std::vector<double> ties{1, 1, 2, 2, 3};
  EXPECT_NEAR(spearman(x, ties), 0.9486832980505138, 1e-12);
}

TEST(Dispersion, is_one_for_poisson_and_cv_squared_for_gamma) {
  EXPECT_NEAR(dispersion(due_of("poisson hold(50/s,20m)"), from_seconds(1), from_seconds(1200)), 1, 0.15);
  EXPECT_NEAR(dispersion(due_of("gamma(cv 2) hold(50/s,20m)"), from_seconds(10), from_seconds(1200)), 4, 1.5);
  EXPECT_NEAR(dispersion(due_of("constant hold(50/s,20m)"), from_seconds(1), from_seconds(1200)), 0, 1e-9);
}

TEST(RateCurve, has_the_arrivals_of_every_bin) {
  const std::vector<Nanos> due = due_of("poisson hold(3/s,1m) hold(60/s,1m) ramp(60/s..1/s,3m)", 5);
  const Nanos length = from_seconds(300);
  const RateCurve curve = RateCurve::fit(due, length, from_seconds(30));
  RateCurve::Mass mass{curve};
  const std::vector<double> counts = counts_in_windows(due, from_seconds(30), length);
  double before = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double now = mass.until(30 * static_cast<double>(i + 1));
    EXPECT_NEAR(now - before, counts[i], 1e-6);
    before = now;
  }
  for (const RateCurve::Point& p : curve.points()) EXPECT_GE(p.rate, 0);
  EXPECT_EQ(curve.points().back().at_s, 300);
}

TEST(RateCurve, what_is_left_at_the_end_joins_a_bin_or_is_one) {
  const std::vector<Nanos> due = due_of("constant hold(10/s,100s)");
  EXPECT_EQ(RateCurve::fit(due, from_seconds(100), from_seconds(30)).points().back().at_s, 100);
  const RateCurve curve = RateCurve::fit(due, from_seconds(100), from_seconds(40));  // 40, 60
  RateCurve::Mass mass{curve};
  EXPECT_NEAR(mass.until(100), 1000, 1e-6);
  for (const RateCurve::Point& p : curve.points()) EXPECT_NEAR(p.rate, 10, 0.3);
}

TEST(RateCurve, accidents_are_drawn_to_their_neighbours_and_steps_are_kept) {
  const Nanos length = from_seconds(6000);
  const auto spread = [&](const RateCurve& curve) {
    RateCurve::Mass mass{curve};
    std::vector<double> counts;
    double before = 0;
    for (int i = 1; i <= 100; ++i) {
      const double now = mass.until(60 * i);
      counts.push_back(now - before);
      before = now;
    }
    return moments(counts);
  };
  const std::vector<Nanos> steady = due_of("poisson hold(2/s,100m)", 3);
  const Moments rough = spread(RateCurve::fit(steady, length, from_seconds(60)));
  const Moments calm = spread(RateCurve::fit_calm(steady, length, from_seconds(60), 1));
  EXPECT_NEAR(rough.cv, std::sqrt(1 / 120.0), 0.02);
  EXPECT_LT(calm.cv, 0.75 * rough.cv);
  EXPECT_NEAR(calm.mean, rough.mean, 0.02 * rough.mean);
  const std::vector<Nanos> steps = due_of("poisson hold(2/s,50m) hold(20/s,50m)", 3);
  EXPECT_NEAR(spread(RateCurve::fit_calm(steps, length, from_seconds(60), 1)).cv,
              spread(RateCurve::fit(steps, length, from_seconds(60))).cv, 0.02);
}

TEST(RescaledCv, finds_the_processes_own_under_a_moving_rate) {
  const Nanos length = from_seconds(2400);
  for (const double cv : {0.5, 1.0, 2.0}) {
    const std::string traffic =
        "gamma(cv " + std::to_string(cv) + ") ramp(2/s..60/s,20m) ramp(60/s..2/s,20m)";
    const std::vector<Nanos> due = due_of(traffic.c_str(), 11);
    EXPECT_NEAR(rescaled_cv(due, RateCurve::fit(due, length, from_seconds(60))), cv, 0.06 * cv);
    EXPECT_GT(raw_cv(due), 1.15 * cv);  // the moving rate's share
  }
}

TEST(JointFit, keeps_both_distributions_their_means_and_their_correlation) {
  Rng rng{7, "pairs"};
  std::vector<LengthPair> pairs;
  std::vector<double> prompts, outputs;
  for (int i = 0; i < 20'000; ++i) {
    const double a = rng.normal(), b = 0.6 * a + 0.8 * rng.normal();
    pairs.push_back(
        {static_cast<std::int32_t>(std::lround(800 * std::exp(1.1 * a))) + 1,
         i % 5 == 0 ? 4096 : static_cast<std::int32_t>(std::lround(150 * std::exp(0.8 * b))) + 1});
    prompts.push_back(pairs.back().prompt);
    outputs.push_back(pairs.back().output);
  }
  const std::vector<LengthBin> bins = fit_joint(pairs, 48);
  EXPECT_LE(bins.size(), 48U);
  double weights = 0;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    EXPECT_LE(bins[i].prompt_from, bins[i].prompt_to);
    if (i > 0) {
      EXPECT_GT(bins[i].prompt_from, bins[i - 1].prompt_to);
    }
    EXPECT_TRUE(std::is_sorted(bins[i].output_quantiles.begin(), bins[i].output_quantiles.end()));
    weights += bins[i].weight;
  }
  EXPECT_EQ(weights, 20'000);
  // Draw from the bins as a workload would.
  std::vector<double> drawn_prompts, drawn_outputs;
  for (const LengthBin& bin : bins) {
    const auto n = static_cast<std::size_t>(bin.weight);
    for (std::size_t k = 0; k < n; ++k) {
      const double u = (static_cast<double>(k) + 0.5) / static_cast<double>(n), v = rng.uniform();
      drawn_prompts.push_back(bin.prompt_from + std::floor(u * (bin.prompt_to - bin.prompt_from + 1)));
      const double at = v * static_cast<double>(bin.output_quantiles.size() - 1);
      const auto q = static_cast<std::size_t>(at);
      drawn_outputs.push_back(
          std::round(bin.output_quantiles[q] + (bin.output_quantiles[q + 1] - bin.output_quantiles[q]) *
                                                   (at - static_cast<double>(q))));
    }
  }
  EXPECT_LT(ks_distance(prompts, drawn_prompts), 0.015);
  EXPECT_LT(ks_distance(outputs, drawn_outputs), 0.03);
  EXPECT_NEAR(moments(drawn_prompts).mean / moments(prompts).mean, 1, 0.01);
  EXPECT_NEAR(moments(drawn_outputs).mean / moments(outputs).mean, 1, 0.02);
  EXPECT_NEAR(spearman(drawn_prompts, drawn_outputs), spearman(prompts, outputs), 0.03);
}

TEST(JointFit, one_length_is_one_bin) {
  const std::vector<LengthBin> bins = fit_joint(std::vector<LengthPair>(100, {512, 64}), 16);
  ASSERT_EQ(bins.size(), 1U);
  EXPECT_EQ(bins[0].prompt_from, 512);
  EXPECT_EQ(bins[0].prompt_to, 512);
  EXPECT_EQ(bins[0].output_quantiles.front(), 64);
  EXPECT_EQ(bins[0].output_quantiles.back(), 64);
}

TEST(PoolFit, finds_a_pool_back_from_what_was_drawn_of_it) {
  for (const double zipf : {0.0, 0.8, 1.2}) {
    constexpr int count = 500, draws = 4000;
    std::vector<double> cumulative;
    double sum = 0;
    for (int k = 1; k <= count; ++k) cumulative.push_back(sum += std::pow(k, -zipf));
    Rng rng{3, "pool"};
    std::vector<double> seen(count);
    for (int i = 0; i < draws; ++i)
      seen[std::lower_bound(cumulative.begin(), cumulative.end(), rng.uniform() * sum) -
           cumulative.begin()] += 1;
    double distinct = 0, pairs = 0;
    for (const double n : seen) distinct += n > 0, pairs += n * (n - 1);
    const PoolFit fit = fit_pool(draws, distinct, pairs);
    EXPECT_NEAR(fit.zipf, zipf, 0.21);
    EXPECT_NEAR(expected_distinct(draws, fit.count, fit.zipf), distinct, 0.02 * distinct + 1);
  }
}

// A trace whose prompts are a system prompt, a prefix of a pool of 100 (popular as k^−1) and words of their
// own.
Trace with_prefixes() {
  TraceBuilder builder{"prefixes", TraceFormat::mooncake, 16, 1};
  Rng rng{2, "prefixes"};
  std::vector<double> cumulative;
  double sum = 0;
  for (int k = 1; k <= 100; ++k) cumulative.push_back(sum += 1.0 / k);
  for (std::uint64_t i = 0; i < 3000; ++i) {
    TraceRequest request;
    request.at = from_seconds(static_cast<double>(i) * 0.5);
    request.prefix_hashes = {1, 2};
    if (i % 3 != 0) {
      const auto k = static_cast<std::uint64_t>(
          std::lower_bound(cumulative.begin(), cumulative.end(), rng.uniform() * sum) - cumulative.begin());
      for (std::uint64_t b = 0; b < 20; ++b) request.prefix_hashes.push_back(1000 + k * 100 + b);
    }
    for (std::uint64_t b = 0; b < 10; ++b) request.prefix_hashes.push_back(1'000'000 + i * 100 + b);
    request.input_tokens = static_cast<std::int32_t>(request.prefix_hashes.size()) * 16;
    request.output_tokens = 10;
    builder.add(request);
  }
  return builder.finish({});
}

// What the index says of a row is what the row's own hashes say, by other names.
TEST(PromptIndex, gives_equal_beginnings_equal_numbers_and_no_others) {
  TraceBuilder builder{"known", TraceFormat::mooncake, 16, 1};
  const auto add = [&](std::int32_t tokens, std::vector<std::uint64_t> hashes) {
    TraceRequest request;
    request.input_tokens = tokens;
    request.prefix_hashes = std::move(hashes);
    builder.add(request);
  };
  add(40, {7, 8, 9});      // the last block is not full
  add(48, {7, 8, 9});      // here it is
  add(50, {7, 9});         // hashes do not cover it: an end of its own
  add(50, {7, 9});         // and another
  add(20, {});             // all its own
  add(0, {7});             // nothing to begin with
  add(16, {9});            // not the same as after 7
  add(10, {7, 8, 9, 10});  // more hashes than prompt
  Trace trace = builder.finish({});
  const PromptIndex index{trace};
  EXPECT_THAT(index.of(0), ElementsAre(1, 2, 3));
  EXPECT_THAT(index.of(1), ElementsAre(1, 2, 3));
  EXPECT_THAT(index.of(2), ElementsAre(1, 4, 5));
  EXPECT_THAT(index.of(3), ElementsAre(1, 4, 6));
  EXPECT_THAT(index.of(4), ElementsAre(7));
  EXPECT_THAT(index.of(5), ElementsAre());
  EXPECT_THAT(index.of(6), ElementsAre(8));
  EXPECT_THAT(index.of(7), ElementsAre(1));
  EXPECT_EQ(index.numbers(), 9U);
  EXPECT_THAT(index.whole_blocks(0), ElementsAre(1, 2));
  EXPECT_THAT(index.whole_blocks(1), ElementsAre(1, 2, 3));
  EXPECT_THAT(index.whole_blocks(2), ElementsAre(1, 4));
  EXPECT_THAT(index.whole_blocks(4), ElementsAre());
  EXPECT_THAT(index.whole_blocks(7), ElementsAre());
  std::vector<PromptPiece> mine, own;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    index.pieces(i, mine);
    prompt_pieces(trace, i, own);
    ASSERT_EQ(mine.size(), own.size()) << i;
    for (std::size_t k = 0; k < own.size(); ++k) EXPECT_EQ(mine[k].tokens, own[k].tokens) << i << " " << k;
  }
  trace.rows[1].copy = 1;  // of a superposition: it shares nothing with the source
  const PromptIndex apart{trace};
  EXPECT_THAT(apart.of(1), ElementsAre(4, 5, 6));
}

// Thousands of chains are numbered across many growths of the table.
TEST(PromptIndex, lets_an_endless_cache_find_what_hashes_let_it_find) {
  const Trace trace = with_prefixes();
  const PromptIndex index{trace};
  PrefixMeter by_hashes, by_numbers;
  std::vector<PromptPiece> pieces;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    prompt_pieces(trace, i, pieces);
    const std::int64_t found = by_hashes.add(pieces, trace.rows[i].due);
    index.pieces(i, pieces);
    ASSERT_EQ(by_numbers.add(pieces, trace.rows[i].due), found) << i;
  }
  EXPECT_GT(by_hashes.hit_share(), 0.3);
  EXPECT_EQ(by_numbers.share_by_position(), by_hashes.share_by_position());
}

TEST(PrefixFit, finds_system_prompt_pool_and_those_without) {
  const Trace trace = with_prefixes();
  std::vector<std::uint32_t> all(trace.size());
  std::iota(all.begin(), all.end(), 0U);
  const PrefixFit fit = fit_prefixes(trace, PromptIndex{trace}, all, 1);
  EXPECT_EQ(fit.system_tokens, 32);
  ASSERT_EQ(fit.classes.size(), 2U);
  EXPECT_EQ(fit.classes[0].count, 0);
  EXPECT_NEAR(static_cast<double>(fit.classes[0].rows.size()), 1000, 5);  // and prefixes that came only once
  EXPECT_EQ(fit.classes[1].token_quantiles.front(), 320);
  EXPECT_EQ(fit.classes[1].token_quantiles.back(), 320);
  EXPECT_NEAR(static_cast<double>(fit.classes[1].count), 100, 25);
  EXPECT_NEAR(fit.classes[1].zipf, 1, 0.21);
}

TEST(PrefixMeter, counts_what_an_endless_cache_would_find) {
  PrefixMeter meter;
  const std::vector<PromptPiece> a{{1, 10}, {2, 10}, {3, 5}}, b{{1, 10}, {4, 10}}, c{{5, 10}, {2, 10}};
  EXPECT_EQ(meter.add(a, Nanos{0}), 0);
  EXPECT_EQ(meter.add(b, from_seconds(30)), 10);
  EXPECT_EQ(meter.add(a, from_seconds(400)), 25);
  EXPECT_EQ(meter.add(c, from_seconds(401)), 0);  // what is found behind something new is none
  EXPECT_DOUBLE_EQ(meter.hit_share(), 35.0 / 90);
  EXPECT_DOUBLE_EQ(meter.piece_hit_share(), 4.0 / 10);
  EXPECT_THAT(meter.share_by_age(), ElementsAre(10.0 / 35, 0, 25.0 / 35, 0, 0));
  EXPECT_THAT(meter.share_by_position(), ElementsAre(0.5, 0.25, 0.5));
}

TEST(PrefixMeter, the_form_of_the_request_sent_says_the_same_as_the_trace) {
  const Trace trace = with_prefixes();
  PrefixMeter of_trace, of_attempts;
  std::vector<PromptPiece> pieces;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    prompt_pieces(trace, i, pieces);
    of_trace.add(pieces, trace.rows[i].due);
    Attempt attempt;
    attempt.parts = std::make_shared<const PromptParts>(trace.content(i).parts);
    prompt_pieces(attempt, pieces);
    of_attempts.add(pieces, trace.rows[i].due);
  }
  EXPECT_GT(of_trace.hit_share(), 0.3);
  EXPECT_DOUBLE_EQ(of_trace.hit_share(), of_attempts.hit_share());
}

TEST(ClientSkew, ranks_tenants) {
  TraceBuilder builder{"skew", TraceFormat::servegen, 0, 1};
  for (int k = 1; k <= 20; ++k) {
    for (int n = 0; n < 1000 / k; ++n) {
      TraceRequest request;
      request.tenant = "t" + std::to_string(k);
      builder.add(request);
    }
  }
  const ClientSkew skew = client_skew(builder.finish({}));
  EXPECT_EQ(skew.clients, 20U);
  EXPECT_NEAR(skew.largest, 1 / 3.5977, 0.002);
  EXPECT_NEAR(skew.top5, 2.2833 / 3.5977, 0.003);
  EXPECT_NEAR(skew.zipf, 1, 0.02);
}

}  // namespace
}  // namespace dsbench::loadgen
