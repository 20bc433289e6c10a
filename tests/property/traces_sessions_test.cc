#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "core/rng.h"
#include "loadgen/schedule.h"
#include "loadgen/traces/drawn_traffic.h"
#include "loadgen/traces/session_finder.h"
#include "loadgen/traces/trace_fit.h"
#include "loadgen/traces/trace_transform.h"
#include "loadgen/workload.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"

// Conversations whose truth is known are found again in their prefix hashes, and fitted.
namespace dsbench::loadgen {
namespace {

// Blocks of a prompt, each hashed with what it holds; the last may be partial, as in Mooncake.
std::vector<std::uint64_t> hashes_of(const Attempt& attempt, std::int32_t block) {
  const PromptParts alone{{attempt.prompt_seed, attempt.prompt_tokens, PromptPart::Role::user}};
  std::vector<std::uint64_t> hashes;
  std::uint64_t hash = 1;
  std::int32_t filled = 0;
  for (const PromptPart& part : attempt.parts ? *attempt.parts : alone) {
    for (std::int32_t at = 0; at < part.tokens;) {
      const std::int32_t n = std::min(block - filled, part.tokens - at);
      hash = derive_seed(derive_seed(hash, "text", part.seed), "piece",
                         (static_cast<std::uint64_t>(at) << 32) | static_cast<std::uint64_t>(n));
      filled += n;
      at += n;
      if (filled < block) continue;
      hashes.push_back(hash);
      filled = 0;
    }
  }
  if (filled > 0) hashes.push_back(hash);
  return hashes;
}

struct Known {
  Trace trace;
  std::size_t follow_ups = 0;
};

Known drawn(std::string_view traffic, const std::string& workload, std::int32_t block = 16,
            std::uint64_t seed = 5) {
  const auto profile = profiles::parse_traffic_text(traffic).value();
  const auto shape = profiles::parse_workload(R"({"schema":"dsbench.workload/1",)" + workload + "}", "known");
  EXPECT_TRUE(shape) << shape.error().message;
  std::vector<Nanos> arrivals;
  for (const Arrival& arrival : make_schedule(profile, seed)) arrivals.push_back(arrival.due);
  const Nanos end = profiles::plan_of(profile).length;
  TraceBuilder builder{"known", TraceFormat::mooncake, block, seed};
  Known known;
  draw_traffic(make_source(*shape, seed), arrivals, 0, end, [&](const DrawnRequest& drawn) {
    if (drawn.attempt->turn > 0) ++known.follow_ups;
    TraceRequest request;
    request.at = drawn.due;
    request.input_tokens = drawn.attempt->prompt_tokens;
    request.output_tokens = drawn.attempt->output_tokens;
    request.prefix_hashes = hashes_of(*drawn.attempt, block);
    builder.add(request);
  });
  known.trace = builder.finish({}, true, end);
  return known;
}

void expect_good(const TraceFit& fit, std::initializer_list<std::string_view> but = {}) {
  for (const FitLine& l : fit.lines) {
    if (std::find(but.begin(), but.end(), l.what) != but.end()) continue;
    // The last hundredth has accidents of its own, the source's too.
    if (l.what.ends_with("p99")) {
      EXPECT_NE(l.verdict, FitLine::Verdict::poor) << l.what;
      continue;
    }
    EXPECT_EQ(l.verdict, FitLine::Verdict::good)
        << l.what << ": " << l.source.value_or(0) << " and " << l.fitted.value_or(0) << ", " << l.good_when;
  }
}

constexpr std::string_view chat =
    R"("prompt_tokens": {"law": "lognormal", "median": 400, "sigma": 0.8, "min": 20,
  "max": 8000}, "output_tokens": {"law": "lognormal", "median": 200, "sigma": 0.7, "min": 5, "max": 2000},
  "session": {"turns": {"law": "zipf", "exponent": 1.2, "min": 1, "max": 20},
  "turn_gap": {"law": "lognormal", "median": "40s", "sigma": 0.8, "min": "2s", "max": "10m"},
  "user_tokens": {"law": "lognormal", "median": 60, "sigma": 0.9, "min": 3, "max": 2000}})";

TEST(FindSessions, finds_all_of_long_conversations) {
  for (const std::int32_t block : {16, 64, 512}) {
    const Known known = drawn("poisson hold(2/s,20m)", std::string{chat}, block);
    const SessionForest forest = find_sessions(known.trace, PromptIndex{known.trace}, 0);
    // Of turns that fit into one block not all can be told apart from strangers.
    EXPECT_NEAR(static_cast<double>(forest.follow_ups), static_cast<double>(known.follow_ups),
                (block == 512 ? 0.2 : 0.002) * static_cast<double>(known.follow_ups))
        << block;
    EXPECT_TRUE(forest.keeps_answers);
    std::size_t forks = 0;
    for (std::size_t i = 0; i < known.trace.size(); ++i) forks += forest.is_fork(i) ? 1 : 0;
    EXPECT_LE(forks, known.follow_ups / 200);
  }
}

TEST(FindSessions, finds_none_among_strangers) {
  // Documents that others ask about too, with questions shorter than a block and longer.
  const Known known =
      drawn("poisson hold(5/s,10m)", R"("prompt_tokens": {"law": "uniform", "min": 5, "max": 90},
    "output_tokens": {"law": "uniform", "min": 20, "max": 400}, "system_prompt_tokens": 128,
    "prefix_pools": [{"count": 40, "tokens": {"law": "uniform", "min": 500, "max": 3000}, "zipf": 0.8}])");
  EXPECT_LT(find_sessions(known.trace, PromptIndex{known.trace}, 128).follow_ups, known.trace.size() / 50);
}

TEST(FitSessions, writes_chats_as_sessions_with_their_laws) {
  const Known known = drawn("poisson hold(3/s,40m)", std::string{chat});
  const auto fit = fit_trace(known.trace, {});
  ASSERT_TRUE(fit) << fit.error().message;
  ASSERT_TRUE(fit->as_sessions) << fit->why;
  expect_good(*fit, {"input and output, rank correlation"});
  const auto law =
      profiles::parse_workload(R"({"schema":"dsbench.workload/1",)" + std::string{chat} + "}", "known");
  EXPECT_NEAR(fit->sessions->mean_turns, profiles::mean_of(law->session->turns), 0.15);
  EXPECT_NEAR(fit->sessions->gap_p50_s, 40, 2);
  EXPECT_NEAR(fit->sessions->user_p50, 60, 3);
}

// The trace ends when many conversations are under way: what nobody saw is no end of theirs.
TEST(FitSessions, knows_that_a_trace_ends_before_its_conversations) {
  const std::string slow = R"("prompt_tokens": {"law": "uniform", "min": 100, "max": 900},
    "output_tokens": {"law": "uniform", "min": 5, "max": 300},
    "session": {"turns": {"law": "uniform", "min": 2, "max": 6},
    "turn_gap": {"law": "lognormal", "median": "6m", "sigma": 0.8, "min": "2s", "max": "28m"},
    "user_tokens": {"law": "uniform", "min": 3, "max": 200}})";
  const Known known = drawn("poisson hold(3/s,30m)", slow);
  const auto fit = fit_trace(known.trace, {});
  ASSERT_TRUE(fit) << fit.error().message;
  ASSERT_TRUE(fit->as_sessions) << fit->why;
  const double seen =
      1 + static_cast<double>(known.follow_ups) / static_cast<double>(known.trace.size() - known.follow_ups);
  EXPECT_LT(seen, 3);
  EXPECT_NEAR(fit->sessions->mean_turns, 4, 0.4);
  EXPECT_NEAR(fit->sessions->gap_p50_s, 360, 36);
  expect_good(*fit, {"input and output, rank correlation"});
}

TEST(FitSessions, writes_few_sessions_among_many_single_requests) {
  const Known known = drawn("poisson hold(4/s,30m)", R"("classes": [
    {"name": "single", "weight": 92, "prompt_tokens": {"law": "lognormal", "median": 900, "sigma": 0.9, "min": 20,
     "max": 20000}, "output_tokens": {"law": "lognormal", "median": 200, "sigma": 0.7, "min": 5, "max": 2000}},
    {"name": "chats", "weight": 8, )" + std::string{chat} +
                                                         "}]");
  const auto fit = fit_trace(known.trace, {});
  ASSERT_TRUE(fit) << fit.error().message;
  ASSERT_TRUE(fit->as_sessions) << fit->why;
  expect_good(*fit, {"input and output, rank correlation"});
}

TEST(FitSessions, leaves_what_needs_no_sessions_as_it_was) {
  for (const std::string workload : {
           R"("prompt_tokens": {"law": "uniform", "min": 5, "max": 900}, "output_tokens": 40,
              "prefix_pools": [{"count": 200, "tokens": {"law": "uniform", "min": 500, "max": 3000}, "zipf": 0.8}])",
           R"("prompt_tokens": {"law": "lognormal", "median": 900, "sigma": 0.9, "min": 20, "max": 20000},
              "output_tokens": {"law": "uniform", "min": 20, "max": 400}, "system_prompt_tokens": 512)",
           R"("prompt_tokens": {"law": "uniform", "min": 5, "max": 90}, "system_prompt_tokens": 256,
              "output_tokens": {"law": "uniform", "min": 1, "max": 40},
              "prefix_pools": [{"count": 3000, "tokens": {"law": "uniform", "min": 100, "max": 3000}, "zipf": 0.5}])"}) {
    const Known known = drawn("poisson hold(5/s,10m)", workload, 64);
    const auto fit = fit_trace(known.trace, {});
    ASSERT_TRUE(fit) << fit.error().message;
    EXPECT_FALSE(fit->as_sessions) << fit->why;
    FitOptions none;
    none.sessions = FitOptions::Sessions::no;
    const auto plain = fit_trace(known.trace, none);
    EXPECT_EQ(fit->workload_json, plain->workload_json);
    EXPECT_EQ(fit->traffic_json, plain->traffic_json);
  }
}

TEST(FitSessions, keeps_the_hits_of_conversations_that_branch) {
  std::string forking{chat};
  forking.insert(forking.size() - 1,
                 R"(, "forks": {"share": 0.2, "turns": {"law": "uniform", "min": 1, "max": 3}})");
  const Known known = drawn("poisson hold(2/s,30m)", forking);
  const auto fit = fit_trace(known.trace, {});
  ASSERT_TRUE(fit) << fit.error().message;
  ASSERT_TRUE(fit->as_sessions) << fit->why;
  EXPECT_NEAR(fit->sessions->fork_share, 0.2, 0.03);
  EXPECT_NEAR(static_cast<double>(fit->sessions->requests), static_cast<double>(known.follow_ups),
              0.005 * static_cast<double>(known.follow_ups));
  expect_good(*fit, {"input and output, rank correlation"});
}

TEST(FitSessions, keeps_tenants_with_prompts_and_habits_of_their_own_apart) {
  const Known known = drawn("poisson hold(4/s,30m)", R"("classes": [
    {"name": "a", "weight": 50, "system_prompt_tokens": 2048, )" +
                                                         std::string{chat} + R"(},
    {"name": "b", "weight": 30, "system_prompt_tokens": 512,
     "prompt_tokens": {"law": "uniform", "min": 2000, "max": 6000}, "output_tokens": {"law": "uniform", "min": 5, "max": 60},
     "session": {"turns": {"law": "uniform", "min": 3, "max": 9}, "turn_gap": {"law": "uniform", "min": "1s", "max": "9s"},
      "user_tokens": {"law": "uniform", "min": 200, "max": 900}}},
    {"name": "c", "weight": 20, "prompt_tokens": {"law": "uniform", "min": 200, "max": 600},
     "output_tokens": {"law": "uniform", "min": 5, "max": 60}}])");
  const auto fit = fit_trace(known.trace, {});
  ASSERT_TRUE(fit) << fit.error().message;
  ASSERT_TRUE(fit->as_sessions) << fit->why;
  expect_good(*fit, {"input and output, rank correlation"});
}

TEST(FitSessions, sees_that_answers_are_not_sent_again) {
  std::string silent{chat};
  silent.insert(silent.size() - 1, R"(, "keeps_answers": false)");
  const Known known = drawn("poisson hold(3/s,20m)", silent);
  const auto fit = fit_trace(known.trace, {});
  ASSERT_TRUE(fit) << fit.error().message;
  ASSERT_TRUE(fit->as_sessions) << fit->why;
  EXPECT_FALSE(fit->sessions->keeps_answers);
  EXPECT_NE(fit->workload_json.find("\"keeps_answers\": false"), std::string::npos);
  expect_good(*fit, {"input and output, rank correlation"});
}

// Eight requests at once from one context: agents that fan out. Their classes are many, and alike.
TEST(FitSessions, keeps_the_hits_of_agents_that_fan_out) {
  TraceBuilder builder{"known", TraceFormat::mooncake, 512, 1};
  Rng draw{3, "agents"};
  std::uint64_t fresh = 1;
  for (int agent = 0; agent < 80; ++agent) {
    std::vector<std::uint64_t> context;
    while (context.size() < 12) context.push_back(fresh++);
    TraceRequest request;
    request.at = from_seconds(7 * agent);
    request.input_tokens = 12 * 512;
    request.output_tokens = 300;
    request.prefix_hashes = context;
    builder.add(request);
    for (int branch = 0; branch < 8; ++branch) {
      request.prefix_hashes = context;
      for (std::uint64_t own = 1 + draw.below(3); own > 0; --own) request.prefix_hashes.push_back(fresh++);
      request.at = from_seconds(7 * agent + 4 + draw.uniform());
      request.input_tokens = static_cast<std::int32_t>(512 * request.prefix_hashes.size() - draw.below(400));
      request.output_tokens = static_cast<std::int32_t>(5 + draw.below(300));
      builder.add(request);
    }
  }
  const auto fit = fit_trace(builder.finish({}), {});
  ASSERT_TRUE(fit) << fit.error().message;
  for (const FitLine& l : fit->lines) {
    if (l.what.starts_with("ideal") || l.what == "requests" || l.what == "input mean") {
      EXPECT_EQ(l.verdict, FitLine::Verdict::good) << l.what << ": " << l.fitted.value_or(0);
    }
  }
}

// The copies that --rate-scale lays over a trace share no prefix: they found each other's in the source's own
// figure, and the fit was blamed for it.
TEST(Fit, tells_the_copies_of_a_superposition_apart) {
  Known known = drawn("poisson hold(2/s,10m)", std::string{chat});
  const double once = fit_trace(known.trace, {})->hit_share.value();
  scale_rate(known.trace, 3);
  EXPECT_NEAR(fit_trace(known.trace, {})->hit_share.value(), once, 0.01);
}

TEST(FitSessions, refuses_to_write_sessions_where_there_are_none) {
  const Known known =
      drawn("poisson hold(5/s,2m)", R"("prompt_tokens": {"law": "uniform", "min": 5, "max": 900},
    "output_tokens": 40)");
  FitOptions options;
  options.sessions = FitOptions::Sessions::yes;
  const auto fit = fit_trace(known.trace, options);
  ASSERT_FALSE(fit);
  EXPECT_EQ(fit.error().message,
            "sessions were asked for; found 0 requests that go on from another; accepted: at least 20");
}

}  // namespace
}  // namespace dsbench::loadgen
