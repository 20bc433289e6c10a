// What a self-test becomes on a quiet machine, on a noisy one, and where there is no gate.
#include "results/gate/selftest_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/rng.h"

namespace dsbench::results::gate {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Spreads = std::vector<std::pair<std::string, double>>;

TEST(SelftestPlan, AQuietMachineKeepsTheUsualMargins) {
  const SelftestPlan plan =
      plan_selftest({{"p50 ttft", 0.005}, {"p50 tpot", 0}, {"good_rate", 0}}, 30s, {}, "load", {});
  ASSERT_EQ(plan.blocker, "");
  EXPECT_EQ(plan.margins.at("p50 ttft"), serving_margin);
  EXPECT_EQ(plan.margins.at("good_rate"), serving_margin);
  EXPECT_EQ(plan.slow_by, 0.15);
  EXPECT_EQ(plan.sequence.looks.front().runs, 10U);
  EXPECT_EQ(plan.sequence.looks.back().runs, 20U);
  EXPECT_EQ(plan.sequence.confirmation, 0U);
}

TEST(SelftestPlan, NoiseWidensTheMarginsAndTheSlowdown) {
  const SelftestPlan plan =
      plan_selftest({{"p50 ttft", 0.20}, {"p50 tpot", 0.06}, {"good_rate", 0}}, 30s, {}, "load", {});
  ASSERT_EQ(plan.blocker, "");
  const Look& last = plan.sequence.looks.back();
  EXPECT_GE(plan.margins.at("p50 ttft"), margin_to_be_same(last.runs, 0.20, last.alpha));
  EXPECT_GT(plan.margins.at("p50 ttft"), plan.margins.at("p50 tpot"));
  EXPECT_GE(plan.margins.at("p50 tpot"), 0.06);
  EXPECT_EQ(plan.margins.at("good_rate"), serving_margin);
  EXPECT_GT(plan.slow_by, plan.margins.at("p50 tpot")) << "the quietest latency is to see it";
  EXPECT_LT(plan.slow_by, 0.5);
}

TEST(SelftestPlan, TheBudgetDecidesTheRuns) {
  SelftestLimits limits;
  limits.budget = 300s;
  EXPECT_EQ(plan_selftest({{"p50 ttft", 0.01}}, 30s, {}, "load", limits).sequence.looks.back().runs, 10U);
  limits.budget = 100s;
  EXPECT_THAT(plan_selftest({{"p50 ttft", 0.01}}, 30s, {}, "load", limits).blocker,
              HasSubstr("6 rounds at least are needed: 3 min 00 s, and the budget is 100 s; accepted: "
                        "--budget 3 min 30 s"));
}

TEST(SelftestPlan, WhereThereIsNoGateItSaysWhatItWouldTake) {
  const std::string too_noisy =
      plan_selftest({{"p50 ttft", 1.4}, {"p50 tpot", 0.9}}, 30s, {}, "load", {}).blocker;
  EXPECT_THAT(
      too_noisy,
      HasSubstr("the noise is too large for a gate: p50 tpot, the quietest latency, spreads by 90 %"));
  EXPECT_THAT(too_noisy, HasSubstr("A margin of 5 % would take"));
  JudgeSettings narrow;
  narrow.margin = 0.02;
  EXPECT_THAT(plan_selftest({{"p50 ttft", 0.05}}, 30s, narrow, "load", {}).blocker,
              testing::AllOf(HasSubstr("p50 ttft spreads by 5.0 % from run to run"),
                             HasSubstr("and the margin is 2 %"), HasSubstr("runs a side (")));
  SelftestLimits small;
  small.least_slowdown = 0.02;
  small.slowdown_is_given = true;
  EXPECT_THAT(plan_selftest({{"p50 ttft", 0.05}}, 30s, {}, "load", small).blocker,
              HasSubstr("and 2 % is what --slow-by injects"));
  EXPECT_THAT(plan_selftest({{"good_rate", 0.01}}, 30s, {}, "load", {}).blocker,
              HasSubstr("none of the gated metrics is a latency"));
  EXPECT_NE(plan_selftest({}, 30s, {}, "load", {}).blocker, "");
}

// The promise of the plan, held against simulated machines: what it chooses from a pilot of 4 rounds is green
// for the same build twice and red for the slower one nearly always, and never calls the same build different
// more often than alpha.
TEST(SelftestPlan, WhatItChoosesDecidesOnSimulatedMachines) {
  for (const double noise : {0.01, 0.04, 0.10}) {
    int passed = 0, called = 0, blocked = 0;
    constexpr int machines = 300;
    for (int machine = 0; machine < machines; ++machine) {
      Rng rng{static_cast<std::uint64_t>(machine), "selftest-plan"};
      const auto run = [&](double value) {
        return value * std::exp(noise * rng.normal()) * (rng.uniform() < 0.1 ? 1.15 : 1);
      };
      std::array<std::vector<double>, 2> pilot;
      for (int i = 0; i < 4; ++i) {
        for (auto& side : pilot) side.push_back(run(1));
      }
      const double spread = cautious_spread(pilot[0], pilot[1]);
      const SelftestPlan plan = plan_selftest({{"p50 ttft", spread}}, 30s, {}, "load", {});
      if (!plan.blocker.empty()) {
        ++blocked;
        continue;
      }
      std::vector<double> base, same, slow;
      for (const Look& look : plan.sequence.looks) {
        while (base.size() < look.runs) {
          base.push_back(run(1));
          same.push_back(run(1));
          slow.push_back(run(1 + plan.slow_by));
        }
        const double margin = plan.margins.at("p50 ttft");
        const auto equal = judge_values({"p50 ttft"}, base, same, look.alpha, margin).verdict;
        const auto worse = judge_values({"p50 ttft"}, base, slow, look.alpha, margin).verdict;
        if (equal == MetricVerdict::regressed || equal == MetricVerdict::improved) {
          ++called;
          break;
        }
        if (equal == MetricVerdict::same && worse == MetricVerdict::regressed) {
          ++passed;
          break;
        }
      }
    }
    EXPECT_GE(passed, machines * 85 / 100)
        << "noise " << noise << ": " << passed << " of " << machines << " decided, " << blocked << " blocked";
    EXPECT_LE(called, machines * 2 / 100) << "noise " << noise;
    RecordProperty("passed_at_" + std::to_string(static_cast<int>(100 * noise)), passed);
  }
}

}  // namespace
}  // namespace dsbench::results::gate
