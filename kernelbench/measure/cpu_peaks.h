#pragma once

#include <cstdint>
#include <string>

#include "core/clock.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "kernelbench/device.h"

namespace dsbench::kernelbench {

// What the processor reaches with registers full and no memory in the way, and what memory gives with nothing
// computed: best of several rounds on all threads of the pool. About one second.
[[nodiscard]] Ceilings measure_cpu_ceilings(engine::kernels::cpu::ThreadPool& pool, std::int64_t cache_bytes,
                                            Clock& clock);

// Cycles of a chain of dependent additions, each of which takes one: time it to know the clock.
inline constexpr std::int64_t kProbeCycles = 8192;
void run_probe_cycles();

}  // namespace dsbench::kernelbench
