#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/kernels/cpu/thread_pool.h"

namespace dsbench::kernelbench::cpu {

// Shares `count` rows of `work` steps each out to the threads, f(begin, end): one part when the work is less
// than waking threads costs, else a few for each thread.
template <class F>
void in_parts(engine::kernels::cpu::ThreadPool& pool, std::int64_t count, std::int64_t work, const F& f) {
  constexpr std::int64_t kWorthAThread = 1 << 13;
  const std::int64_t most =
      std::max<std::int64_t>(1, count * std::max<std::int64_t>(work, 1) / kWorthAThread);
  const std::int64_t parts =
      pool.threads() == 1 ? 1 : std::min<std::int64_t>({count, most, std::int64_t{4} * pool.threads()});
  if (parts <= 1) {
    f(std::int64_t{0}, count);
    return;
  }
  pool.run(static_cast<int>(parts),
           [&](int part, int) { f(count * part / parts, count * (part + 1) / parts); });
}

}  // namespace dsbench::kernelbench::cpu
