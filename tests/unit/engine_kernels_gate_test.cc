// The choice of experts, by hand, by the plain gate and by the fast one.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/kernels/cpu/gate.h"
#include "engine/kernels/ref/gate.h"
#include "engine/kernels/rope_config.h"
#include "tests/unit/engine_kernels_draws.h"

namespace dsbench::engine::kernels {
namespace {

using testing::draw;
using testing::kEps;
using testing::tables;
using testing::wide;

// Runs the reference in double and the fast gate of every table, and expects the same of all.
void expect_choice(const GateConfig& config, const std::vector<double>& logits,
                   const std::vector<double>& bias, const std::vector<std::int32_t>& experts,
                   const std::vector<double>& weights) {
  const auto choice = ref::gate<double>(config, logits, bias);
  EXPECT_EQ(choice.experts, experts);
  ASSERT_EQ(choice.weights.size(), weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(choice.weights[i], weights[i], 1e-12);
  for (const cpu::KernelTable* table : tables()) {
    std::vector<float> l(logits.begin(), logits.end());
    const std::vector<float> b(bias.begin(), bias.end());
    std::vector<float> scratch(logits.size() + static_cast<std::size_t>(config.groups));
    std::vector<std::int32_t> chosen(experts.size());
    std::vector<float> weight(experts.size());
    cpu::gate(*table, config, l, b, scratch, chosen, weight);
    EXPECT_EQ(chosen, experts) << table->name;
    for (std::size_t i = 0; i < weights.size(); ++i)
      EXPECT_NEAR(weight[i], weights[i], 16 * kEps * weights[i]) << table->name;
  }
}

std::vector<double> logits_of(const std::vector<double>& sigmoid_scores) {
  std::vector<double> logits;
  for (const double s : sigmoid_scores) logits.push_back(std::log(s / (1 - s)));
  return logits;
}

TEST(Gate, NegativeBiasedScoresByHand) {
  // Biased: -.1 -.9 | -.48 -.4 | -.45 -.5 | -.6 -.55. Sums of two: -1, -.88, -.95, -1.15: groups 1 and 2 stay
  // (by their best alone it would be 0 and 1). Best three of {2,3,4,5}: 3, 4, 2. Masked with 0 instead of
  // minus infinity, the refused 0, 1 and 6 would win.
  const GateConfig config{.experts = 8,
                          .top_k = 3,
                          .groups = 4,
                          .kept_groups = 2,
                          .scoring = Scoring::sigmoid,
                          .renormalise = true,
                          .routed_scale = 2.5};
  const std::vector<double> scores{.9, .1, .52, .6, .55, .5, .4, .45};
  const std::vector<double> bias(8, -1.0);
  expect_choice(config, logits_of(scores), bias, {3, 4, 2},
                {.6 / 1.67 * 2.5, .55 / 1.67 * 2.5, .52 / 1.67 * 2.5});
}

TEST(Gate, BiasChoosesButDoesNotWeigh) {
  const GateConfig config{
      .experts = 3, .top_k = 1, .scoring = Scoring::sigmoid, .renormalise = false, .routed_scale = 1};
  expect_choice(config, logits_of({.6, .5, .4}), {-.3, 0, -.2}, {1}, {.5});
}

TEST(Gate, SoftmaxOfV2Lite) {
  const GateConfig config{
      .experts = 4, .top_k = 2, .scoring = Scoring::softmax, .renormalise = false, .routed_scale = 1};
  expect_choice(config, {std::log(1), std::log(3), std::log(2), std::log(4)}, {}, {3, 1}, {.4, .3});
}

TEST(Gate, WithoutBiasGroupsGoByTheirBest) {
  // Softmax scores .4 .05 | .3 .25: by the best, group 0; by the sum of two, group 1.
  const GateConfig config{.experts = 4,
                          .top_k = 1,
                          .groups = 2,
                          .kept_groups = 1,
                          .scoring = Scoring::softmax,
                          .renormalise = false,
                          .routed_scale = 16};
  expect_choice(config, {std::log(.4), std::log(.05), std::log(.3), std::log(.25)}, {}, {0}, {6.4});
}

TEST(Gate, TheLowestIndexWinsATie) {
  const GateConfig config{
      .experts = 4, .top_k = 2, .scoring = Scoring::sigmoid, .renormalise = true, .routed_scale = 1};
  expect_choice(config, {0, 0, 0, 0}, {}, {0, 1}, {.5, .5});
}

TEST(Gate, FastAgreesWithReferenceOnV3Shape) {
  const GateConfig config{.experts = 256,
                          .top_k = 8,
                          .groups = 8,
                          .kept_groups = 4,
                          .scoring = Scoring::sigmoid,
                          .renormalise = true,
                          .routed_scale = 2.5};
  int compared = 0;
  for (int round = 0; round < 200; ++round) {
    const std::vector<float> logits = draw(fmt::format("logits{}", round), 256, -3, 3);
    const std::vector<float> bias = draw(fmt::format("bias{}", round), 256, -0.8, 0.1);
    const auto truth = ref::gate<double>(config, wide(logits), wide(bias));
    if (truth.margin < 16 * kEps) continue;  // rounding may decide otherwise
    ++compared;
    for (const cpu::KernelTable* table : tables()) {
      std::vector<float> l = logits;
      std::vector<float> scratch(264);
      std::vector<std::int32_t> chosen(8);
      std::vector<float> weight(8);
      cpu::gate(*table, config, l, bias, scratch, chosen, weight);
      EXPECT_EQ(chosen, truth.experts) << table->name << " round " << round;
    }
  }
  EXPECT_GT(compared, 180);
}

}  // namespace
}  // namespace dsbench::engine::kernels
