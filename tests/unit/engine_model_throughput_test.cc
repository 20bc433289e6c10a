// Not an assertion: prints what the shipped tiny model does here. Run with --gtest_also_run_disabled_tests.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/clock.h"
#include "engine/executors/cpu_executor.h"
#include "engine/kernels/cpu/kernel_table.h"

namespace dsbench::engine {
namespace {

constexpr int kBlockSize = 16;

// `count` sequences of `context` tokens, each in blocks of its own.
struct Sequences {
  Sequences(int count, int context) {
    for (int i = 0; i < count; ++i) {
      std::vector<TokenId> prompt(static_cast<std::size_t>(context));
      for (int j = 0; j < context; ++j) prompt[static_cast<std::size_t>(j)] = (i * 31 + j * 7) % 256;
      tokens.push_back(prompt);
      std::vector<std::int32_t> table(static_cast<std::size_t>(context / kBlockSize + 1));
      std::iota(table.begin(), table.end(), i * static_cast<int>(table.size()));
      blocks.push_back(table);
    }
  }
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::vector<std::int32_t>> blocks;
};

// The shortest of `times`: a step is shorter than a scheduler's slice, so one of them is undisturbed even on
// a busy machine.
template <class F>
double shortest_seconds(int times, const F& f) {
  double best = 1e9;
  for (int i = 0; i < times; ++i) {
    const SteadyClock clock;
    const Nanos start = clock.now();
    f();
    best = std::min(best, to_seconds(clock.now() - start));
  }
  return best;
}

TEST(Throughput, DISABLED_Tiny) {
  const auto profile = profiles::load_model_profile("tiny");
  ASSERT_TRUE(profile);
  for (const int threads : {1, 2}) {
    const SteadyClock clock;
    const Nanos start = clock.now();
    auto executor = make_cpu_executor(*profile, DrawnWeights{1}, {threads, 8192, kBlockSize});
    ASSERT_TRUE(executor) << executor.error().message;
    fmt::print("{}: made in {:.0f} ms\n", (*executor)->describe(), to_millis(clock.now() - start));
    for (const int context : {128, 1024}) {
      for (const int batch : {1, 8, 32}) {
        const Sequences s(batch, context);
        StepBatch work;
        for (std::size_t i = 0; i < s.tokens.size(); ++i) {
          work.items.push_back({.sequence = i,
                                .tokens = std::span(s.tokens[i]).last(1),
                                .start = context - 1,
                                .blocks = s.blocks[i],
                                .sample = true});
        }
        std::vector<TokenId> sampled(work.items.size());
        const double seconds =
            shortest_seconds(1000 / batch, [&] { ASSERT_TRUE((*executor)->execute(work, sampled)); });
        fmt::print("  {} thread(s), decode, batch {:2}, context {:4}: {:6.0f} tokens/s, {:6.2f} ms a step\n",
                   threads, batch, context, batch / seconds, seconds * 1e3);
      }
    }
    for (const int length : {128, 1024, 4000}) {
      const Sequences s(1, length);
      double seconds = 0;
      for (int at = 0; at < length; at += 128) {
        const int count = std::min(128, length - at);
        StepBatch work;
        work.items.push_back(
            {.sequence = 1,
             .tokens = std::span(s.tokens[0])
                           .subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count)),
             .start = at,
             .blocks = s.blocks[0],
             .sample = at + count == length});
        std::vector<TokenId> sampled(1);
        seconds += shortest_seconds(10, [&] { ASSERT_TRUE((*executor)->execute(work, sampled)); });
      }
      fmt::print("  {} thread(s), prefill of {:4} in chunks of 128: {:6.0f} tokens/s\n", threads, length,
                 length / seconds);
    }
  }
}

}  // namespace
}  // namespace dsbench::engine
