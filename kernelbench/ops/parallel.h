#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace dsbench::kernelbench {

// Runs f(i) for every i in [0, count) on as many threads as there are processors; for operands and oracles,
// never for what is timed.
template <class F>
void parallel_for(std::int64_t count, const F& f) {
  const auto processors = static_cast<std::int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  const std::int64_t threads = std::min<std::int64_t>({count, processors, 64});
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    for (std::int64_t i = next++; i < count; i = next++) f(i);
  };
  std::vector<std::thread> others;
  for (std::int64_t i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
}

}  // namespace dsbench::kernelbench
