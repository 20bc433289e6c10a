#pragma once

#include <span>

#include "kernelbench/include/dsbench_kernel.h"

namespace dsbench::kernelbench::cuda {

// dsbench's own CUDA kernels, without the baselines.
[[nodiscard]] std::span<const dsb_kernel> adapters();

}  // namespace dsbench::kernelbench::cuda
