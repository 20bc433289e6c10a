#pragma once

#include "engine/kernels/cpu/thread_pool.h"

namespace dsbench::kernelbench::cpu {

// The threads of all CPU kernels, and of what is done between them, one pool for each number of them, alive
// as long as the process: one kernel's release() must not take them from others that are prepared.
[[nodiscard]] engine::kernels::cpu::ThreadPool& shared_pool(int threads);

}  // namespace dsbench::kernelbench::cpu
