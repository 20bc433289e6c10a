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

}  // namespace
}  // namespace dsbench::loadgen
