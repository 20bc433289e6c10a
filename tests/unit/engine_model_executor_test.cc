#include "engine/executors/cpu_executor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <vector>

#include "core/rng.h"

namespace dsbench::engine {
namespace {

profiles::ModelProfile tiny() {
  auto profile = profiles::load_model_profile("tiny");
  EXPECT_TRUE(profile);
  return *profile;
}

std::unique_ptr<Executor> make(int threads, int blocks = 64) {
  auto executor = make_cpu_executor(tiny(), DrawnWeights{1}, {threads, blocks, 16});
  EXPECT_TRUE(executor) << executor.error().message;
  return std::move(*executor);
}

std::vector<TokenId> draw_prompt(std::size_t n) {
  Rng rng(17, "prompt");
  std::vector<TokenId> tokens(n);
  for (TokenId& t : tokens) t = static_cast<TokenId>(rng.below(256));
  return tokens;
}

struct Sequence {
  std::vector<TokenId> tokens;
  std::vector<std::int32_t> blocks;
  float temperature = 0;
  std::uint64_t seed = 0;
  std::int32_t computed = 0;

  // Computes the next `count` known tokens; appends the sampled one when that was all of them.
  void advance(Executor& executor, std::int32_t count) {
    const bool all = computed + count == static_cast<std::int32_t>(tokens.size());
    StepBatch batch;
    batch.items.push_back({.sequence = 1,
                           .tokens = std::span(tokens).subspan(static_cast<std::size_t>(computed),
                                                               static_cast<std::size_t>(count)),
                           .start = computed,
                           .blocks = blocks,
                           .sample = all,
                           .temperature = temperature,
                           .seed = seed});
    std::vector<TokenId> sampled(1, -1);
    const auto took = executor.execute(batch, sampled);
    ASSERT_TRUE(took) << took.error().message;
    EXPECT_GT(took->count(), 0);
    computed += count;
    if (all) {
      tokens.push_back(sampled[0]);
    } else {
      EXPECT_EQ(sampled[0], -1) << "wrote where nobody asked for a sample";
    }
  }
  void generate(Executor& executor, int n) {
    for (int i = 0; i < n; ++i) advance(executor, static_cast<std::int32_t>(tokens.size()) - computed);
  }
};

std::vector<std::int32_t> range(std::int32_t first, std::int32_t count) {
  std::vector<std::int32_t> blocks(static_cast<std::size_t>(count));
  std::iota(blocks.begin(), blocks.end(), first);
  return blocks;
}

TEST(CpuExecutor, PreemptedAndRecomputedIsNeverPreempted) {
  for (const float temperature : {0.0F, 1.0F}) {
    const auto undisturbed = make(1);
    Sequence whole{draw_prompt(70), range(0, 12), temperature, 5};
    whole.generate(*undisturbed, 60);

    const auto executor = make(2);
    Sequence s{draw_prompt(70), range(20, 12), temperature, 5};
    s.generate(*executor, 23);
    // Preempted: its blocks go to somebody else, who fills them.
    Sequence other{draw_prompt(150), range(20, 12), 0, 0};
    other.generate(*executor, 20);
    // Resumed: everything known is computed again in other blocks, in other chunks.
    s.blocks = range(40, 12);
    s.computed = 0;
    while (s.computed + 40 < static_cast<std::int32_t>(s.tokens.size())) s.advance(*executor, 37);
    s.generate(*executor, 37);
    EXPECT_EQ(s.tokens, whole.tokens) << "temperature " << temperature;
  }
}

TEST(CpuExecutor, GreedyOutputIsVaried) {
  const auto executor = make(2, 64);
  Sequence s{draw_prompt(32), range(0, 32)};
  s.generate(*executor, 400);
  const std::set<TokenId> distinct(s.tokens.begin() + 32, s.tokens.end());
  // A loop shows as a period: the share of the last 100 tokens that repeat those p places before, over all p.
  int worst = 0;
  for (std::size_t period = 1; period <= 100; ++period) {
    int same = 0;
    for (std::size_t i = s.tokens.size() - 100; i < s.tokens.size(); ++i)
      same += s.tokens[i] == s.tokens[i - period] ? 1 : 0;
    worst = std::max(worst, same);
  }
  fmt::print("400 greedy tokens: {} distinct; {} % of the last 100 repeat at some period\n", distinct.size(),
             worst);
  EXPECT_GT(distinct.size(), 60U);
  EXPECT_LT(worst, 90);
}

TEST(CpuExecutor, SeedsOfTheWeightsMatter) {
  Sequence a{draw_prompt(20), range(0, 8)};
  Sequence b = a;
  a.generate(*make(1), 20);
  b.generate(**make_cpu_executor(tiny(), DrawnWeights{2}, {1, 64, 16}), 20);
  EXPECT_NE(a.tokens, b.tokens);
}

TEST(CpuExecutor, SaysWhatItIs) {
  EXPECT_TRUE(make(2)->describe().starts_with("tiny (cpu ")) << make(2)->describe();
  EXPECT_TRUE(make(2)->describe().ends_with(", fp32, 2 threads, seed 1)"));
}

TEST(CpuExecutor, RefusesWhatDoesNotFit) {
  const auto v3 = profiles::load_model_profile("v3");
  ASSERT_TRUE(v3);
  const auto executor = make_cpu_executor(*v3, DrawnWeights{1}, {1, 1024, 16});
  ASSERT_FALSE(executor);
  EXPECT_EQ(executor.error().kind, ErrorKind::memory);
  EXPECT_TRUE(executor.error().message.starts_with("model 'v3' needs 2.44 TiB: "))
      << executor.error().message;
  const auto none = make_cpu_executor(tiny(), DrawnWeights{1}, {0, 1024, 16});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "0 engine threads; accepted are 1 to 256");
}

TEST(CpuExecutor, RefusesStepsThatWouldLeaveThePool) {
  const auto executor = make(1, 8);
  const std::vector<TokenId> tokens{1, 2, 3};
  std::vector<TokenId> sampled(1);
  const auto refused = [&](const StepItem& item) {
    StepBatch batch;
    batch.items.push_back(item);
    const auto verdict = executor->execute(batch, sampled);
    return verdict ? std::string("accepted") : verdict.error().message;
  };
  const std::vector<std::int32_t> good{0};
  const std::vector<std::int32_t> bad{8};
  const std::vector<TokenId> strange{1, 257, 3};
  EXPECT_EQ(refused({.sequence = 4, .tokens = tokens, .start = 14, .blocks = good}),
            "sequence 4: 1 blocks of 16 tokens do not cover 17 positions");
  EXPECT_EQ(refused({.sequence = 4, .tokens = tokens, .start = 0, .blocks = bad}),
            "sequence 4: block 8 of a pool of 8");
  EXPECT_EQ(refused({.sequence = 4, .tokens = strange, .start = 0, .blocks = good}),
            "sequence 4: token 257; model 'tiny' has 0 to 256");
  EXPECT_EQ(refused({.sequence = 4, .tokens = tokens, .start = 4095, .blocks = good}),
            "sequence 4: positions 4095 to 4097; model 'tiny' takes 0 to 4095");
  EXPECT_EQ(refused({.sequence = 4, .tokens = tokens, .start = 0, .blocks = good}), "accepted");
}

TEST(CpuExecutor, SaysHowItKeepsWeightsAndRefusesToPinBeyondTheCores) {
  const auto narrow =
      make_cpu_executor(tiny(), DrawnWeights{1}, {1, 64, 16, 0, kernels::WeightType::bf16, /*pin=*/true});
  ASSERT_TRUE(narrow) << narrow.error().message;
  EXPECT_NE((*narrow)->describe().find(", bf16, 1 pinned thread, seed 1)"), std::string::npos)
      << (*narrow)->describe();
  const auto refused =
      make_cpu_executor(tiny(), DrawnWeights{1}, {256, 64, 16, 0, kernels::WeightType::int8, /*pin=*/true});
  if (refused) GTEST_SKIP() << "256 processors and more";
  EXPECT_NE(refused.error().message.find("256 pinned engine threads, and this process may run on"),
            std::string::npos)
      << refused.error().message;
}

}  // namespace
}  // namespace dsbench::engine
