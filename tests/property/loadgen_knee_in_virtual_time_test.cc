#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <variant>

#include "core/rng.h"
#include "loadgen/rehearsal_planner.h"
#include "loadgen/schedule.h"
#include "loadgen/virtual_runner.h"
#include "tests/fakes/fifo_target.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;

// Counts, of the requests due in a window, how many were good.
class Judge final : public results::RecordSink {
 public:
  explicit Judge(Nanos ttft) { slo_.ttft = ttft; }
  void attempt(const results::AttemptRecord&) override {}
  void request(const results::RequestRecord& r) override {
    if (r.due < from) return;
    ++counts.requests;
    counts.good += is_good(r, slo_) ? 1 : 0;
  }
  Nanos from{0};
  StepCounts counts;

 private:
  results::Slo slo_;
};

// The whole search against a target whose knee is known: planner, schedule, machine, virtual time.
FoundKnee find_knee(double capacity, const ClientPolicy& policy, double start, std::uint64_t seed,
                    int& steps) {
  fakes::FifoTarget target{{.capacity = Rate::per_second(capacity), .max_queued = {}}};
  Judge judge{500ms};
  std::atomic<bool> stop{false};
  const auto source = [](std::uint64_t) {
    Attempt a;
    a.prompt_tokens = 10;
    a.output_tokens = 5;
    return a;
  };
  const auto runner = make_virtual_runner(target, policy, source, seed, judge, stop);
  PlannerConfig config;
  config.start_rate = Rate::per_second(start);
  config.resolution = 0.03;
  // Long steps: they start with an empty queue, and a short one ends before the queue is what theory speaks
  // of.
  config.waiting_bound = 3s;
  config.step_max = 100s;
  config.budget = 3h;
  RehearsalPlanner planner{config};
  std::uint64_t requests = 0;
  for (steps = 0; steps < 200; ++steps) {
    const PlannerAnswer answer = planner.next(runner->now());
    if (const auto* found = std::get_if<FoundKnee>(&answer)) return *found;
    const auto* step = std::get_if<PlannedStep>(&answer);
    if (step == nullptr) break;
    profiles::TrafficProfile traffic;
    traffic.pieces.push_back({profiles::HoldPiece{step->rate, step->warm_up + step->measured}, "", Nanos{0}, {}});
    const auto arrivals = make_schedule(traffic, derive_seed(seed, "step", static_cast<std::uint64_t>(steps)),
                                        {requests, runner->now(), 0});
    requests += arrivals.size();
    judge.from = runner->now() + step->warm_up;
    judge.counts = {};
    EXPECT_TRUE(runner->offer(arrivals, runner->now() + step->warm_up + step->measured));
    EXPECT_EQ(runner->drain(runner->now() + 1h).value(), 0u);
    planner.record(*step, judge.counts);
  }
  ADD_FAILURE() << "no knee after " << steps << " steps";
  return {};
}

// Poisson arrivals to a server of constant service time s (M/D/1): the wait exceeds t with probability about
// exp(−2 (1 − ρ)/ρ · t/s), so for t = 480 ms and 1 % the knee lies at ρ = 1/(1 + 2.3 s/t): 0.954 at 100/s,
// 0.995 at 1000/s.
TEST(KneeInVirtualTime, IsWhereQueueingTheoryPutsItWithinFivePercent) {
  ClientPolicy impatient;
  impatient.first_token_timeout = 2s;
  impatient.retry.max_retries = 2;
  for (const double capacity : {40.0, 100.0, 333.0, 1000.0}) {
    for (const bool retries : {false, true}) {
      const double theory = capacity / (1 + 2.3 / capacity / 0.48);
      int steps = 0;
      const FoundKnee knee =
          find_knee(capacity, retries ? impatient : ClientPolicy{}, capacity / 30, 11, steps);
      const double error = knee.rate.per_second() / theory - 1;
      std::printf("capacity %4.0f/s, %s: knee %.1f/s, theory %.1f/s (%+.1f %%), %d steps\n", capacity,
                  retries ? "retries" : "patient", knee.rate.per_second(), theory, 100 * error, steps);
      EXPECT_LT(std::abs(error), 0.05) << knee.sentence;
    }
  }
}

}  // namespace
}  // namespace dsbench::loadgen
