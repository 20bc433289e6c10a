#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/rng.h"
#include "loadgen/breaker.h"
#include "loadgen/from_profiles.h"
#include "loadgen/hedging.h"
#include "loadgen/patience.h"
#include "loadgen/retry_budget.h"
#include "profiles/catalog.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;

// ---- patience

TEST(Patience, QuantilesAreThoseOfTheLaws) {
  using Law = Patience::Law;
  EXPECT_EQ(patience_at({Law::constant, 3s, 1}, 0.123), 3s);
  // Exponential: the median is mean · ln 2.
  EXPECT_NEAR(to_seconds(patience_at({Law::exponential, 10s, 1}, 0.5)), 10 * std::log(2.0), 1e-6);
  // Lognormal: the scale is the median; one standard deviation up is a factor e^shape.
  EXPECT_NEAR(to_seconds(patience_at({Law::lognormal, 8s, 0.8}, 0.5)), 8, 1e-6);
  EXPECT_NEAR(to_seconds(patience_at({Law::lognormal, 8s, 0.8}, 0.8413447460685429)), 8 * std::exp(0.8),
              1e-5);
  // Weibull: 1 − 1/e have left at the scale, whatever the shape.
  EXPECT_NEAR(to_seconds(patience_at({Law::weibull, 5s, 2}, 1 - std::exp(-1.0))), 5, 1e-6);
  EXPECT_NEAR(to_seconds(patience_at({Law::weibull, 5s, 2}, 0.5)), 5 * std::sqrt(std::log(2.0)), 1e-6);
  EXPECT_LE(patience_at({Law::lognormal, 3600s, 50}, 0.999999), Nanos{3'000'000'000'000'000'000});
}

// ---- retry budget

RetryBudgetLaw finagle() {
  RetryBudgetLaw law;
  law.minimum = 0;
  return law;
}

TEST(RetryBudget, AFifthOfTheRequestsMayBeRetried) {
  RetryBudget budget{finagle()};
  int taken = 0;
  for (int i = 0; i < 1000; ++i) {
    const Nanos now = 5ms * i;
    budget.request_began(now);
    if (budget.take(now, 1)) ++taken;
  }
  EXPECT_EQ(taken, 200);
}

TEST(RetryBudget, DepositsAreForgottenAfterTheirTime) {
  RetryBudget budget{finagle()};
  for (int i = 0; i < 100; ++i) budget.request_began(0s);
  EXPECT_TRUE(budget.take(8999ms, 1));
  EXPECT_FALSE(budget.take(10s, 1));
}

TEST(RetryBudget, TheMinimumIsThereWithoutRequests) {
  RetryBudgetLaw law;
  law.minimum = 10;
  RetryBudget budget{law};
  int taken = 0;
  while (budget.take(1s, 1)) ++taken;
  EXPECT_EQ(taken, 100) << "10 a second for 10 s";
  EXPECT_FALSE(budget.take(2s, 1));
  EXPECT_TRUE(budget.take(11s, 1)) << "what was taken is forgotten as well";
}

TEST(RetryBudget, ConcurrentRetriesAreAShareOfWhatIsActive) {
  RetryBudgetLaw law;
  law.kind = RetryBudgetLaw::Kind::concurrent;
  law.minimum = 3;
  RetryBudget budget{law};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take(0s, 1));
  EXPECT_FALSE(budget.take(0s, 1));
  EXPECT_FALSE(budget.take(0s, 19)) << "a fifth of 19 is 3";
  EXPECT_TRUE(budget.take(0s, 20));
  EXPECT_FALSE(budget.take(0s, 20));
  budget.retry_ended();
  EXPECT_TRUE(budget.take(0s, 20));
}

// ---- hedging

TEST(HedgeTimer, ByAQuantileOfWhatWasSeenLately) {
  HedgeTimer timer{{2s, 0.95}};
  EXPECT_EQ(timer.wait(), 2s) << "nothing is known yet";
  for (int i = 1; i <= 19; ++i) timer.first_token_after(1ms * i);
  EXPECT_EQ(timer.wait(), 2s);
  for (int i = 20; i <= 100; ++i) timer.first_token_after(1ms * i);
  EXPECT_EQ(timer.wait(), 95ms);
  for (int i = 0; i < 256; ++i) timer.first_token_after(7ms);
  EXPECT_EQ(timer.wait(), 7ms) << "the last 256 only";
  HedgeTimer only_quantile{{std::nullopt, 0.5}};
  EXPECT_EQ(only_quantile.wait(), std::nullopt);
}

// ---- breaker

Breaker::Change fail_once(Breaker& b, Nanos at) {
  Breaker::Ticket t = b.begin(at);
  return b.ended(t, at, Breaker::Outcome::failed);
}
Breaker::Change succeed(Breaker& b, Nanos at) {
  Breaker::Ticket t = b.begin(at);
  const auto at_token = b.first_token(t, at, 1ms);
  const auto at_end = b.ended(t, at, Breaker::Outcome::whole);
  return at_token != Breaker::Change::none ? at_token : at_end;
}

BreakerLaw three_in_a_row() {
  BreakerLaw law;
  law.consecutive_failures = 3;
  law.open_for = 5s;
  return law;
}

TEST(Breaker, WithoutARuleItNeverOpens) {
  Breaker b{{}};
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(fail_once(b, 1ms * i), Breaker::Change::none);
  EXPECT_EQ(b.state(1s), Breaker::State::closed);
}

TEST(Breaker, OpensProbesAndCloses) {
  Breaker b{three_in_a_row()};
  EXPECT_EQ(fail_once(b, 1s), Breaker::Change::none);
  EXPECT_EQ(fail_once(b, 1s), Breaker::Change::none);
  EXPECT_EQ(succeed(b, 1s), Breaker::Change::none) << "begins the row anew";
  EXPECT_EQ(fail_once(b, 2s), Breaker::Change::none);
  EXPECT_EQ(fail_once(b, 2s), Breaker::Change::none);
  EXPECT_EQ(fail_once(b, 2s), Breaker::Change::opened);
  EXPECT_EQ(b.state(6999ms), Breaker::State::open);
  EXPECT_FALSE(b.wants_probe(6999ms));
  EXPECT_EQ(b.state(7s), Breaker::State::half_open);
  ASSERT_TRUE(b.wants_probe(7s));
  Breaker::Ticket probe = b.begin(7s);
  EXPECT_TRUE(probe.probe);
  EXPECT_FALSE(b.wants_probe(7s)) << "one at a time";
  EXPECT_EQ(b.ended(probe, 8s, Breaker::Outcome::failed), Breaker::Change::reopened);
  EXPECT_EQ(b.state(12999ms), Breaker::State::open);
  probe = b.begin(13s);
  EXPECT_EQ(b.first_token(probe, 14s, 1s), Breaker::Change::closed);
  EXPECT_EQ(b.state(14s), Breaker::State::closed);
  EXPECT_EQ(b.closed_at(), 14s);
  EXPECT_EQ(b.ended(probe, 15s, Breaker::Outcome::failed), Breaker::Change::none) << "counted already";
}

TEST(Breaker, WhatBeganBeforeDoesNotCount) {
  Breaker b{three_in_a_row()};
  Breaker::Ticket old = b.begin(0s);
  for (int i = 0; i < 3; ++i) (void)fail_once(b, 1s);
  EXPECT_EQ(b.ended(old, 2s, Breaker::Outcome::whole), Breaker::Change::none);
  EXPECT_EQ(b.state(2s), Breaker::State::open);
}

TEST(Breaker, AProbeThatSaysNothingMakesRoomForAnother) {
  Breaker b{three_in_a_row()};
  for (int i = 0; i < 3; ++i) (void)fail_once(b, 0s);
  Breaker::Ticket probe = b.begin(5s);
  EXPECT_FALSE(b.wants_probe(5s));
  EXPECT_EQ(b.ended(probe, 6s, Breaker::Outcome::neither), Breaker::Change::none);
  EXPECT_TRUE(b.wants_probe(6s));
}

TEST(Breaker, AShareOfAWindow) {
  BreakerLaw law;
  law.failure_share = 0.5;
  law.window = 10s;
  law.window_attempts = 20;
  Breaker b{law};
  for (int i = 0; i < 9; ++i) EXPECT_EQ(fail_once(b, 1s), Breaker::Change::none);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(succeed(b, 2s), Breaker::Change::none);
  EXPECT_EQ(fail_once(b, 3s), Breaker::Change::opened) << "10 of 20";
  Breaker later{law};
  for (int i = 0; i < 19; ++i) EXPECT_EQ(fail_once(later, 1s), Breaker::Change::none);
  EXPECT_EQ(fail_once(later, 12s), Breaker::Change::none) << "the others are forgotten";
}

TEST(Breaker, ASlowFirstTokenIsAFailure) {
  BreakerLaw law = three_in_a_row();
  law.slow_first_token = 2s;
  Breaker b{law};
  for (int i = 0; i < 3; ++i) {
    Breaker::Ticket t = b.begin(1s);
    const auto change = b.first_token(t, 4s, 3s);
    EXPECT_EQ(change, i == 2 ? Breaker::Change::opened : Breaker::Change::none);
    EXPECT_EQ(b.ended(t, 5s, Breaker::Outcome::whole), Breaker::Change::none) << "counted once";
  }
}

// A provider that begins every answer and breaks each off is not healthy in between.
TEST(Breaker, BrokenStreamsAreARowOfFailures) {
  Breaker b{three_in_a_row()};
  Breaker::Change last = Breaker::Change::none;
  for (int i = 0; i < 3; ++i) {
    Breaker::Ticket t = b.begin(1s);
    EXPECT_EQ(b.first_token(t, 1s, 1ms), Breaker::Change::none);
    last = b.ended(t, 1s, Breaker::Outcome::failed);
  }
  EXPECT_EQ(last, Breaker::Change::opened);
}

// ---- profiles

TEST(ClientProfile, EveryShippedOneReadsBackAsItWas) {
  for (const auto name : profiles::shipped_names("client")) {
    const auto client = profiles::load_client(name);
    ASSERT_TRUE(client) << client.error().message;
    const std::string json = to_json(*client);
    const auto again = profiles::parse_client(json, "again");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(to_json(*again), json);
  }
}

TEST(ClientProfile, AllOfItReachesThePolicy) {
  const auto client = profiles::parse_client(R"({"schema": "dsbench.client/1", "comments_feed_timeout": true,
    "patience": {"law": "weibull", "scale": "4s", "shape": 2},
    "retry": {"max_retries": 5, "growth": "linear", "jitter_law": "decorrelated", "statuses": "429, 5xx",
              "beyond_limit": "own_delay", "broken_streams": true},
    "budget": {"kind": "concurrent", "share": 0.3, "minimum": 4},
    "hedge": {"quantile": 0.9},
    "breaker": {"failure_share": 0.25, "window": "20s", "window_attempts": 40, "slow_first_token": "6s",
                "open_for": "3s", "probes": 2, "probe_successes": 4, "hold": "30s", "when_all_open": "refuse"}})",
                                             "test");
  ASSERT_TRUE(client) << client.error().message;
  const ClientPolicy p = policy_of(*client);
  EXPECT_TRUE(p.comments_feed_timeout);
  ASSERT_TRUE(p.patience && p.budget && p.hedge);
  EXPECT_EQ(p.patience->law, Patience::Law::weibull);
  EXPECT_EQ(p.patience->scale, 4s);
  EXPECT_EQ(p.patience->shape, 2);
  EXPECT_EQ(p.retry.growth, Growth::linear);
  EXPECT_EQ(p.retry.jitter_law, Jitter::decorrelated);
  EXPECT_TRUE(p.retry.own_delay_beyond_limit);
  EXPECT_TRUE(p.retry.after_broken_streams);
  EXPECT_EQ(p.budget->kind, RetryBudgetLaw::Kind::concurrent);
  EXPECT_EQ(p.budget->minimum, 4);
  EXPECT_EQ(p.hedge->quantile, 0.9);
  EXPECT_FALSE(p.hedge->delay);
  EXPECT_EQ(p.routing.breaker.failure_share, 0.25);
  EXPECT_EQ(p.routing.breaker.window_attempts, 40);
  EXPECT_EQ(p.routing.breaker.slow_first_token, 6s);
  EXPECT_EQ(p.routing.breaker.probe_successes, 4);
  EXPECT_EQ(p.routing.breaker.hold, 30s);
  EXPECT_TRUE(p.routing.refuse_when_all_open);
}

TEST(ClientProfile, RefusalsNameTheKey) {
  const auto said = [](const char* json) {
    const auto client = profiles::parse_client(json, "c.json");
    return client ? std::string{} : client.error().message;
  };
  EXPECT_EQ(said(R"({"schema": "dsbench.client/1", "breaker": {"open_for": "1s"}})"),
            "c.json: breaker.consecutive_failures: this breaker never opens; give consecutive_failures, "
            "failure_share, or both");
  EXPECT_EQ(said(R"({"schema": "dsbench.client/1", "hedge": {}})"),
            "c.json: hedge.delay: nothing says when to hedge; give delay, quantile, or both");
  EXPECT_EQ(
      said(R"({"schema": "dsbench.client/1", "retry": {"max_retries": 1, "statuses": "x"}})"),
      "c.json: retry.statuses: 'x' in 'x' is no HTTP status; accepted is a list such as '408, 429, 5xx, "
      "520-527'");
}

}  // namespace
}  // namespace dsbench::loadgen
