#include "engine/fleet/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.h"

namespace dsbench::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kind = FleetEvent::Kind;

constexpr Nanos ms{1'000'000};
constexpr Nanos second{1'000'000'000};

// A step takes 10 ms, plus 1 ms per prompt token, plus 2 ms per decode.
profiles::FleetProfile simple(int replicas = 1) {
  profiles::FleetProfile fleet;
  fleet.hardware.name = "simple";
  fleet.hardware.base_s.value = 0.010;
  fleet.hardware.prefill_token_s.value = 0.001;
  fleet.hardware.decode_token_s.value = 0.002;
  fleet.hardware.max_prefill_tokens.value = 64;
  fleet.hardware.max_decode_tokens.value = 64;
  fleet.hardware.max_kv_tokens.value = 1e6;
  fleet.hardware.kv_capacity_tokens.value = 1024;
  fleet.hardware.block_size.value = 16;
  fleet.hardware.max_running.value = 4;
  fleet.hardware.max_batched_tokens.value = 64;
  fleet.hardware.max_model_len.value = 256;
  fleet.replicas.value = replicas;
  fleet.router = profiles::Router::round_robin;
  fleet.network_rtt.value = 0.004;
  return fleet;
}

std::vector<FleetEvent> run_until_idle(Fleet& fleet) {
  std::vector<FleetEvent> events;
  while (const auto next = fleet.next_event()) fleet.advance(*next, events);
  return events;
}

// "12ms tokens 1" …
std::vector<std::string> show(const std::vector<FleetEvent>& events) {
  static constexpr const char* names[] = {"first_byte", "tokens",        "done",
                                          "rejected",   "queue_timeout", "failed"};
  std::vector<std::string> lines;
  for (const FleetEvent& e : events) {
    std::string line =
        std::to_string(e.key) + ": " + std::to_string(e.at / ms) + "ms " + names[static_cast<int>(e.kind)];
    if (e.tokens != 0) line += " " + std::to_string(e.tokens);
    if (e.http_status != 200) line += " " + std::to_string(e.http_status);
    lines.push_back(line);
  }
  return lines;
}

TEST(Fleet, OneRequestTakesTheTimeOfItsStepsAndTheNetwork) {
  Fleet fleet = Fleet::build(simple()).value();
  EXPECT_EQ(fleet.next_event(), std::nullopt);
  fleet.submit(7, {5, 3}, 100 * ms);
  EXPECT_EQ(fleet.next_event(), 102 * ms);
  // There 2 ms, prefill 10 + 5, back 2; then decodes of 12 each.
  const auto events = run_until_idle(fleet);
  EXPECT_THAT(show(events), ElementsAre("7: 119ms first_byte", "7: 119ms tokens 1", "7: 131ms tokens 1",
                                        "7: 143ms tokens 1", "7: 143ms done"));
  EXPECT_EQ(events.back().prompt_tokens, 5);
  EXPECT_EQ(events.back().output_tokens, 3);
  EXPECT_EQ(fleet.stats().busy, 39 * ms);
  EXPECT_EQ(fleet.stats().generated_tokens, 3);
}

TEST(Fleet, GroupsTokensButNeverHoldsTheFirstOrTheLast) {
  Fleet fleet = Fleet::build(simple(), {.tokens_per_event = 4}).value();
  fleet.submit(1, {1, 8}, Nanos{0});
  EXPECT_THAT(show(run_until_idle(fleet)),
              ElementsAre("1: 15ms first_byte", "1: 15ms tokens 1", "1: 63ms tokens 4", "1: 99ms tokens 3",
                          "1: 99ms done"));
}

TEST(Fleet, RefusesLikeAServer) {
  Fleet fleet = Fleet::build(simple(), {.max_queued = 1}).value();
  fleet.submit(1, {10, 2}, Nanos{0});
  fleet.submit(2, {10, 2}, 1 * ms);  // queued while the first prefills
  fleet.submit(3, {10, 2}, 2 * ms);  // one too many
  fleet.submit(4, {200, 100}, 3 * ms);
  std::vector<FleetEvent> events;
  fleet.advance(7 * ms, events);
  EXPECT_THAT(show(events), ElementsAre("3: 6ms rejected 503", "4: 7ms rejected 400"));
  EXPECT_EQ(fleet.stats().requests_refused, 1);
}

TEST(Fleet, AQueueTimeoutEndsARequestThatNobodyStarted) {
  profiles::FleetProfile profile = simple();
  profile.hardware.max_running.value = 1;
  Fleet fleet = Fleet::build(profile, {.queue_timeout = 20 * ms}).value();
  fleet.submit(1, {20, 2}, Nanos{0});  // runs from 2 to 32 to 44
  fleet.submit(2, {1, 1}, 1 * ms);     // arrives at 3, is let go when the step ends at 32
  EXPECT_THAT(show(run_until_idle(fleet)),
              ElementsAre("1: 34ms first_byte", "1: 34ms tokens 1", "2: 34ms queue_timeout 503",
                          "1: 46ms tokens 1", "1: 46ms done"));
}

TEST(Fleet, RoutesInTurnOrToTheLeastOutstanding) {
  // Long, short, short, short: in turn gives the fourth to the replica with the long one.
  const auto last_done = [](profiles::Router router) {
    profiles::FleetProfile profile = simple(2);
    profile.router = router;
    profile.hardware.max_running.value = 1;
    Fleet fleet = Fleet::build(profile).value();
    std::vector<FleetEvent> events;
    fleet.submit(1, {10, 50}, Nanos{0});
    for (std::uint64_t key = 2; key <= 5; ++key) {
      fleet.submit(key, {10, 1}, key * 100 * ms);
      fleet.advance(key * 100 * ms, events);
    }
    Nanos last{0};
    for (const FleetEvent& e : run_until_idle(fleet)) {
      if (e.kind == Kind::done && e.key != 1) last = std::max(last, e.at);
    }
    return last / ms;
  };
  EXPECT_EQ(last_done(profiles::Router::least_outstanding), 524);
  EXPECT_GT(last_done(profiles::Router::round_robin), 600);
}

TEST(Fleet, CancellingIsFelt) {
  Fleet fleet = Fleet::build(simple()).value();
  fleet.submit(1, {10, 100}, Nanos{0});
  std::vector<FleetEvent> events;
  fleet.advance(200 * ms, events);
  const std::size_t before = events.size();
  EXPECT_GT(before, 5U);
  fleet.cancel(1, 200 * ms);
  fleet.cancel(1, 200 * ms);   // twice is once
  fleet.cancel(99, 200 * ms);  // unknown
  while (const auto next = fleet.next_event()) fleet.advance(*next, events);
  EXPECT_EQ(events.size(), before);
  const EngineStats stats = fleet.stats();
  EXPECT_EQ(stats.requests_finished[static_cast<int>(FinishReason::aborted)], 1);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.abandoned_tokens, stats.computed_tokens);
  // Up to the end of the step in which the news arrived, and no further: prefill 2…22, then a decode every 12
  // to beyond 202.
  EXPECT_EQ(stats.busy, (20 + 12 * 16) * ms);
  // The key may be used again.
  fleet.submit(1, {1, 1}, 300 * ms);
  EXPECT_THAT(show(run_until_idle(fleet)),
              ElementsAre("1: 315ms first_byte", "1: 315ms tokens 1", "1: 315ms done"));
}

TEST(Fleet, SaysWhenItExtrapolates) {
  profiles::FleetProfile profile = simple();
  profile.hardware.max_prefill_tokens.value = 8;
  Fleet fleet = Fleet::build(profile).value();
  fleet.submit(1, {8, 2}, Nanos{0});
  (void)run_until_idle(fleet);
  EXPECT_EQ(fleet.extrapolated_steps(), 0);
  fleet.submit(2, {9, 2}, second);
  (void)run_until_idle(fleet);
  EXPECT_EQ(fleet.extrapolated_steps(), 1);
}

TEST(Fleet, RefusesWhatCannotRun) {
  const auto refused = Fleet::build(simple(), {.max_queued = 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "scheduler: max_queued is 0; it must be at least 1");
  EXPECT_FALSE(Fleet::build(simple(), {.tokens_per_event = 0}));
}

// Queueing theory: one server, one request a step, so that service takes exactly D; Poisson arrivals. The
// mean wait of M/D/1 is ρ D / (2 (1 − ρ)) (Pollaczek–Khinchine with no variance of service).
TEST(Fleet, WaitsLikeMD1) {
  for (const double rho : {0.3, 0.6, 0.8}) {
    profiles::FleetProfile profile = simple();
    profile.hardware.max_running.value = 1;
    profile.network_rtt.value = 0;
    Fleet fleet = Fleet::build(profile).value();
    const double service_s = 0.020;  // 10 prompt tokens, one step, one token
    Rng rng{11, "test.arrivals", static_cast<std::uint64_t>(rho * 10)};
    constexpr std::uint64_t n = 200'000;
    std::vector<Nanos> arrived;
    std::vector<FleetEvent> events;
    double at_s = 0;
    for (std::uint64_t key = 0; key < n; ++key) {
      at_s += rng.exponential() * service_s / rho;
      arrived.push_back(from_seconds(at_s));
      fleet.advance(arrived.back(), events);
      fleet.submit(key, {10, 1}, arrived.back());
    }
    while (const auto next = fleet.next_event()) fleet.advance(*next, events);
    double waited_s = 0;
    std::uint64_t done = 0;
    for (const FleetEvent& e : events) {
      if (e.kind != Kind::done) continue;
      waited_s += to_seconds(e.at - arrived[e.key]) - service_s;
      ++done;
    }
    ASSERT_EQ(done, n);
    const double mean_s = waited_s / static_cast<double>(n);
    const double theory_s = rho * service_s / (2 * (1 - rho));
    std::printf("M/D/1 rho %.1f: mean wait %.3f ms, theory %.3f ms (%+.2f %%)\n", rho, mean_s * 1e3,
                theory_s * 1e3, 100 * (mean_s / theory_s - 1));
    EXPECT_NEAR(mean_s / theory_s, 1, 0.03) << "rho " << rho;
  }
}

std::vector<FleetEvent> busy_hour(const FleetOptions& options, std::uint64_t seed, bool jump) {
  profiles::FleetProfile profile = simple(5);
  profile.router = profiles::Router::least_outstanding;
  profile.hardware.kv_capacity_tokens.value = 256;  // preempts
  Fleet fleet = Fleet::build(profile, options).value();
  Rng rng{seed, "test.arrivals"};
  std::vector<FleetEvent> events;
  Nanos now{0};
  std::uint64_t key = 0;
  for (; key < 3000; ++key) {
    now += from_seconds(rng.exponential() * 0.06);
    // The caller may visit every event or jump over them: the same events come out.
    if (!jump) {
      for (auto next = fleet.next_event(); next && *next < now; next = fleet.next_event())
        fleet.advance(*next, events);
    }
    fleet.advance(now, events);
    fleet.submit(
        key, {static_cast<std::int32_t>(1 + rng.below(100)), static_cast<std::int32_t>(1 + rng.below(60))},
        now);
    if (rng.below(10) == 0) fleet.cancel(key - std::min<std::uint64_t>(key, rng.below(8)), now);
    if (key % 50 == 0) {
      EXPECT_EQ(fleet.check(), "");
    }
  }
  while (const auto next = fleet.next_event()) fleet.advance(*next, events);
  EXPECT_EQ(fleet.check(), "");
  const EngineStats stats = fleet.stats();
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.running + stats.waiting + stats.blocks_used, 0);
  std::int64_t finished = stats.requests_refused;
  for (const std::int64_t n : stats.requests_finished) finished += n;
  EXPECT_EQ(finished, static_cast<std::int64_t>(key)) << "every request is accounted for";
  EXPECT_TRUE(std::is_sorted(events.begin(), events.end(),
                             [](const FleetEvent& a, const FleetEvent& b) { return a.at < b.at; }));
  return events;
}

TEST(Fleet, TheSameSeedGivesTheSameEventsHoweverTimeIsStepped) {
  const FleetOptions options{.max_queued = 20};
  const auto events = busy_hour(options, 3, false);
  EXPECT_GT(events.size(), 10'000U);
  EXPECT_EQ(events, busy_hour(options, 3, false));
  EXPECT_EQ(events, busy_hour(options, 3, true));
  EXPECT_NE(events, busy_hour(options, 4, true));
}

// Each attempt ends at most once, causes come before effects, and every token that was asked for arrives
// exactly once.
TEST(Fleet, EveryAttemptTellsAWholeStory) {
  struct Story {
    int ends = 0;
    std::int32_t tokens = 0;
    bool first_byte = false;
  };
  std::map<std::uint64_t, Story> stories;
  for (const FleetEvent& e : busy_hour({.max_queued = 20, .tokens_per_event = 3}, 5, true)) {
    Story& story = stories[e.key];
    EXPECT_EQ(story.ends, 0) << "nothing follows an end";
    if (e.kind == Kind::first_byte) story.first_byte = true;
    if (e.kind == Kind::tokens) {
      EXPECT_TRUE(story.first_byte);
      story.tokens += e.tokens;
    }
    if (e.kind == Kind::done) {
      EXPECT_EQ(story.tokens, e.output_tokens);
    }
    if (e.kind == Kind::done || e.kind == Kind::rejected || e.kind == Kind::queue_timeout) ++story.ends;
  }
}

// Twice what the fleet can do, for a while. Unbounded, everybody waits in one growing line; bounded, who is
// let in is served as quickly as ever and the rest is told at once.
TEST(Fleet, OverloadABoundedQueueKeepsTheLatencyOfTheServed) {
  struct Outcome {
    std::size_t served = 0;
    double median_s = 0;
    double p99_s = 0;
  };
  const auto run = [](std::optional<std::int32_t> max_queued) {
    Fleet fleet = Fleet::build(simple(2), {.max_queued = max_queued, .tokens_per_event = 64}).value();
    Rng rng{1, "test.arrivals"};
    std::vector<FleetEvent> events;
    std::vector<Nanos> sent;
    Nanos now{0};
    for (std::uint64_t key = 0; now < 60 * second; ++key) {
      // A replica serves four at a time in about 10 + 40 + 9 * 18 ms: some 18 a second, 36 in all; offered
      // are 72.
      now += from_seconds(rng.exponential() / 72);
      sent.push_back(now);
      fleet.advance(now, events);
      fleet.submit(key, {10, 10}, now);
    }
    while (const auto next = fleet.next_event()) fleet.advance(*next, events);
    std::vector<double> latency_s;
    for (const FleetEvent& e : events) {
      if (e.kind == Kind::done) latency_s.push_back(to_seconds(e.at - sent[e.key]));
    }
    std::sort(latency_s.begin(), latency_s.end());
    return Outcome{latency_s.size(), latency_s[latency_s.size() / 2], latency_s[latency_s.size() * 99 / 100]};
  };
  const Outcome unbounded = run(std::nullopt);
  const Outcome bounded = run(4);
  std::printf(
      "overload: unbounded served %zu, median %.2f s, p99 %.2f s; max_queued 4 served %zu, median %.2f s, "
      "p99 %.2f s\n",
      unbounded.served, unbounded.median_s, unbounded.p99_s, bounded.served, bounded.median_s, bounded.p99_s);
  EXPECT_GT(unbounded.median_s, 10);
  EXPECT_LT(bounded.p99_s, 1);
  EXPECT_GT(bounded.served,
            unbounded.served / 3);  // the unbounded line is served to its end, a minute too late
}

// A session whose every turn begins with all turns before it, through a fleet of one.
EngineStats session(const FleetOptions& options, std::vector<FleetEvent>& events) {
  Fleet fleet = Fleet::build(simple(), options).value();
  auto parts = std::make_shared<PrefixParts>();
  std::int32_t prompt = 0;
  for (std::uint64_t turn = 0; turn < 5; ++turn) {
    parts = std::make_shared<PrefixParts>(*parts);
    parts->push_back({turn, 40});
    prompt += 40;
    fleet.submit(turn, {.prompt_tokens = prompt, .output_tokens = 3, .parts = parts}, turn * second);
    for (const FleetEvent& e : run_until_idle(fleet)) events.push_back(e);
  }
  EXPECT_EQ(fleet.check(), "");
  return fleet.stats();
}

TEST(Fleet, APrefixCacheShortensTheTurnsOfASession) {
  std::vector<FleetEvent> without;
  std::vector<FleetEvent> with;
  const EngineStats off = session({}, without);
  const EngineStats on = session({.kv = {.prefix_cache = true}}, with);
  EXPECT_EQ(off.prompt_tokens, 40 + 80 + 120 + 160 + 200);
  // Each turn finds the whole blocks of 16 that the last one has computed: of its 40, 80, 120 and 160 prompt
  // tokens and the first two of the three that it generated. The third block of the first turn is not full.
  EXPECT_EQ(on.prefix_hits, 32 + 80 + 112 + 160);
  EXPECT_EQ(on.prefix_queries, off.prompt_tokens);
  EXPECT_EQ(on.prompt_tokens, off.prompt_tokens - on.prefix_hits);
  EXPECT_EQ(with.back().cached_tokens, 160);
  EXPECT_EQ(without.back().cached_tokens, 0);
  // A ms a prompt token (the law of this test's hardware), in steps of 64 at most that cost 10 each.
  EXPECT_LT(with.back().at, without.back().at);
}

TEST(Fleet, DraftsMakeFewerStepsAndTheSameTokens) {
  const auto run = [](SpecConfig spec) {
    Fleet fleet = Fleet::build(simple(), {.spec = spec}).value();
    fleet.submit(1, {.prompt_tokens = 10, .output_tokens = 200}, Nanos{0});
    std::int32_t tokens = 0;
    for (const FleetEvent& e : run_until_idle(fleet)) tokens += e.tokens;
    EXPECT_EQ(tokens, 200);
    return fleet.stats();
  };
  const EngineStats plain = run({});
  EXPECT_EQ(plain.steps, 200);
  const EngineStats drafted = run({.drafts = 1, .acceptance = 0.85});
  EXPECT_NEAR(static_cast<double>(drafted.steps), 200 / 1.85, 8);
  EXPECT_EQ(drafted.generated_tokens, 200);
  // A verified draft is charged as a decode token: 2 ms here.
  EXPECT_EQ(drafted.busy,
            drafted.steps * 10 * ms + 10 * ms + (drafted.steps - 1 + drafted.draft_tokens) * 2 * ms);
}

TEST(Fleet, TheSameEventsHoweverTimeIsSteppedWithCacheAndDrafts) {
  for (const KvPolicy policy : {KvPolicy::retract, KvPolicy::recompute_least_computed}) {
    const FleetOptions options{.max_queued = 20,
                               .kv = {.policy = policy, .prefix_cache = true},
                               .spec = {.drafts = 2, .acceptance = 0.6}};
    EXPECT_EQ(busy_hour(options, 3, false), busy_hour(options, 3, true));
  }
}

Fault fault(const std::string& text) {
  return *parse_fault(text);
}

// Prompts of 10 tokens, four tokens each: a prefill of 20 ms, then steps of 12 ms.
TEST(Fleet, AFaultOfTheEngineHoldsFromItsStartToItsEnd) {
  Fleet fleet = *Fleet::build(simple());
  ASSERT_TRUE(fleet.add_fault(fault("cores:left=0.5@100ms+100ms")));
  for (int i = 0; i < 3; ++i) fleet.submit(static_cast<std::uint64_t>(i), {10, 1}, i * 100 * ms);
  // 2 ms there, the step, 2 ms back.
  EXPECT_THAT(show(run_until_idle(fleet)),
              ElementsAre("0: 24ms first_byte", "0: 24ms tokens 1", "0: 24ms done", "1: 144ms first_byte",
                          "1: 144ms tokens 1", "1: 144ms done", "2: 224ms first_byte", "2: 224ms tokens 1",
                          "2: 224ms done"));
}

TEST(Fleet, ACrashLosesWhatRunsAndWaitsAndRefusesUntilItIsOver) {
  Fleet fleet = *Fleet::build(simple());
  ASSERT_TRUE(fleet.add_fault(fault("crash@50ms+50ms")));
  fleet.submit(0, {10, 40}, Nanos{0});
  for (std::uint64_t i = 1; i < 6; ++i) fleet.submit(i, {60, 4}, 40 * ms);  // four run at most
  fleet.submit(6, {10, 1}, 60 * ms);
  fleet.submit(7, {10, 1}, 110 * ms);
  std::map<std::uint64_t, FleetEvent> last;
  for (const FleetEvent& e : run_until_idle(fleet)) last[e.key] = e;
  EXPECT_EQ(last[0].kind, Kind::failed) << "in the middle of its stream";
  for (std::uint64_t i = 1; i < 6; ++i) {
    EXPECT_EQ(last[i].kind, Kind::queue_timeout) << i;
    EXPECT_EQ(last[i].http_status, 500) << i;
  }
  EXPECT_EQ(last[6].kind, Kind::rejected);
  EXPECT_EQ(last[6].http_status, 503);
  EXPECT_EQ(last[6].at, 64 * ms) << "at once";
  EXPECT_EQ(last[7].kind, Kind::done);
  EXPECT_EQ(fleet.check(), "");
  EXPECT_EQ(fleet.stats().running + fleet.stats().waiting, 0);
}

TEST(Fleet, ACrashEmptiesThePrefixCache) {
  FleetOptions options;
  options.kv.prefix_cache = true;
  for (const bool crash : {false, true}) {
    Fleet fleet = *Fleet::build(simple(), options);
    if (crash) {
      ASSERT_TRUE(fleet.add_fault(fault("crash@1s+1s")));
    }
    const auto parts = std::make_shared<const PrefixParts>(PrefixParts{{7, 64}});
    for (int i = 0; i < 2; ++i) {
      fleet.submit(static_cast<std::uint64_t>(i), {.prompt_tokens = 64, .output_tokens = 2, .parts = parts},
                   i * 5 * second);
    }
    std::int32_t cached = 0;
    for (const FleetEvent& e : run_until_idle(fleet)) {
      if (e.kind == Kind::done) cached = e.cached_tokens;
    }
    EXPECT_EQ(cached, crash ? 0 : 48);
  }
}

TEST(Fleet, ACutOfTheKvFailsWhatDoesNotFitAndGivesTheBlocksBack) {
  Fleet fleet = *Fleet::build(simple());
  ASSERT_TRUE(fleet.add_fault(fault("kv:left=0.125+1s")));  // 8 blocks of 64: 128 tokens
  EXPECT_EQ(fleet.stats().blocks_withheld, 0);
  fleet.submit(0, {200, 4}, 10 * ms);
  fleet.submit(1, {60, 4}, 10 * ms);
  fleet.submit(2, {200, 4}, 1 * second);
  std::vector<FleetEvent> events;
  fleet.advance(500 * ms, events);
  EXPECT_EQ(fleet.stats().blocks_withheld, 56);
  for (const FleetEvent& e : run_until_idle(fleet)) events.push_back(e);
  std::map<std::uint64_t, FleetEvent> last;
  for (const FleetEvent& e : events) last[e.key] = e;
  EXPECT_EQ(last[0].http_status, 500);
  EXPECT_EQ(last[1].kind, Kind::done);
  EXPECT_EQ(last[2].kind, Kind::done);
  EXPECT_EQ(fleet.stats().blocks_withheld, 0);
  EXPECT_EQ(fleet.check(), "");
}

TEST(Fleet, AFaultCanEndSoonerAndMustBeOfAnEngine) {
  Fleet fleet = *Fleet::build(simple());
  const auto id = fleet.add_fault(fault("crash@10ms"));
  ASSERT_TRUE(id);
  std::vector<FleetEvent> events;
  fleet.advance(20 * ms, events);
  fleet.end_fault(*id, 20 * ms);
  fleet.submit(0, {10, 1}, 20 * ms);
  EXPECT_EQ(run_until_idle(fleet).back().kind, Kind::done);
  const auto wrong = fleet.add_fault(fault("latency:delay=1s"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "the fault 'latency' is of a request, not of an engine");
}

}  // namespace
}  // namespace dsbench::engine
