#pragma once

#include <span>

#include "kernelbench/include/dsbench_kernel.h"

namespace dsbench::kernelbench {

// dsbench's own kernels behind the plug-in ABI. The same problem may have several: a report shows each.
[[nodiscard]] std::span<const dsb_kernel> cpu_kernels();
// Kernels and the cuBLAS baselines; empty in a build without nvcc. Opening cuBLAS waits until a baseline is
// asked whether it supports a problem.
[[nodiscard]] std::span<const dsb_kernel> cuda_kernels();

}  // namespace dsbench::kernelbench
