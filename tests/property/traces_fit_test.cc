#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "loadgen/schedule.h"
#include "loadgen/traces/trace_fit.h"
#include "loadgen/traces/trace_source.h"
#include "loadgen/workload.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"

// A trace drawn from profiles that are known is fitted back to them.
namespace dsbench::loadgen {
namespace {

Trace drawn(std::string_view traffic, std::string_view workload, std::uint64_t seed) {
  const auto profile = profiles::parse_traffic_text(traffic).value();
  const auto shape = profiles::parse_workload(workload, "known");
  EXPECT_TRUE(shape) << shape.error().message;
  const SharedSource source = make_source(*shape, seed);
  TraceBuilder builder{"known", TraceFormat::vllm, 1, seed};
  for (const Arrival& arrival : make_schedule(profile, seed)) {
    const Attempt attempt = source(arrival.request);
    TraceRequest request;
    request.at = arrival.due;
    request.input_tokens = attempt.prompt_tokens;
    request.output_tokens = attempt.output_tokens;
    builder.add(request);
  }
  return builder.finish({}, true, profiles::plan_of(profile).length);
}

constexpr std::string_view lognormals = R"({"schema": "dsbench.workload/1",
  "prompt_tokens": {"law": "lognormal", "median": 800, "sigma": 1.0, "min": 2, "max": 30000},
  "output_tokens": {"law": "lognormal", "median": 150, "sigma": 0.8, "min": 1, "max": 4000}})";

TEST(FitRoundTrip, gives_rate_cv_and_lengths_back) {
  for (const double cv : {0.6, 1.0, 1.8}) {
    const std::string traffic =
        "gamma(cv " + std::to_string(cv) + ") ramp(4/s..30/s,10m) ramp(30/s..8/s,10m)";
    const Trace trace = drawn(traffic, lognormals, 17);
    const auto fit = fit_trace(trace, {});
    ASSERT_TRUE(fit) << fit.error().message;
    EXPECT_NEAR(fit->cv, cv, 0.06 * cv);
    const auto fitted = profiles::parse_traffic(fit->traffic_json, "fitted").value();
    const auto plan = profiles::plan_of(fitted);
    EXPECT_NEAR(plan.requests, static_cast<double>(trace.size()), 0.01 * static_cast<double>(trace.size()));
    EXPECT_NEAR(to_seconds(plan.length), 1200, 0.01);
    for (const FitLine& line : fit->lines) {
      // The fitted curve keeps the noise of the source's bins and the draw adds its own: with bursts the
      // highest bin is then too high, which is no fault of what is tested here.
      if (cv > 1 && line.what.starts_with("peak")) continue;
      EXPECT_NE(line.verdict, FitLine::Verdict::poor) << line.what << " " << line.fitted.value_or(0);
    }
  }
}

TEST(FitRoundTrip, keeps_the_correlation_of_lengths) {
  std::string correlated{lognormals};
  correlated.insert(correlated.size() - 1, R"(, "rank_correlation": 0.6)");
  const auto fit = fit_trace(drawn("poisson hold(20/s,10m)", correlated, 3), {});
  ASSERT_TRUE(fit) << fit.error().message;
  const auto line = std::find_if(fit->lines.begin(), fit->lines.end(), [](const FitLine& l) {
    return l.what == "input and output, rank correlation";
  });
  ASSERT_NE(line, fit->lines.end());
  EXPECT_NEAR(*line->source, 0.6, 0.03);
  EXPECT_NEAR(*line->fitted, 0.6, 0.05);
}

TEST(FitRoundTrip, is_a_function_of_trace_and_options) {
  const Trace trace = drawn("poisson hold(20/s,2m)", lognormals, 3);
  const TraceFit one = fit_trace(trace, {}).value(), two = fit_trace(trace, {}).value();
  EXPECT_EQ(one.traffic_json, two.traffic_json);
  EXPECT_EQ(one.workload_json, two.workload_json);
}

// A draw of four hundred requests is off by five per cent by itself; that is no fault of the fit's.
TEST(FitRoundTrip, is_not_blamed_for_the_accidents_of_a_small_trace) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    const auto fit = fit_trace(drawn("poisson hold(2/s,200s)", lognormals, seed), {});
    ASSERT_TRUE(fit) << fit.error().message;
    for (const FitLine& line : fit->lines) {
      // The largest of few counts and the last hundredth of few lengths are the source's own accidents.
      if (line.what.starts_with("peak") || line.what.ends_with("p99")) continue;
      EXPECT_NE(line.verdict, FitLine::Verdict::poor)
          << seed << ": " << line.what << " " << line.fitted.value_or(0);
      if (line.what == "requests" || line.what.ends_with("mean")) {
        EXPECT_EQ(line.verdict, FitLine::Verdict::good)
            << seed << ": " << line.what << " " << line.fitted.value_or(0);
      }
    }
  }
}

// One request in a decade makes a rate that only an exponent writes shortly.
TEST(Fit, reads_the_rates_that_it_wrote) {
  TraceBuilder builder{"known", TraceFormat::azure, 1, 1};
  for (int i = 0; i < 60; ++i) {
    TraceRequest request;
    request.at = from_seconds(i == 59 ? 1e9 : i);
    request.input_tokens = 100 + i;
    request.output_tokens = 10;
    builder.add(request);
  }
  const auto fit = fit_trace(builder.finish({}), {});
  ASSERT_TRUE(fit) << fit.error().message;
  EXPECT_TRUE(profiles::parse_traffic(fit->traffic_json, "fitted"));
}

TEST(Fit, makes_no_traffic_of_requests_that_all_have_one_time) {
  TraceBuilder builder{"known", TraceFormat::azure, 1, 1};
  for (int i = 0; i < 60; ++i) {
    TraceRequest request;
    request.at = from_seconds(5);
    request.input_tokens = 100 + i;
    request.output_tokens = 10 + i;
    builder.add(request);
  }
  const auto fit = fit_trace(builder.finish({}), {});
  ASSERT_TRUE(fit) << fit.error().message;
  EXPECT_EQ(fit->traffic_json, "");
  EXPECT_NE(fit->workload_json, "");
}

// Turns that re-send what was said: no turn may become as long as what its successors share.
TEST(Fit, keeps_the_lengths_of_conversations_that_grow) {
  TraceBuilder builder{"known", TraceFormat::bailian, 16, 1};
  Rng draw{7, "conversations"};
  std::uint64_t fresh = 1;
  double at = 0;
  for (int conversation = 0; conversation < 600; ++conversation) {
    std::vector<std::uint64_t> said;
    const std::uint64_t turns = 1 + draw.below(6);
    at += 0.5;
    for (std::uint64_t turn = 0; turn < turns; ++turn) {
      for (std::uint64_t more = 2 + draw.below(30); more > 0; --more) said.push_back(fresh++);
      TraceRequest request;
      request.at = from_seconds(at + 20.0 * static_cast<double>(turn));
      request.input_tokens = static_cast<std::int32_t>(16 * said.size());
      request.output_tokens = static_cast<std::int32_t>(1 + draw.below(300));
      request.prefix_hashes = said;
      builder.add(request);
    }
  }
  const auto fit = fit_trace(builder.finish({}), {});
  ASSERT_TRUE(fit) << fit.error().message;
  for (const FitLine& line : fit->lines) {
    if (line.what.starts_with("input")) {
      EXPECT_NE(line.verdict, FitLine::Verdict::poor) << line.what << " " << line.fitted.value_or(0);
    }
    // Chance pairs what the source has in order: not all of it comes back.
    if (line.what.starts_with("ideal")) {
      EXPECT_GT(*line.fitted, 0.75 * *line.source);
    }
  }
}

// A request in every second, without an answer, all alike: a clock's arrivals, and 1 token is what is sent.
TEST(Fit, of_a_clock_and_of_nothing_said_is_good) {
  TraceBuilder builder{"known", TraceFormat::azure, 1, 1};
  for (int i = 0; i < 200; ++i) {
    TraceRequest request;
    request.at = from_seconds(i);
    request.input_tokens = 30;
    builder.add(request);
  }
  const auto fit = fit_trace(builder.finish({}), {});
  ASSERT_TRUE(fit) << fit.error().message;
  EXPECT_NE(fit->traffic_json.find("\"constant\""), std::string::npos) << fit->traffic_json;
  EXPECT_TRUE(profiles::parse_traffic(fit->traffic_json, "fitted"));
  for (const FitLine& line : fit->lines)
    EXPECT_EQ(line.verdict, FitLine::Verdict::good) << line.what << " " << line.fitted.value_or(0);
}

// Greetings of one token, all alike: what they share is no block that they fill, and became one of 64.
TEST(Fit, of_prompts_shorter_than_a_block_keeps_their_lengths) {
  TraceBuilder builder{"known", TraceFormat::sharegpt, 64, 1};
  for (int i = 0; i < 200; ++i) {
    TraceRequest request;
    request.at = from_seconds(i);
    request.input_tokens = 1;
    request.output_tokens = 1;
    request.prefix_hashes = {7};
    builder.add(request);
  }
  const auto fit = fit_trace(builder.finish({}), {});
  ASSERT_TRUE(fit) << fit.error().message;
  for (const FitLine& line : fit->lines) {
    if (line.what != "input mean") continue;
    EXPECT_EQ(line.verdict, FitLine::Verdict::good) << line.fitted.value_or(0);
  }
}

TEST(Fit, refuses_what_is_too_little) {
  const Trace trace = drawn("constant hold(1/s,30s)", lognormals, 3);
  EXPECT_EQ(fit_trace(trace, {}).error().message, "'known' has 30 requests; a fit needs at least 50");
}

}  // namespace
}  // namespace dsbench::loadgen
