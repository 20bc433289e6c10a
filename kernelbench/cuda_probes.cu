#include "kernelbench/cuda_probes.h"

#include <cuda_runtime.h>

namespace dsbench::kernelbench {

namespace {

__device__ std::uint64_t global_nanoseconds() {
  std::uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

__global__ void blocker_kernel(BlockerFlags* flags, std::uint64_t timeout_ns) {
  const std::uint64_t start = global_nanoseconds();
  while (flags->go == 0) {
    if (global_nanoseconds() - start > timeout_ns) {
      flags->timed_out = 1;
      __threadfence_system();
      return;
    }
    __nanosleep(100);
  }
}

__global__ void clock_kernel(ClockStamp* stamps, int processors) {
  unsigned processor;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(processor));
  if (processor < static_cast<unsigned>(processors))
    stamps[processor] = {global_nanoseconds(), static_cast<std::uint64_t>(clock64())};
}

__global__ void empty_kernel() {}

// What is returned is of this launch alone; cudaGetLastError() may hold another's.
template <class... Params>
int launch(void (*kernel)(Params...), unsigned blocks, void* stream, Params... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(1);
  config.stream = static_cast<cudaStream_t>(stream);
  return static_cast<int>(cudaLaunchKernelEx(&config, kernel, args...));
}

}  // namespace

int launch_blocker(BlockerFlags* device_flags, std::uint64_t timeout_ns, void* stream) {
  return launch(blocker_kernel, 1, stream, device_flags, timeout_ns);
}

int launch_clock_stamps(ClockStamp* stamps, int processors, void* stream) {
  return launch(clock_kernel, static_cast<unsigned>(processors), stream, stamps, processors);
}

int launch_empty(void* stream) {
  return launch(empty_kernel, 1, stream);
}

}  // namespace dsbench::kernelbench
