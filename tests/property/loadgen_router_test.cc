#include "loadgen/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/rng.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::ProviderChange;
using results::Reason;

RoutingPolicy route(const char* text, std::size_t providers) {
  auto policy = parse_route(text, providers);
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
  return *policy;
}

RoutingPolicy guarded(const char* text, std::size_t providers, Nanos open_for = 5s) {
  RoutingPolicy policy = route(text, providers);
  policy.breaker.consecutive_failures = 3;
  policy.breaker.open_for = open_for;
  return policy;
}

// One attempt that ends at once.
std::uint16_t once(Router& router, Nanos now, std::uint64_t request, Reason reason) {
  auto ticket = router.choose(now, {request, 0, std::nullopt, 0});
  EXPECT_TRUE(ticket);
  if (reason == Reason::ok) router.first_token(*ticket, now, 1ms);
  router.ended(*ticket, now, reason);
  return ticket->provider;
}

std::string decisions(Router& router) {
  std::vector<results::ProviderDecision> all;
  router.take_decisions(0, all);
  std::string text;
  for (const auto& d : all) {
    text += fmt::format("{}{} {}@{:g}", text.empty() ? "" : ", ", to_word(d.change), d.provider,
                        to_seconds(d.at));
  }
  return text;
}

TEST(Router, OrderedFailsOverProbesAndFailsBack) {
  Router router{guarded("ordered", 2), 1};
  EXPECT_EQ(once(router, 1s, 0, Reason::ok), 0);
  for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(once(router, 2s, i, Reason::connect_failed), 0);
  EXPECT_EQ(decisions(router), "ejected 0@2");
  EXPECT_EQ(once(router, 2s, 4, Reason::ok), 1);
  EXPECT_EQ(once(router, 6999ms, 5, Reason::ok), 1);
  EXPECT_EQ(once(router, 7s, 6, Reason::connect_failed), 0) << "a probe";
  EXPECT_EQ(once(router, 7s, 7, Reason::ok), 1);
  EXPECT_EQ(decisions(router), "probed 0@7, reopened 0@7");
  EXPECT_EQ(once(router, 12s, 8, Reason::ok), 0);
  EXPECT_EQ(once(router, 12500ms, 9, Reason::ok), 0);
  EXPECT_EQ(decisions(router), "probed 0@12, closed 0@12, readmitted 0@12.5");
}

TEST(Router, HoldKeepsTheTrafficAwayAfterTheProbe) {
  RoutingPolicy policy = guarded("ordered", 2);
  policy.breaker.hold = 20s;
  Router router{policy, 1};
  for (std::uint64_t i = 0; i < 3; ++i) (void)once(router, 0s, i, Reason::http_503);
  EXPECT_EQ(once(router, 5s, 3, Reason::ok), 0) << "the probe closes it";
  EXPECT_EQ(once(router, 24999ms, 4, Reason::ok), 1) << "held back";
  EXPECT_EQ(once(router, 25s, 5, Reason::ok), 0);
  EXPECT_EQ(decisions(router), "ejected 0@0, probed 0@5, closed 0@5, readmitted 0@25");
}

TEST(Router, ARetryGoesElsewhere) {
  Router router{guarded("ordered", 3), 1};
  EXPECT_EQ(router.choose(0s, {0, 1, std::nullopt, 0b001})->provider, 1);
  EXPECT_EQ(router.choose(0s, {0, 2, std::nullopt, 0b011})->provider, 2);
  EXPECT_EQ(router.choose(0s, {0, 3, std::nullopt, 0b111})->provider, 0)
      << "all have failed it: from the top";
  RoutingPolicy same = guarded("ordered", 3);
  same.retry_elsewhere = false;
  Router stubborn{same, 1};
  EXPECT_EQ(stubborn.choose(0s, {0, 1, std::nullopt, 0b001})->provider, 0);
}

TEST(Router, ASessionStaysUntilItsProviderFails) {
  RoutingPolicy policy = guarded("round-robin", 3);
  policy.sticky = true;
  Router router{policy, 1};
  for (std::uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(router.choose(1s, {i, 0, std::uint16_t{2}, 0})->provider, 2);
  }
  EXPECT_NE(router.choose(1s, {20, 1, std::uint16_t{2}, 0b100})->provider, 2) << "it has just failed there";
  while (router.state(2, 2s) == Breaker::State::closed) {
    auto t = router.choose(2s, {30, 0, std::uint16_t{2}, 0});
    router.ended(*t, 2s, Reason::stall_timeout);
  }
  for (std::uint64_t i = 40; i < 50; ++i) {
    EXPECT_NE(router.choose(3s, {i, 0, std::uint16_t{2}, 0})->provider, 2);
  }
}

TEST(Router, RoundRobinTakesTurns) {
  Router router{route("round-robin", 3), 1};
  std::string order;
  for (std::uint64_t i = 0; i < 7; ++i) order += std::to_string(once(router, 0s, i, Reason::ok));
  EXPECT_EQ(order, "0120120");
}

TEST(Router, RefusesOnlyWhenAskedTo) {
  RoutingPolicy policy = guarded("ordered", 1);
  Router open{policy, 1};
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(once(open, 0s, i, Reason::http_503), 0);
  policy.refuse_when_all_open = true;
  Router strict{policy, 1};
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_EQ(once(strict, 0s, i, Reason::http_503), 0);
  EXPECT_FALSE(strict.choose(1s, {9, 0, std::nullopt, 0}));
  EXPECT_TRUE(strict.choose(5s, {10, 0, std::nullopt, 0})) << "a probe";
  EXPECT_FALSE(strict.choose(5s, {11, 0, std::nullopt, 0})) << "only one";
}

// Counts within 4.5 standard deviations of the binomial: one false alarm in 150,000.
void expect_binomial(int hits, int n, double p) {
  const double sigma = std::sqrt(n * p * (1 - p));
  EXPECT_NEAR(hits, n * p, 4.5 * sigma + 1e-9) << "p = " << p;
}

TEST(RouterProperty, WeightsAreRespected) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Router router{route("weighted:70,20,10", 3), seed};
    std::vector<int> hits(3);
    constexpr int n = 20'000;
    for (int i = 0; i < n; ++i) ++hits[once(router, 0s, static_cast<std::uint64_t>(i), Reason::ok)];
    expect_binomial(hits[0], n, 0.7);
    expect_binomial(hits[1], n, 0.2);
    expect_binomial(hits[2], n, 0.1);
  }
}

// The share of one that is down goes to the others in proportion to their weights.
TEST(RouterProperty, WeightsOfThoseThatAreLeft) {
  RoutingPolicy policy = guarded("weighted:70,20,10", 3, 1'000'000s);
  Router router{policy, 9};
  for (std::uint64_t i = 0; router.state(0, 0s) == Breaker::State::closed; ++i) {
    auto ticket = router.choose(0s, {i, 0, std::nullopt, 0b110});
    router.ended(*ticket, 0s, Reason::http_5xx);
  }
  std::vector<int> hits(3);
  constexpr int n = 20'000;
  for (int i = 0; i < n; ++i) ++hits[once(router, 1s, static_cast<std::uint64_t>(i) + 1000, Reason::ok)];
  EXPECT_EQ(hits[0], 0);
  expect_binomial(hits[1], n, 2.0 / 3);
}

TEST(RouterProperty, AShiftIsLinearInTime) {
  Router router{route("shift:100..20@10s..50s", 3), 3};
  constexpr int n = 8'000;
  std::uint64_t request = 0;
  for (const auto& [now, share] : std::vector<std::pair<Nanos, double>>{
           {0s, 1}, {10s, 1}, {20s, 0.8}, {30s, 0.6}, {45s, 0.3}, {50s, 0.2}, {90s, 0.2}}) {
    std::vector<int> hits(3);
    for (int i = 0; i < n; ++i) ++hits[once(router, now, request++, Reason::ok)];
    expect_binomial(hits[0], n, share);
    expect_binomial(hits[1], n, (1 - share) / 2);
  }
}

// Providers that fail and recover by chance, attempts that overlap, every rule: nothing goes to a provider
// whose breaker is open, unless all are; and the same seed gives the same choices.
TEST(RouterProperty, NothingGoesToAnOpenBreakerUnlessAllAreOpen) {
  const std::vector<std::string> rules{"ordered", "round-robin", "weighted:5,3,1,1",
                                       "shift:100..0@100s..400s"};
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    RoutingPolicy policy = guarded(rules[seed % rules.size()].c_str(), 4, 2s);
    policy.sticky = seed % 3 == 0;
    policy.breaker.hold = seed % 2 == 0 ? Nanos{3s} : Nanos{0};
    policy.breaker.probes = 1 + static_cast<std::int32_t>(seed % 3);
    std::string first_run;
    for (int run = 0; run < 2; ++run) {
      Router router{policy, seed};
      Rng world{seed, "world"};
      std::vector<bool> up(4, true);
      std::vector<Router::Ticket> in_flight;
      std::string choices;
      Nanos now{0};
      int probes_seen = 0;
      for (std::uint64_t i = 0; i < 3000; ++i) {
        now += Nanos{static_cast<std::int64_t>(world.below(300'000'000))};
        if (world.below(40) == 0) {
          const auto p = world.below(4);
          up[p] = !up[p];
        }
        while (!in_flight.empty() && world.below(3) != 0) {
          const auto k = world.below(in_flight.size());
          Router::Ticket t = in_flight[k];
          in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(k));
          const auto roll = world.below(10);
          if (up[t.provider]) router.first_token(t, now, 5ms);
          router.ended(t, now,
                       roll == 0        ? Reason::superseded
                       : up[t.provider] ? Reason::ok
                                        : Reason::stall_timeout);
        }
        std::vector<Breaker::State> before;
        bool all_open = true;
        for (std::uint16_t p = 0; p < 4; ++p) {
          before.push_back(router.state(p, now));
          all_open = all_open && before.back() == Breaker::State::open;
        }
        Router::Question question{i, 0, std::nullopt, world.below(16) & world.below(16) & world.below(16)};
        if (world.below(2) == 0) question.keep = static_cast<std::uint16_t>(world.below(4));
        const auto ticket = router.choose(now, question);
        ASSERT_TRUE(ticket);
        ASSERT_LT(ticket->provider, 4);
        if (!all_open) {
          ASSERT_NE(before[ticket->provider], Breaker::State::open)
              << "rule " << rules[seed % rules.size()] << ", choice " << i;
        }
        if (ticket->breaker.probe) {
          ++probes_seen;
          ASSERT_EQ(before[ticket->provider], Breaker::State::half_open);
        }
        in_flight.push_back(*ticket);
        choices += static_cast<char>('0' + ticket->provider);
      }
      EXPECT_GT(probes_seen, 0);
      if (run == 0)
        first_run = choices;
      else
        EXPECT_EQ(choices, first_run);
    }
  }
}

TEST(RouteText, ReadsBackAndRefuses) {
  for (const char* text : {"ordered", "round-robin", "weighted:90,10", "shift:100..25@30s..1m30s"}) {
    const auto policy = parse_route(text, 2);
    ASSERT_TRUE(policy) << policy.error().message;
    const auto again = parse_route(print_route(*policy), 2);
    ASSERT_TRUE(again) << print_route(*policy);
    EXPECT_EQ(print_route(*again), print_route(*policy));
  }
  const auto said = [](const char* text, std::size_t n) {
    const auto policy = parse_route(text, n);
    return policy ? std::string{} : policy.error().message;
  };
  EXPECT_EQ(said("weighted:1,2,3", 2),
            "weighted:1,2,3 has 3 weights with a sum of 6; there are 2 targets, and the sum must be above 0");
  EXPECT_EQ(said("random", 2),
            "no route 'random'; accepted: ordered, round-robin, weighted:90,10 (one weight for each target), "
            "shift:100..0@30s..90s (per cent of the first target, from when to when)");
  EXPECT_EQ(said("shift:100..0@30s..90s", 1),
            "'shift:100..0@30s..90s' shifts from one target to others; name at least two targets");
  EXPECT_NE(said("shift:100..0@90s..30s", 2), "");
  EXPECT_NE(said("shift:101..0@1s..3s", 2), "");
}

}  // namespace
}  // namespace dsbench::loadgen
