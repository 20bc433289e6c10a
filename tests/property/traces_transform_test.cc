#include <gtest/gtest.h>

#include <cmath>

#include "core/rng.h"
#include "loadgen/traces/trace_transform.h"

namespace dsbench::loadgen {
namespace {

// Two tenants, sessions of three, hashes shared by many, about `n` requests at 10/s.
Trace sample(std::size_t n, std::uint64_t seed = 1) {
  TraceBuilder builder{"sample", TraceFormat::mooncake, 16, seed};
  Rng rng{seed, "sample"};
  double at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    TraceRequest request;
    at += rng.exponential() / 10;
    request.at = from_seconds(at);
    request.input_tokens = 40 + static_cast<std::int32_t>(rng.below(60));
    request.output_tokens = 1 + static_cast<std::int32_t>(rng.below(60));
    for (int b = 0; b * 16 < request.input_tokens; ++b) request.prefix_hashes.push_back(rng.below(50));
    request.tenant = i % 4 == 0 ? "a/one" : "b";
    request.session = std::to_string(1000 + i / 3);
    request.id = std::to_string(i + 1);
    if (i % 3 != 0) request.parent = std::to_string(i);
    builder.add(request);
  }
  return builder.finish({});
}

bool same(const Trace& a, const Trace& b) {
  if (a.size() != b.size() || a.length != b.length) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const TraceContent x = a.content(i), y = b.content(i);
    if (a.rows[i].due != b.rows[i].due || a.rows[i].parent != b.rows[i].parent || x.parts != y.parts ||
        x.output_tokens != y.output_tokens || x.session != y.session || x.tenant != y.tenant)
      return false;
  }
  return true;
}

void expect_sound(const Trace& trace) {
  for (std::size_t i = 0; i < trace.size(); ++i) {
    if (i > 0) {
      ASSERT_LE(trace.rows[i - 1].due, trace.rows[i].due);
    }
    ASSERT_GE(trace.rows[i].due, Nanos{0});
    ASSERT_LT(trace.rows[i].due, trace.length);
    const TraceContent content = trace.content(i);
    std::int32_t tokens = 0;
    for (const PromptPart& part : content.parts) tokens += part.tokens;
    ASSERT_EQ(tokens, content.input_tokens);
    if (trace.rows[i].parent != no_parent) {
      ASSERT_LT(trace.rows[i].parent, trace.size());
      ASSERT_EQ(trace.content(trace.rows[i].parent).session, content.session);
    }
  }
}

TEST(Transform, by_one_and_the_whole_window_is_the_identity) {
  const Trace trace = sample(500);
  expect_sound(trace);
  Trace other = trace;
  cut_window(other, {});
  cut_window(other, {Nanos{0}, trace.length});
  scale_time(other, 1);
  scale_rate(other, 1);
  EXPECT_TRUE(keep_tenants(other, {}));
  EXPECT_TRUE(same(trace, other));
}

TEST(Transform, windows_side_by_side_hold_every_request_once) {
  const Trace trace = sample(1000);
  std::size_t sum = 0;
  const Nanos step = trace.length / 7 + Nanos{1};
  for (Nanos from{0}; from < trace.length; from += step) {
    Trace part = trace;
    cut_window(part, {from, from + step});
    expect_sound(part);
    sum += part.size();
  }
  EXPECT_EQ(sum, trace.size());
}

TEST(Transform, a_window_of_a_window_is_the_window_of_both) {
  Trace twice = sample(1000);
  Trace once = twice;
  cut_window(twice, {from_seconds(10), from_seconds(90)});
  cut_window(twice, {from_seconds(5), from_seconds(40)});
  cut_window(once, {from_seconds(15), from_seconds(50)});
  EXPECT_TRUE(same(once, twice));
  EXPECT_GT(once.size(), 200U);
}

TEST(Transform, time_scales_multiply) {
  Trace twice = sample(300);
  Trace once = twice;
  const Nanos length = once.length;
  scale_time(twice, 2);
  scale_time(twice, 5);
  scale_time(once, 10);
  ASSERT_EQ(once.size(), twice.size());
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_NEAR(to_seconds(once.rows[i].due), to_seconds(twice.rows[i].due), 2e-9);
    EXPECT_EQ(once.content(i).parts, twice.content(i).parts);
  }
  EXPECT_NEAR(to_seconds(once.length) * 10, to_seconds(length), 1e-6);
}

TEST(Transform, thinning_keeps_that_share_and_sessions_whole) {
  const Trace trace = sample(30'000);
  Trace thin = trace;
  scale_rate(thin, 0.3);
  expect_sound(thin);
  EXPECT_NEAR(static_cast<double>(thin.size()), 0.3 * 30'000, 5 * std::sqrt(0.3 * 0.7 * 10'000) * 3);
  std::vector<std::uint64_t> kept;
  for (const TraceRow& row : thin.rows) kept.push_back(row.session);
  std::sort(kept.begin(), kept.end());
  for (std::size_t i = 0; i + 2 < kept.size(); i += 3) ASSERT_EQ(kept[i], kept[i + 2]);
  // The same lots: what 0.1 keeps, 0.3 keeps.
  Trace thinner = trace;
  scale_rate(thinner, 0.1);
  std::size_t k = 0;
  for (const TraceRow& row : thinner.rows) {
    while (k < thin.size() && thin.rows[k].source != row.source) ++k;
    ASSERT_LT(k, thin.size());
  }
}

TEST(Transform, superposition_multiplies_and_copies_share_nothing) {
  const Trace trace = sample(2000);
  Trace more = trace;
  scale_rate(more, 2.5);
  expect_sound(more);
  EXPECT_NEAR(static_cast<double>(more.size()), 5000, 5 * std::sqrt(2000 * 0.25 * 3));
  EXPECT_EQ(more.length, trace.length);
  std::vector<std::size_t> of_copy(3);
  std::vector<std::uint64_t> first, second;
  for (std::size_t i = 0; i < more.size(); ++i) {
    ++of_copy[more.rows[i].copy];
    for (const PromptPart& part : more.content(i).parts)
      (more.rows[i].copy == 0 ? first : second).push_back(part.seed);
  }
  EXPECT_EQ(of_copy[0], 2000U);
  EXPECT_EQ(of_copy[1], 2000U);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  std::vector<std::uint64_t> both;
  std::set_intersection(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(both));
  EXPECT_TRUE(both.empty());
}

TEST(Transform, batches_are_found_and_spread) {
  TraceBuilder builder{"batched", TraceFormat::mooncake, 512, 9};
  Rng rng{5, "batched"};
  double at = 0;
  for (int i = 0; i < 4000; ++i) {
    at += rng.exponential() / 3.4;
    TraceRequest request;
    const double grid = std::floor(at / 3) * 3000;
    request.at = Nanos{static_cast<std::int64_t>(grid + (static_cast<int>(grid) / 3000 % 3 - 1)) *
                       1'000'000};  // ±1 ms
    request.input_tokens = 10;
    builder.add(request);
  }
  Trace trace = builder.finish({});
  const auto batch = find_batches(trace);
  ASSERT_TRUE(batch);
  EXPECT_NEAR(to_seconds(*batch), 3, 0.003);
  const Trace before = trace;
  dequantise(trace, *batch);
  expect_sound(trace);
  EXPECT_FALSE(find_batches(trace));
  for (std::size_t i = 0; i < trace.size(); ++i) {
    EXPECT_EQ(trace.rows[i].source, before.rows[i].source);  // their order stays
    EXPECT_LT(trace.rows[i].due - before.rows[i].due, from_seconds(3.01));
  }
  // Exponential gaps again: their coefficient of variation is 1.
  double sum = 0, squares = 0;
  for (std::size_t i = 1; i < trace.size(); ++i) {
    const double gap = to_seconds(trace.rows[i].due - trace.rows[i - 1].due);
    sum += gap;
    squares += gap * gap;
  }
  const double n = static_cast<double>(trace.size() - 1);
  EXPECT_NEAR(std::sqrt(squares / n - sum * sum / n / n) / (sum / n), 1, 0.08);
}

TEST(Transform, whole_seconds_are_batches_and_fine_clocks_are_none) {
  for (const bool whole : {true, false}) {
    TraceBuilder builder{"seconds", TraceFormat::burstgpt, 0, 9};
    Rng rng{6, "seconds"};
    double at = 0;
    for (int i = 0; i < 3000; ++i) {
      at += rng.exponential() * 2;
      TraceRequest request;
      request.at = from_seconds(whole ? std::floor(at) : at);
      builder.add(request);
    }
    const auto batch = find_batches(builder.finish({}));
    ASSERT_EQ(batch.has_value(), whole);
    EXPECT_EQ(batch.value_or(from_seconds(1)), from_seconds(1));
  }
}

TEST(Transform, tenants_are_kept_by_name_or_by_what_stands_before_the_slash) {
  Trace trace = sample(400);
  ASSERT_TRUE(keep_tenants(trace, {"a"}));
  EXPECT_EQ(trace.size(), 100U);
  expect_sound(trace);
}

}  // namespace
}  // namespace dsbench::loadgen
