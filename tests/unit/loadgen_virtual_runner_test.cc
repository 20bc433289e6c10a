#include "loadgen/virtual_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include "loadgen/from_profiles.h"
#include "loadgen/schedule.h"
#include "loadgen/workload.h"
#include "tests/fakes/fifo_target.h"
#include "tests/fakes/kept_records.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::Reason;

Attempt fixed_source(std::uint64_t) {
  Attempt a;
  a.prompt_tokens = 10;
  a.output_tokens = 5;
  return a;
}

std::vector<Arrival> hold(double rate, Nanos from, Nanos length, std::uint64_t first = 0,
                          const char* process = "poisson") {
  const auto profile =
      profiles::parse_traffic_text(fmt::format("{} hold({}/s,{}ns)", process, rate, length.count()));
  EXPECT_TRUE(profile) << profile.error().message;
  return make_schedule(*profile, 77, {first, from, 0});
}

struct World {
  explicit World(const fakes::FifoConfig& config, const ClientPolicy& policy = {})
      : target{config}, runner{make_virtual_runner(target, policy, fixed_source, 5, kept, stop)} {}
  fakes::FifoTarget target;
  fakes::KeptRecords kept;
  std::atomic<bool> stop{false};
  std::unique_ptr<Runner> runner;

  // Of the requests due in [from, to): the share that met the SLO.
  double good_share(Nanos from, Nanos to, Nanos ttft = 500ms) const {
    results::Slo slo;
    slo.ttft = ttft;
    double all = 0;
    double good = 0;
    for (const auto& r : kept.requests) {
      if (r.due < from || r.due >= to) continue;
      all += 1;
      good += is_good(r, slo) ? 1 : 0;
    }
    return good / all;
  }
};

ClientPolicy impatient() {
  ClientPolicy policy;
  policy.first_token_timeout = 2s;
  policy.retry.max_retries = 2;
  return policy;
}

TEST(VirtualRunner, ExactTimesOfAnIdleService) {
  World w{{.capacity = Rate::per_second(10), .latency = 20ms, .per_token = 5ms, .max_queued = {}}};
  const std::vector<Arrival> arrivals{{0, 1s, 0}, {1, 2s, 0}};
  ASSERT_TRUE(w.runner->offer(arrivals, 2s + 50ms));
  EXPECT_EQ(w.runner->now(), 2s + 50ms);
  EXPECT_EQ(w.runner->in_flight(), 1u);
  EXPECT_EQ(w.runner->drain(10s).value(), 0u);
  EXPECT_EQ(w.runner->now(), 2s + 140ms) << "drained: not at the deadline";
  ASSERT_EQ(w.kept.attempts.size(), 2u);
  const auto& a = w.kept.attempts[0];
  EXPECT_EQ(a.sent, 1s);
  EXPECT_EQ(a.first_token, 1s + 120ms);
  EXPECT_EQ(a.last_token, 1s + 140ms);
  EXPECT_EQ(a.done, 1s + 140ms);
  EXPECT_EQ(a.output_tokens, 5);
  EXPECT_EQ(a.http_status, 200);
}

TEST(VirtualRunner, StopForgetsArrivalsAndDrainStillWorks) {
  World w{{.max_queued = {}}};
  ASSERT_TRUE(w.runner->offer(hold(50, 0s, 1s, 0, "constant"), 1s - 5ms));
  w.stop = true;
  const auto offered = w.runner->offer(hold(50, 1s, 1s, 50, "constant"), 2s);
  ASSERT_FALSE(offered);
  EXPECT_EQ(offered.error().kind, ErrorKind::interrupted);
  EXPECT_EQ(offered.error().message, "interrupted at 0.995 s of virtual time; 50 arrivals were not offered");
  EXPECT_EQ(w.runner->drain(10s).value(), 0u);
  EXPECT_EQ(w.kept.requests.size(), 50u);
}

TEST(VirtualRunner, DrainEndsAtItsDeadlineAndAbandonRecordsTheRest) {
  World w{{.capacity = Rate::per_second(1), .max_queued = {}}};
  ASSERT_TRUE(w.runner->offer(hold(10, 0s, 1s, 0, "constant"), 1s));
  EXPECT_EQ(w.runner->drain(5s).value(), 6u) << "1 s each: those that ended by 5 s are four";
  EXPECT_EQ(w.runner->now(), 5s);
  w.runner->abandon();
  EXPECT_EQ(w.runner->in_flight(), 0u);
  EXPECT_EQ(std::count_if(w.kept.requests.begin(), w.kept.requests.end(),
                          [](const auto& r) { return r.reason == Reason::interrupted; }),
            6);
}

TEST(VirtualRunner, SameSeedSameRecords) {
  const auto run = [] {
    World w{{.capacity = Rate::per_second(40), .max_queued = 20}, impatient()};
    EXPECT_TRUE(w.runner->offer(hold(60, 0s, 20s), 20s));
    EXPECT_TRUE(w.runner->drain(60s));
    std::string all;
    for (const auto& a : w.kept.attempts) {
      all += fmt::format("{}/{} {} {} {} {}\n", a.request, a.attempt, a.due.count(), a.sent.count(),
                         a.done.count(), to_word(a.reason));
    }
    return all;
  };
  const std::string once = run();
  EXPECT_GT(once.size(), 10000u);
  EXPECT_EQ(once, run());
}

TEST(VirtualRunner, HealthCountsUnsentPerStretch) {
  class Refuses final : public VirtualTarget {
   public:
    void submit(const Attempt& a, Nanos now) override {
      TargetEvent e;
      e.request = a.request;
      e.kind = EventKind::failed;
      e.reason = Reason::unsent;
      e.at = now;
      waiting_.push_back(e);
    }
    void cancel(std::uint64_t, std::uint32_t, Nanos) override {}
    std::optional<Nanos> next_event() const override {
      if (waiting_.empty()) return std::nullopt;
      return waiting_.front().at;
    }
    void advance(Nanos, std::vector<TargetEvent>& events) override {
      events.insert(events.end(), waiting_.begin(), waiting_.end());
      waiting_.clear();
    }

   private:
    std::vector<TargetEvent> waiting_;
  };
  Refuses target;
  fakes::KeptRecords kept;
  std::atomic<bool> stop{false};
  const auto runner = make_virtual_runner(target, {}, fixed_source, 1, kept, stop);
  ASSERT_TRUE(runner->offer(hold(10, 0s, 1s, 0, "constant"), 1s));
  EXPECT_EQ(runner->health().unsent, 10u);
  EXPECT_EQ(runner->health().unsent, 0u);
}

TEST(VirtualRunner, ATargetThatCriesWolfIsAnErrorAndNoEndlessLoop) {
  class CriesWolf final : public VirtualTarget {
   public:
    void submit(const Attempt&, Nanos) override {}
    void cancel(std::uint64_t, std::uint32_t, Nanos) override {}
    std::optional<Nanos> next_event() const override { return 3ns; }
    void advance(Nanos, std::vector<TargetEvent>&) override {}
  };
  CriesWolf target;
  fakes::KeptRecords kept;
  std::atomic<bool> stop{false};
  const auto runner = make_virtual_runner(target, {}, fixed_source, 1, kept, stop);
  const auto offered = runner->offer({}, 1s);
  ASSERT_FALSE(offered);
  EXPECT_EQ(offered.error().message,
            "the virtual target announces an event at 3 ns again and again, and none comes");
}

TEST(FifoTarget, CollapsesAboveItsCapacity) {
  for (const double rate : {90.0, 99.0, 110.0, 150.0}) {
    World w{{.capacity = Rate::per_second(100), .max_queued = {}}};
    ASSERT_TRUE(w.runner->offer(hold(rate, 0s, 60s, 0, "constant"), 60s));
    ASSERT_EQ(w.runner->drain(1000s).value(), 0u);
    const double good = w.good_share(10s, 60s);
    std::printf("%.0f/s offered to 100/s: %.3f good\n", rate, good);
    if (rate < 100) {
      EXPECT_EQ(good, 1.0);
    } else {
      EXPECT_LT(good, 0.1);
    }
  }
}

// A base load b on a capacity of 100/s, a pulse of 200/s for 4 s, then b again. If every late answer is waste
// and each failure makes r further attempts, the collapsed state keeps itself alive when b > capacity ÷ (1 +
// r): 33/s with the SDK's two retries.
TEST(FifoTarget, WithRetriesItStaysDownAboveAThirdOfItsCapacity) {
  const auto late_good = [](bool cancels, double base, std::int32_t retries) {
    ClientPolicy policy = impatient();
    policy.retry.max_retries = retries;
    World w{{.capacity = Rate::per_second(100), .max_queued = {}, .cancels = cancels}, policy};
    EXPECT_TRUE(w.runner->offer(hold(base, 0s, 20s), 20s));
    EXPECT_TRUE(w.runner->offer(hold(200, 20s, 4s, 100000), 24s));
    EXPECT_TRUE(w.runner->offer(hold(base, 24s, 126s, 200000), 150s));
    EXPECT_GT(w.good_share(0s, 17s), 0.99);
    const double good = w.good_share(120s, 140s);
    std::printf("base %.0f/s, %d retries, work of who left %s: good share 100 s after the pulse %.3f\n", base,
                retries, cancels ? "dropped" : "done", good);
    return good;
  };
  EXPECT_LT(late_good(false, 60, 2), 0.05);
  EXPECT_LT(late_good(false, 45, 2), 0.05);
  EXPECT_GT(late_good(false, 25, 2), 0.99);
  EXPECT_GT(late_good(false, 60, 0), 0.99);
  EXPECT_GT(late_good(true, 60, 0), 0.99);
  EXPECT_GT(late_good(true, 60, 2), 0.99);
}

TEST(FifoTarget, ABoundedQueueKeepsItUp) {
  World w{{.capacity = Rate::per_second(100), .max_queued = 20, .cancels = false}, impatient()};
  ASSERT_TRUE(w.runner->offer(hold(200, 0s, 30s), 30s));
  ASSERT_TRUE(w.runner->offer(hold(60, 30s, 30s, 100000), 60s));
  ASSERT_EQ(w.runner->drain(100s).value(), 0u);
  EXPECT_GT(w.good_share(45s, 60s, 2s), 0.99);
  EXPECT_EQ(w.target.wasted(), 0u);
}

}  // namespace
}  // namespace dsbench::loadgen
