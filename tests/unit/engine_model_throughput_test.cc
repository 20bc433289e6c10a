// Not an assertion: prints what the shipped tiny model does here. Run with --gtest_also_run_disabled_tests.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
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

struct Cost {
  double seconds;      // on the wall
  double cpu_seconds;  // of all threads: what a machine with nobody else on it would take with one thread
};

// The best of five, so that a neighbour's burst does not count.
template <class F>
Cost best_cost(const F& f) {
  Cost best{1e9, 1e9};
  for (int i = 0; i < 5; ++i) {
    const SteadyClock clock;
    const Nanos start = clock.now();
    const std::clock_t cpu_start = std::clock();
    f();
    best.cpu_seconds =
        std::min(best.cpu_seconds, static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
    best.seconds = std::min(best.seconds, to_seconds(clock.now() - start));
  }
  return best;
}

TEST(Throughput, DISABLED_Tiny) {
  const auto profile = profiles::load_model_profile("tiny");
  ASSERT_TRUE(profile);
  for (const int threads : {1, 2}) {
    const SteadyClock clock;
    const Nanos start = clock.now();
    auto executor = make_cpu_executor(*profile, 1, threads, 8192, kBlockSize);
    ASSERT_TRUE(executor) << executor.error().message;
    fmt::print("{}: made in {:.0f} ms\n", (*executor)->describe(), to_millis(clock.now() - start));
    for (const int context : {128, 1024}) {
      for (const int batch : {1, 8, 32}) {
        Sequences s(batch, context + 64);
        const int steps = 32;
        const Cost cost = best_cost([&] {
          for (int step = 0; step < steps; ++step) {
            StepBatch work;
            for (int i = 0; i < batch; ++i) {
              const auto at = static_cast<std::size_t>(i);
              work.items.push_back(
                  {.sequence = static_cast<SequenceId>(i),
                   .tokens = std::span(s.tokens[at]).subspan(static_cast<std::size_t>(context + step), 1),
                   .start = context + step,
                   .blocks = s.blocks[at],
                   .sample = true});
            }
            std::vector<TokenId> sampled(static_cast<std::size_t>(batch));
            ASSERT_TRUE((*executor)->execute(work, sampled));
          }
        });
        fmt::print(
            "  {} thread(s), decode, batch {:2}, context {:4}: {:6.0f} tokens/s, {:6.0f} per CPU second, "
            "{:6.2f} ms a step\n",
            threads, batch, context, batch * steps / cost.seconds, batch * steps / cost.cpu_seconds,
            cost.seconds / steps * 1e3);
      }
    }
    for (const int length : {128, 1024, 4000}) {
      Sequences s(1, length);
      const Cost cost = best_cost([&] {
        for (int at = 0; at < length; at += 512) {
          const int count = std::min(512, length - at);
          StepBatch work;
          work.items.push_back(
              {.sequence = 1,
               .tokens = std::span(s.tokens[0])
                             .subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count)),
               .start = at,
               .blocks = s.blocks[0],
               .sample = at + count == length});
          std::vector<TokenId> sampled(1);
          ASSERT_TRUE((*executor)->execute(work, sampled));
        }
      });
      fmt::print(
          "  {} thread(s), prefill of {:4} in chunks of 512: {:6.0f} tokens/s, {:6.0f} per CPU second\n",
          threads, length, length / cost.seconds, length / cost.cpu_seconds);
    }
  }
}

}  // namespace
}  // namespace dsbench::engine
