// The threads that kernels are shared out to.

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "engine/kernels/cpu/thread_pool.h"

namespace dsbench::engine::kernels {
namespace {

TEST(ThreadPool, DoesEveryUnitOnce) {
  for (const int threads : {1, 2, 4}) {
    cpu::ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int round = 0; round < 300; ++round) {
      const int units = round % 17;
      std::vector<std::atomic<int>> times(static_cast<std::size_t>(units));
      pool.run(units, [&](int unit, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, threads);
        times[static_cast<std::size_t>(unit)].fetch_add(1);
      });
      for (const auto& t : times) ASSERT_EQ(t.load(), 1);
    }
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels
