#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "loadgen/schedule.h"
#include "loadgen/virtual_runner.h"
#include "loadgen/workload.h"
#include "tests/fakes/kept_records.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::never;
using results::Reason;

// Does anything a target may do, at random: refuses, stalls, breaks off, answers nothing, answers twice to
// the same attempt, and goes on talking to clients that have left.
class ChaosTarget final : public VirtualTarget {
 public:
  explicit ChaosTarget(std::uint64_t seed) : rng_{seed, "chaos"} {}

  void submit(const Attempt& attempt, Nanos now) override {
    EXPECT_TRUE(open_.insert({attempt.request, attempt.attempt}).second) << "an attempt is submitted once";
    TargetEvent e;
    e.request = attempt.request;
    e.attempt = attempt.attempt;
    Nanos t = now;
    const auto say = [&](EventKind kind) {
      e.kind = kind;
      e.tokens = kind == EventKind::tokens ? 1 + static_cast<std::int32_t>(rng_.below(3)) : 0;
      agenda_.push({t, order_++, e});
    };
    const auto wait = [&](double mean_seconds) { t += from_seconds(rng_.exponential() * mean_seconds); };
    if (rng_.uniform() < 0.1) return;  // a black hole
    wait(0.3);
    if (rng_.uniform() < 0.2) {
      e.reason = rng_.uniform() < 0.5 ? Reason::http_429 : Reason::http_503;
      e.http_status = e.reason == Reason::http_429 ? 429 : 503;
      if (rng_.uniform() < 0.3) e.retry_after = from_seconds(rng_.uniform() * 200);
      say(EventKind::failed);
      if (rng_.uniform() < 0.1) say(EventKind::tokens);  // no event should follow; one does
      return;
    }
    say(EventKind::first_byte);
    const std::uint64_t chunks = rng_.below(6);
    for (std::uint64_t i = 0; i < chunks; ++i) {
      wait(0.2);
      say(EventKind::tokens);
    }
    if (rng_.uniform() < 0.15) {
      e.reason = Reason::closed_early;
      say(EventKind::failed);
    } else {
      say(EventKind::done);
      if (rng_.uniform() < 0.1) say(EventKind::done);
    }
  }
  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos) override {
    EXPECT_TRUE(open_.contains({request, attempt})) << "only what was submitted is cancelled";
    EXPECT_TRUE(cancelled_.insert({request, attempt}).second) << "and once";
  }
  std::optional<Nanos> next_event() const override {
    if (agenda_.empty()) return std::nullopt;
    return agenda_.top().at;
  }
  void advance(Nanos now, std::vector<TargetEvent>& events) override {
    while (!agenda_.empty() && agenda_.top().at <= now) {
      events.push_back(agenda_.top().event);
      events.back().at = agenda_.top().at;
      agenda_.pop();
    }
  }

 private:
  struct Item {
    Nanos at{0};
    std::uint64_t order = 0;
    TargetEvent event;
    friend bool operator<(const Item& a, const Item& b) {
      return std::tie(b.at, b.order) < std::tie(a.at, a.order);
    }
  };
  Rng rng_;
  std::uint64_t order_ = 0;
  std::priority_queue<Item> agenda_;
  std::set<std::pair<std::uint64_t, std::uint32_t>> open_, cancelled_;
};

TEST(Conservation, EveryArrivalEndsOnceWhateverTheTargetDoes) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng{seed, "policy"};
    ClientPolicy policy;
    if (rng.uniform() < 0.7) policy.first_token_timeout = from_seconds(0.1 + rng.uniform());
    if (rng.uniform() < 0.7) policy.stall_timeout = from_seconds(0.1 + rng.uniform());
    if (rng.uniform() < 0.7) policy.total_timeout = from_seconds(0.3 + 2 * rng.uniform());
    policy.retry.max_retries = static_cast<std::int32_t>(rng.below(4));
    ChaosTarget target{seed};
    fakes::KeptRecords kept;
    std::atomic<bool> stop{false};
    const auto runner = make_virtual_runner(
        target, policy, [](std::uint64_t) { return Attempt{}; }, seed, kept, stop);
    const auto traffic = profiles::parse_traffic_text("gamma(cv 2) hold(50/s,10s)");
    const auto arrivals = make_schedule(*traffic, seed);
    ASSERT_TRUE(runner->offer(arrivals, 10s));
    (void)runner->drain(15s);
    runner->abandon();
    ASSERT_EQ(runner->in_flight(), 0u);

    std::map<std::uint64_t, std::vector<results::AttemptRecord>> attempts;
    Nanos last_done{0};
    for (const auto& a : kept.attempts) {
      EXPECT_GE(a.done, last_done) << "records come in the order of time";
      last_done = a.done;
      attempts[a.request].push_back(a);
      EXPECT_GE(a.sent, a.due);
      EXPECT_GE(a.done, a.sent);
      if (a.first_token != never) {
        EXPECT_GE(a.first_token, a.sent);
        EXPECT_GE(a.last_token, a.first_token);
        EXPECT_LE(a.last_token, a.done);
        Nanos sum{0};
        for (const Nanos gap : a.gaps) sum += gap;
        EXPECT_EQ(sum, a.last_token - a.first_token);
      }
      EXPECT_TRUE(a.reason != Reason::ok || a.output_tokens > 0);
      EXPECT_TRUE(!policy.total_timeout || a.done - a.sent <= *policy.total_timeout);
      if (policy.first_token_timeout && a.first_token != never) {
        EXPECT_LE(a.first_token - a.sent, *policy.first_token_timeout);
      }
      if (policy.stall_timeout) {
        for (const Nanos gap : a.gaps) EXPECT_LE(gap, *policy.stall_timeout);
      }
    }
    ASSERT_EQ(kept.requests.size(), arrivals.size());
    std::set<std::uint64_t> seen;
    for (const auto& r : kept.requests) {
      ASSERT_TRUE(seen.insert(r.request).second);
      const auto& tries = attempts[r.request];
      ASSERT_EQ(tries.size(), r.attempts);
      EXPECT_LE(static_cast<std::int32_t>(r.attempts), policy.retry.max_retries + 1);
      EXPECT_EQ(r.due, arrivals[r.request].due);
      EXPECT_EQ(r.sent, tries.front().sent);
      EXPECT_EQ(r.final_sent, tries.back().sent);
      for (std::size_t i = 0; i < tries.size(); ++i) {
        EXPECT_EQ(tries[i].attempt, i);
        if (i > 0) {
          EXPECT_GT(tries[i].due, tries[i - 1].done);
          EXPECT_EQ(tries[i - 1].first_token, never) << "nothing is tried again once its stream has begun";
        }
      }
      EXPECT_TRUE(r.reason == Reason::interrupted || r.reason == tries.back().reason);
    }
  }
}

// Sessions and agents on top: every request that was scheduled, and every one that followed from it, ends
// once, and the drain comes to an end.
TEST(Conservation, WhatFollowsEndsOnceToo) {
  class Sink final : public results::RecordSink {
   public:
    void attempt(const results::AttemptRecord&) override {}
    void request(const results::RequestRecord& r) override {
      EXPECT_TRUE(open.erase(r.request) == 1) << "request " << r.request << " was offered and has not ended";
      ++ended;
    }
    void offered(std::uint32_t, std::uint64_t request, Nanos) override {
      EXPECT_TRUE(seen.insert(request).second) << "request " << request << " is offered once";
      open.insert(request);
    }
    std::set<std::uint64_t> open, seen;
    std::size_t ended = 0;
  };
  const auto workload = profiles::parse_workload(R"({"schema":"dsbench.workload/1","classes":[
      {"name":"chat","prompt_tokens":5,"output_tokens":{"law":"uniform","min":1,"max":9},
       "session":{"turns":{"law":"uniform","min":1,"max":6},"think_time":{"law":"uniform","min":"0ms","max":"900ms"},
                  "user_tokens":3,"on_failure":"retry_turn"}},
      {"name":"agents","prompt_tokens":5,"output_tokens":4,
       "agent":{"period":{"law":"uniform","min":"0ms","max":"900ms"},"steps":{"law":"uniform","min":1,"max":4},
                "tool_pause":"0ms","tool_tokens":7,"fan_out":{"law":"uniform","min":0,"max":3},"branch_tokens":4,
                "cancel_share":0.3,"max_context_tokens":200}}]})",
                                                 "w.json");
  ASSERT_TRUE(workload) << workload.error().message;
  std::size_t followed = 0;
  for (std::uint64_t seed = 0; seed < 25; ++seed) {
    Rng rng{seed, "policy"};
    ClientPolicy policy;
    // Somebody must leave the black holes, or nothing follows from them.
    policy.total_timeout = from_seconds(0.3 + 2 * rng.uniform());
    if (rng.uniform() < 0.5) policy.first_token_timeout = from_seconds(0.1 + rng.uniform());
    policy.retry.max_retries = static_cast<std::int32_t>(rng.below(3));
    ChaosTarget target{seed};
    Sink sink;
    std::atomic<bool> stop{false};
    const auto runner = make_virtual_runner(target, policies_of(*workload, policy),
                                            make_source(*workload, seed), seed, sink, stop);
    const auto traffic = profiles::parse_traffic_text("poisson hold(5/s,6s)");
    const auto arrivals = make_schedule(*traffic, seed);
    for (const auto& a : arrivals) sink.offered(0, a.request, a.due);
    ASSERT_TRUE(runner->offer(arrivals, 4s));
    if (seed % 3 == 1) (void)runner->drain(5s);  // and a rest in the middle
    ASSERT_TRUE(runner->offer({}, 8s));
    if (seed % 3 == 2) stop = true;
    if (stop) {
      EXPECT_FALSE(runner->offer({}, 12s));
    }
    (void)runner->drain(runner->now() + 9s);
    runner->abandon();
    ASSERT_EQ(runner->in_flight(), 0u);
    EXPECT_TRUE(sink.open.empty()) << sink.open.size() << " never ended";
    EXPECT_EQ(sink.ended, sink.seen.size());
    followed += sink.seen.size() - arrivals.size();
  }
  EXPECT_GT(followed, 1'000u);
}

}  // namespace
}  // namespace dsbench::loadgen
