#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "loadgen/faulty_target.h"
#include "loadgen/from_profiles.h"
#include "loadgen/load_machine.h"
#include "loadgen/multi_target.h"
#include "loadgen/virtual_runner.h"
#include "tests/fakes/fifo_target.h"
#include "tests/fakes/kept_records.h"

// Retries against a service that refuses, and whole failovers, in virtual time.
namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::AttemptRecord;
using results::Fault;
using results::FaultKind;
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

// ---- retries against a service that refuses

// Says 503 to everything, 10 ms after it was asked.
class Refusing final : public VirtualTarget {
 public:
  void submit(const Attempt& a, Nanos now) override {
    TargetEvent e;
    e.request = a.request;
    e.attempt = a.attempt;
    e.kind = EventKind::failed;
    e.reason = Reason::http_503;
    e.http_status = 503;
    e.at = now + 10ms;
    queue_.push_back(e);
  }
  void cancel(std::uint64_t, std::uint32_t, Nanos) override {}
  std::optional<Nanos> next_event() const override {
    if (queue_.empty()) return std::nullopt;
    return queue_.front().at;
  }
  void advance(Nanos now, std::vector<TargetEvent>& events) override {
    while (!queue_.empty() && queue_.front().at <= now) {
      events.push_back(queue_.front());
      queue_.pop_front();
    }
  }

 private:
  std::deque<TargetEvent> queue_;
};

TEST(RetryLaw, DelaysAgainstA503AreTheSdks) {
  for (const char* name : {"openai-sdk", "anthropic-sdk"}) {
    const auto client = profiles::load_client(name);
    ASSERT_TRUE(client);
    Refusing target;
    Kept kept;
    std::atomic<bool> stop{false};
    auto runner = make_virtual_runner(target, policy_of(*client), source, 11, kept, stop);
    std::vector<Arrival> arrivals;
    for (std::uint64_t i = 0; i < 100; ++i) arrivals.push_back({i, 1ms * static_cast<int>(i), 0});
    ASSERT_TRUE(runner->offer(arrivals, 1s));
    ASSERT_TRUE(runner->drain(60s));
    ASSERT_EQ(kept.attempts.size(), 300u) << name;
    std::map<std::uint64_t, Nanos> ended;
    std::set<std::int64_t> different;
    for (const AttemptRecord& a : kept.attempts) {
      if (a.attempt > 0) {
        const auto n = a.attempt - 1;
        Rng jitter{derive_seed(11, "retries", a.request), "retries", n};
        // The SDK's formula: min(0.5 s · 2^n, 8 s) · (1 − U/4).
        const double expected = std::min(0.5 * std::pow(2.0, n), 8.0) * (1 - 0.25 * jitter.uniform());
        EXPECT_NEAR(to_seconds(a.due - ended[a.request]), expected, 2e-9);
        different.insert((a.due - ended[a.request]).count());
      }
      ended[a.request] = a.done;
    }
    EXPECT_GT(different.size(), 190u) << "the jitter differs from request to request";
  }
}

// ---- failover in virtual time

struct TwoProviders {
  explicit TwoProviders(const ClientPolicy& policy, std::vector<Fault> faults)
      : faulty{first, std::move(faults)},
        both{{&faulty, &second}},
        runner{make_virtual_runner(both, policy, source, 5, kept, stop)} {}
  static fakes::FifoConfig config() {
    fakes::FifoConfig c;
    c.capacity = Rate::per_second(1000);
    return c;
  }
  // One request every 100 ms for `length`.
  void run(Nanos length) {
    std::vector<Arrival> arrivals;
    for (std::uint64_t i = 0; 100ms * static_cast<int>(i) < length; ++i) {
      arrivals.push_back({i, 100ms * static_cast<int>(i), 0});
    }
    ASSERT_TRUE(runner->offer(arrivals, length));
    ASSERT_TRUE(runner->drain(length + 60s));
    ASSERT_EQ(runner->in_flight(), 0u);
  }
  [[nodiscard]] std::string decisions() const {
    std::string text;
    for (const auto& d : kept.decisions) {
      text += fmt::format("{}{} {}@{:g}", text.empty() ? "" : ", ", to_word(d.change), d.provider,
                          to_seconds(d.at));
    }
    return text;
  }

  fakes::FifoTarget first{config()}, second{config()};
  FaultyTarget faulty;
  MultiTarget both;
  Kept kept;
  std::atomic<bool> stop{false};
  std::unique_ptr<Runner> runner;
};

ClientPolicy gateway() {
  ClientPolicy p;
  p.first_token_timeout = 1s;
  p.stall_timeout = 1s;
  p.retry.max_retries = 2;
  p.retry.growth = Growth::constant;
  p.retry.initial = p.retry.cap = 50ms;
  p.retry.jitter_law = Jitter::none;
  p.retry.after_broken_streams = true;
  p.routing.providers = 2;
  p.routing.breaker.consecutive_failures = 3;
  p.routing.breaker.open_for = 5s;
  return p;
}

TEST(Failover, AKilledProvider) {
  TwoProviders w{gateway(), {{0, FaultKind::kill, 2010ms, 12s}}};
  w.run(20s);
  ASSERT_EQ(w.kept.requests.size(), 200u);
  for (const auto& r : w.kept.requests) {
    EXPECT_EQ(r.reason, Reason::ok) << "request due at " << to_seconds(r.due);
    // The one that was under way, the two that found nobody, and the two probes in vain: on the second.
    const bool tried_twice = r.attempts == 2;
    if (tried_twice) {
      EXPECT_EQ(r.provider, 1);
    }
  }
  // Under way at 2.01 s: the request of 2.0 s. Refused: 2.1 s, 2.2 s; with the third failure the first is
  // out.
  EXPECT_EQ(w.decisions(),
            "ejected 0@2.2, probed 0@7.2, reopened 0@7.2, probed 0@12.2, closed 0@12.221, readmitted 0@12.3");
  int twice = 0;
  for (const auto& r : w.kept.requests) twice += r.attempts == 2 ? 1 : 0;
  EXPECT_EQ(twice, 4);
  EXPECT_EQ(w.kept.attempts.size(), 204u);
  for (const auto& a : w.kept.attempts) {
    if (a.due > 2200ms && a.due < 7200ms) {
      EXPECT_EQ(a.provider, 1);
    }
    if (a.due >= 12300ms) {
      EXPECT_EQ(a.provider, 0);
    }
  }
}

TEST(Failover, AStalledProvider) {
  TwoProviders w{gateway(), {{0, FaultKind::stall, 2010ms, 12s}}};
  w.run(20s);
  // The answers of 2.0 s to 2.2 s do not begin; their clients leave after a second each.
  EXPECT_EQ(w.decisions().substr(0, 13), "ejected 0@3.2");
  int timeouts = 0;
  for (const auto& a : w.kept.attempts) timeouts += a.reason == Reason::first_token_timeout ? 1 : 0;
  // 2.0 … 3.1 s and 3.2 s (sent before the third timeout of that instant was told), and one probe.
  EXPECT_GE(timeouts, 13);
  EXPECT_LE(timeouts, 15);
  for (const auto& r : w.kept.requests) EXPECT_EQ(r.reason, Reason::ok);
  EXPECT_EQ(w.kept.requests.size(), 200u);
  EXPECT_EQ(w.kept.decisions.back().change, ProviderChange::readmitted);
}

TEST(Failover, AStallEndsWhereItBegan) {
  ClientPolicy patient;
  patient.routing.providers = 2;
  TwoProviders w{patient, {{0, FaultKind::stall, 2010ms, 4s}}};
  w.run(3s);
  for (const auto& r : w.kept.requests) {
    EXPECT_EQ(r.reason, Reason::ok);
    // 1 ms of service and 20 ms of latency; the request of 2.0 s had 11 ms of that left when time stood
    // still.
    if (r.due == 2s) {
      EXPECT_EQ(r.first_token, 4s + 11ms);
    }
    if (r.due == 2100ms) {
      EXPECT_EQ(r.first_token, 4s + 21ms);
    }
  }
}

TEST(Failover, EqualRunsAreEqual) {
  std::string said[2];
  for (auto& s : said) {
    ClientPolicy p = gateway();
    p.routing.rule = RoutingPolicy::Rule::weighted;
    p.routing.weights = {3, 1};
    p.hedge = HedgeLaw{21ms, std::nullopt};
    TwoProviders w{p, {{0, FaultKind::kill, 3s, 5s}, {0, FaultKind::stall, 8s, 9s}}};
    w.run(20s);
    for (const auto& a : w.kept.attempts) {
      s += fmt::format("{}/{}@{} {} {}\n", a.request, a.attempt, a.provider, a.done.count(),
                       to_word(a.reason));
    }
    std::set<std::uint64_t> ended;
    for (const auto& r : w.kept.requests) EXPECT_TRUE(ended.insert(r.request).second);
    EXPECT_EQ(ended.size(), 200u);
  }
  EXPECT_EQ(said[0], said[1]);
}

// Everything at once: hedges, people who leave, budgets, breakers that refuse, faults, too much load. Each
// request ends once, each attempt is recorded once, and what a request says agrees with its attempts.
TEST(Failover, NothingIsLostOrCountedTwice) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    ClientPolicy p = gateway();
    p.routing.rule = seed % 2 == 0 ? RoutingPolicy::Rule::round_robin : RoutingPolicy::Rule::ordered;
    p.routing.refuse_when_all_open = seed % 3 == 0;
    p.routing.breaker.hold = seed % 4 == 0 ? Nanos{2s} : Nanos{0};
    p.hedge = HedgeLaw{80ms, 0.9};
    p.patience = Patience{Patience::Law::lognormal, 700ms, 0.8};
    p.comments_feed_timeout = seed % 2 == 0;
    if (seed % 2 == 1) p.total_timeout = 900ms;
    p.budget = RetryBudgetLaw{
        seed % 2 == 0 ? RetryBudgetLaw::Kind::deposits : RetryBudgetLaw::Kind::concurrent, 0.3, 2, 5s};
    fakes::FifoConfig slow;
    slow.capacity = Rate::per_second(60);
    slow.max_queued = 40;
    fakes::FifoTarget a{slow}, b{slow};
    FaultyTarget fa{a, {{0, FaultKind::kill, 3s, 5s}, {0, FaultKind::stall, 8s, 10s}}};
    FaultyTarget fb{b, {{1, FaultKind::stall, 4s, 6s}, {1, FaultKind::kill, 9s, 11s}}};
    MultiTarget both{{&fa, &fb}};
    Kept kept;
    std::atomic<bool> stop{false};
    auto runner = make_virtual_runner(both, p, source, seed, kept, stop);
    std::vector<Arrival> arrivals;
    Rng rng{seed, "arrivals"};
    Nanos at{0};
    for (std::uint64_t i = 0; i < 1500; ++i) {
      at += from_seconds(rng.exponential() / 100);
      arrivals.push_back({i, at, 0});
    }
    ASSERT_TRUE(runner->offer(arrivals, 16s));
    ASSERT_TRUE(runner->drain(200s));
    ASSERT_EQ(runner->in_flight(), 0u);
    ASSERT_EQ(kept.requests.size(), 1500u) << "seed " << seed;
    std::map<std::uint64_t, std::map<std::uint32_t, AttemptRecord>> tries;
    for (const AttemptRecord& r : kept.attempts) {
      EXPECT_TRUE(tries[r.request].emplace(r.attempt, r).second) << "an attempt twice";
      EXPECT_LE(r.due, r.done);
    }
    std::map<Reason, int> reasons;
    std::set<std::uint64_t> seen;
    for (const RequestRecord& r : kept.requests) {
      EXPECT_TRUE(seen.insert(r.request).second) << "a request twice";
      const auto& own = tries[r.request];
      EXPECT_EQ(own.size(), r.attempts) << "seed " << seed << " request " << r.request;
      EXPECT_EQ(own.rbegin()->first + 1, r.attempts);
      int whole = 0;
      for (const auto& [number, attempt] : own) {
        whole += attempt.reason == Reason::ok ? 1 : 0;
        ++reasons[attempt.reason];
      }
      EXPECT_EQ(whole, r.reason == Reason::ok ? 1 : 0);
    }
    for (const Reason expected : {Reason::ok, Reason::superseded, Reason::abandoned}) {
      EXPECT_GT(reasons[expected], 0) << "seed " << seed << ": " << to_word(expected) << " was not tried";
    }
  }
}

TEST(FaultText, ReadsBackAndRefuses) {
  for (const char* text : {"kill 0 at 20s heal 40s", "stall 1 at 1500ms"}) {
    const auto fault = parse_fault(text, 2);
    ASSERT_TRUE(fault) << fault.error().message;
    EXPECT_EQ(print_fault(*fault), text);
  }
  for (const char* text : {"kill 2 at 1s", "kill at 1s", "burn 0 at 1s", "kill 0 at 1", "kill 0 at 1s heal",
                           "kill 0 at 5s heal 5s", "kill x at 5s"}) {
    EXPECT_FALSE(parse_fault(text, 2)) << text;
  }
  EXPECT_EQ(parse_fault("kill 2 at 1s", 2).error().message,
            "the fault 'kill 2 at 1s' cannot be read; accepted: 'kill N at TIME', 'stall N at TIME', either "
            "with 'heal TIME' behind it, where N is a target from 0 to 1 and TIME is since the start of the "
            "run: 'kill 0 at 20s heal 40s'");
  EXPECT_FALSE(parse_faults({"kill 0 at 1s", "stall 0 at 5s"}, 1));
  EXPECT_TRUE(parse_faults({"stall 0 at 5s heal 6s", "kill 0 at 1s heal 5s"}, 1));
}

}  // namespace
}  // namespace dsbench::loadgen
