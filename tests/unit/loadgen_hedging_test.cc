#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "loadgen/load_machine.h"
#include "tests/fakes/kept_records.h"

// What a machine does beyond one target and one attempt at a time: hedges, patience, budgets and breakers.
namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::never;
using results::ProviderChange;
using results::Reason;
using results::RequestRecord;

Attempt source(std::uint64_t) {
  Attempt a;
  a.prompt_tokens = 10;
  a.output_tokens = 3;
  return a;
}

using Kept = fakes::KeptRecords;

struct Bench {
  explicit Bench(const ClientPolicy& policy) : machine{policy, source, 7, 0, kept} {}
  void arrive(Nanos due, std::uint64_t request = 0) {
    const std::vector<Arrival> one{{request, due, 0}};
    machine.add(one);
  }
  void time(Nanos now) {
    std::vector<Action> actions;
    machine.on_time(now, actions);
    take(actions);
  }
  void feed(EventKind kind, Nanos at, std::uint32_t attempt = 0, Reason reason = Reason::ok,
            std::uint64_t request = 0) {
    TargetEvent e;
    e.kind = kind;
    e.at = at;
    e.request = request;
    e.attempt = attempt;
    e.tokens = kind == EventKind::tokens ? 1 : 0;
    e.reason = reason;
    std::vector<Action> actions;
    machine.on_event(e, actions);
    take(actions);
  }
  void take(const std::vector<Action>& actions) {
    for (const Action& a : actions) {
      said += fmt::format("{}{} {}/{}@{}", said.empty() ? "" : ", ",
                          a.kind == Action::Kind::start ? "start" : "cancel", a.attempt.request,
                          a.attempt.attempt, a.attempt.provider);
    }
  }
  std::string heard() { return std::exchange(said, {}); }
  // "0 superseded, 1 ok"
  std::string attempts() const {
    std::string text;
    for (const auto& a : kept.attempts) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", a.attempt, to_word(a.reason));
    }
    return text;
  }

  Kept kept;
  LoadMachine machine;
  std::string said;
};

ClientPolicy hedged(std::uint16_t providers = 1) {
  ClientPolicy p;
  p.hedge = HedgeLaw{100ms, std::nullopt};
  p.routing.providers = providers;
  return p;
}

// ---- hedging

// The winner's token was received before the hedge was sent, and read after: no attempt ends before it began.
TEST(Hedging, ALoserDoesNotEndBeforeItWasSent) {
  Bench b{hedged(2)};
  b.arrive(1s);
  b.time(1s);
  b.feed(EventKind::sent, 1s);
  b.time(1100ms);
  b.feed(EventKind::sent, 1112ms, 1);
  b.feed(EventKind::tokens, 1110ms, 0);
  EXPECT_EQ(b.heard(), "start 0/0@0, start 0/1@1, cancel 0/1@1");
  ASSERT_EQ(b.attempts(), "1 superseded");
  EXPECT_EQ(b.kept.attempts[0].sent, 1112ms);
  EXPECT_EQ(b.kept.attempts[0].done, 1112ms);
}

TEST(Hedging, TheHedgeWins) {
  Bench b{hedged(2)};
  b.arrive(1s);
  b.time(1s);
  b.feed(EventKind::sent, 1s);
  EXPECT_EQ(b.machine.next_deadline(), 1100ms);
  b.time(1100ms);
  EXPECT_EQ(b.heard(), "start 0/0@0, start 0/1@1") << "at another provider";
  b.feed(EventKind::sent, 1101ms, 1);
  b.feed(EventKind::tokens, 1150ms, 1);
  EXPECT_EQ(b.heard(), "cancel 0/0@0");
  b.feed(EventKind::tokens, 1160ms, 0);  // too late
  b.feed(EventKind::tokens, 1170ms, 1);
  b.feed(EventKind::done, 1180ms, 1);
  EXPECT_EQ(b.machine.in_flight(), 0u);
  EXPECT_EQ(b.attempts(), "0 superseded, 1 ok");
  EXPECT_EQ(b.kept.attempts[0].done, 1150ms);
  EXPECT_EQ(b.kept.attempts[1].due, 1100ms);
  EXPECT_EQ(b.kept.attempts[1].provider, 1);
  EXPECT_EQ(b.kept.attempts[1].output_tokens, 2);
  ASSERT_EQ(b.kept.requests.size(), 1u);
  const RequestRecord& r = b.kept.requests[0];
  EXPECT_EQ(r.attempts, 2u);
  EXPECT_EQ(r.reason, Reason::ok);
  EXPECT_EQ(r.provider, 1);
  EXPECT_EQ(r.due, 1s);
  EXPECT_EQ(r.sent, 1s);
  EXPECT_EQ(r.final_sent, 1101ms);
  EXPECT_EQ(r.first_token, 1150ms);
  EXPECT_EQ(b.machine.next_deadline(), std::nullopt);
}

TEST(Hedging, TheFirstWins) {
  Bench b{hedged()};
  b.arrive(0s);
  b.time(0s);
  b.time(100ms);
  b.feed(EventKind::tokens, 150ms, 0);
  EXPECT_EQ(b.heard(), "start 0/0@0, start 0/1@0, cancel 0/1@0");
  b.feed(EventKind::tokens, 160ms, 1);
  b.feed(EventKind::done, 170ms, 0);
  EXPECT_EQ(b.attempts(), "1 superseded, 0 ok");
  EXPECT_EQ(b.kept.requests[0].attempts, 2u);
}

TEST(Hedging, NoneWhenTheTokenIsInTime) {
  Bench b{hedged()};
  b.arrive(0s);
  b.time(0s);
  b.feed(EventKind::tokens, 99ms);
  b.time(10s);
  EXPECT_EQ(b.heard(), "start 0/0@0");
}

TEST(Hedging, OneOfTheTwoFails) {
  for (const std::uint32_t loser : {0u, 1u}) {
    ClientPolicy p = hedged();
    p.retry.max_retries = 2;
    Bench b{p};
    b.arrive(0s);
    b.time(0s);
    b.time(100ms);
    b.feed(EventKind::failed, 120ms, loser, Reason::http_503);
    EXPECT_EQ(b.machine.in_flight(), 1u);
    b.feed(EventKind::tokens, 150ms, 1 - loser);
    b.feed(EventKind::done, 160ms, 1 - loser);
    EXPECT_EQ(b.heard(), "start 0/0@0, start 0/1@0") << "no retry while the other is at it";
    EXPECT_EQ(b.attempts(), fmt::format("{} http_503, {} ok", loser, 1 - loser));
    EXPECT_EQ(b.kept.requests[0].reason, Reason::ok);
  }
}

TEST(Hedging, BothFailAndTheRetryGoesOn) {
  ClientPolicy p = hedged();
  p.retry.max_retries = 1;
  p.retry.jitter_law = Jitter::none;
  Bench b{p};
  b.arrive(0s);
  b.time(0s);
  b.time(100ms);
  b.feed(EventKind::failed, 120ms, 1, Reason::http_503);
  b.feed(EventKind::failed, 130ms, 0, Reason::http_503);
  b.time(630ms);
  EXPECT_EQ(b.heard(), "start 0/0@0, start 0/1@0, start 0/2@0");
  b.feed(EventKind::failed, 700ms, 2, Reason::http_503);
  EXPECT_EQ(b.attempts(), "1 http_503, 0 http_503, 2 http_503");
  EXPECT_EQ(b.kept.requests[0].attempts, 3u);
  EXPECT_EQ(b.machine.in_flight(), 0u);
}

TEST(Hedging, EachOfTheTwoHasItsOwnTimeout) {
  ClientPolicy p = hedged();
  p.first_token_timeout = 500ms;
  Bench b{p};
  b.arrive(0s);
  b.time(0s);
  b.time(100ms);
  (void)b.heard();
  b.time(500ms + 100ms);  // both are over: 100 + 500
  EXPECT_EQ(b.heard(), "cancel 0/0@0, cancel 0/1@0");
  EXPECT_EQ(b.attempts(), "0 first_token_timeout, 1 first_token_timeout");
  EXPECT_EQ(b.kept.attempts[0].done, 500ms);
  EXPECT_EQ(b.kept.attempts[1].done, 600ms);
  EXPECT_EQ(b.kept.requests[0].reason, Reason::first_token_timeout);
}

TEST(Hedging, AbandonEndsBoth) {
  Bench b{hedged()};
  b.arrive(0s);
  b.time(0s);
  b.time(100ms);
  (void)b.heard();
  std::vector<Action> actions;
  b.machine.abandon(200ms, actions);
  b.take(actions);
  EXPECT_EQ(b.heard(), "cancel 0/1@0, cancel 0/0@0");
  EXPECT_EQ(b.attempts(), "1 interrupted, 0 interrupted");
  EXPECT_EQ(b.machine.in_flight(), 0u);
}

// ---- patience

TEST(People, LeaveWhenNoTokenCameInTime) {
  ClientPolicy p;
  p.patience = Patience{Patience::Law::constant, 2s, 1};
  Bench b{p};
  b.arrive(1s);
  b.time(1500ms);  // we are late; they have waited since they clicked
  EXPECT_EQ(b.machine.next_deadline(), 3s);
  b.time(3s);
  EXPECT_EQ(b.heard(), "start 0/0@0, cancel 0/0@0");
  EXPECT_EQ(b.kept.attempts[0].reason, Reason::abandoned);
  EXPECT_EQ(b.kept.attempts[0].done, 3s);
  EXPECT_EQ(b.kept.requests[0].reason, Reason::abandoned);
}

TEST(People, StayOnceItHasBegun) {
  ClientPolicy p;
  p.patience = Patience{Patience::Law::constant, 2s, 1};
  Bench b{p};
  b.arrive(0s);
  b.time(0s);
  b.feed(EventKind::tokens, 1999ms);
  EXPECT_EQ(b.machine.next_deadline(), std::nullopt);
  b.feed(EventKind::done, 60s);
  EXPECT_EQ(b.kept.requests[0].reason, Reason::ok);
}

TEST(People, LeaveWhileTheClientWaitsForItsRetry) {
  ClientPolicy p;
  p.patience = Patience{Patience::Law::constant, 2s, 1};
  p.retry.max_retries = 2;
  p.retry.initial = 5s;
  p.retry.jitter_law = Jitter::none;
  p.budget = RetryBudgetLaw{RetryBudgetLaw::Kind::concurrent, 0, 1, 10s};
  Bench b{p};
  b.arrive(0s, 0);
  b.time(0s);
  b.feed(EventKind::failed, 1s, 0, Reason::http_503);
  EXPECT_EQ(b.machine.next_deadline(), 2s);
  b.time(2s);
  EXPECT_EQ(b.kept.requests.at(0).reason, Reason::abandoned);
  EXPECT_EQ(b.kept.requests[0].done, 2s);
  EXPECT_EQ(b.attempts(), "0 http_503");
  // The place in the budget is free again: the next request may wait for a retry.
  b.arrive(3s, 1);
  b.time(3s);
  b.feed(EventKind::failed, 3500ms, 0, Reason::http_503, 1);
  EXPECT_EQ(b.machine.in_flight(), 1u);
}

TEST(People, AreAsPatientAsTheSeedSays) {
  ClientPolicy p;
  p.patience = Patience{Patience::Law::exponential, 5s, 1};
  std::vector<Nanos> ends[2];
  for (auto& end : ends) {
    Bench b{p};
    for (std::uint64_t i = 0; i < 200; ++i) b.arrive(Nanos{static_cast<std::int64_t>(i)}, i);
    b.time(1000s);
    for (const auto& r : b.kept.requests) end.push_back(r.done - r.due);
  }
  ASSERT_EQ(ends[0].size(), 200u);
  EXPECT_EQ(ends[0], ends[1]);
  double mean = 0;
  for (const Nanos e : ends[0]) mean += to_seconds(e) / 200;
  EXPECT_NEAR(mean, 5, 5 * 5 / std::sqrt(200.0));
}

// ---- keep-alive comments

TEST(KeepAlive, FeedsAReadTimeoutOnlyWhereTheClientCountsAnyByte) {
  for (const bool feeds : {false, true}) {
    ClientPolicy p;
    p.first_token_timeout = 1s;
    p.stall_timeout = 1s;
    p.comments_feed_timeout = feeds;
    Bench b{p};
    b.arrive(0s);
    b.time(0s);
    b.feed(EventKind::first_byte, 500ms);
    b.feed(EventKind::alive, 900ms);
    EXPECT_EQ(b.machine.next_deadline(), feeds ? 1900ms : 1000ms);
    if (!feeds) continue;
    b.feed(EventKind::tokens, 1800ms);
    b.feed(EventKind::alive, 2700ms);
    EXPECT_EQ(b.machine.next_deadline(), 3700ms);
    b.feed(EventKind::tokens, 3600ms);
    b.time(4600ms);
    EXPECT_EQ(b.kept.requests.at(0).reason, Reason::stall_timeout);
    EXPECT_EQ(b.kept.attempts[0].gaps, (std::vector<Nanos>{1800ms})) << "a comment is no token";
  }
}

// ---- budgets and breakers

TEST(Budget, EndsTheRequestWithItsFailure) {
  ClientPolicy p;
  p.retry.max_retries = 5;
  p.budget = RetryBudgetLaw{RetryBudgetLaw::Kind::deposits, 0.5, 0, 10s};
  Bench b{p};
  for (std::uint64_t i = 0; i < 4; ++i) b.arrive(0s, i);
  b.time(0s);
  for (std::uint64_t i = 0; i < 4; ++i) b.feed(EventKind::failed, 1ms, 0, Reason::http_503, i);
  EXPECT_EQ(b.machine.in_flight(), 2u) << "four requests have paid for two retries";
  EXPECT_EQ(b.kept.requests.size(), 2u);
  EXPECT_EQ(b.kept.requests[0].reason, Reason::http_503);
}

TEST(ClientBreaker, RefusesWithoutSending) {
  ClientPolicy p;
  p.routing.breaker.consecutive_failures = 2;
  p.routing.breaker.open_for = 10s;
  p.routing.refuse_when_all_open = true;
  Bench b{p};
  for (std::uint64_t i = 0; i < 3; ++i) {
    b.arrive(1s * static_cast<int>(i), i);
    b.time(1s * static_cast<int>(i));
    b.feed(EventKind::failed, 1s * static_cast<int>(i), 0, Reason::connect_failed, i);
  }
  EXPECT_EQ(b.heard(), "start 0/0@0, start 1/0@0");
  ASSERT_EQ(b.kept.requests.size(), 3u);
  EXPECT_EQ(b.kept.requests[2].reason, Reason::breaker_open);
  EXPECT_EQ(b.kept.attempts[2].sent, never);
  EXPECT_EQ(b.machine.unsent(), 0u) << "it is the client's decision, not our poverty";
  ASSERT_EQ(b.kept.decisions.size(), 1u);
  EXPECT_EQ(b.kept.decisions[0].change, ProviderChange::ejected);
  EXPECT_EQ(b.kept.decisions[0].at, 1s);
}

}  // namespace
}  // namespace dsbench::loadgen
