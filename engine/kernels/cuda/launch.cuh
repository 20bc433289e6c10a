#pragma once

#include "engine/kernels/cuda/launch.h"
#include "engine/kernels/cuda/simt.h"

// launch(kernel, shape, stream, args…): nvcc's <<<>>> or a run of the emulation.
namespace dsbench::engine::kernels::cuda {

#ifdef __CUDACC__

template <class... Params, class... Args>
Status launch(void (*kernel)(Params...), const LaunchShape& shape, void* stream, const Args&... args) {
  if (shape.shared_bytes > 48 * 1024) {
    const cudaError_t asked = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shape.shared_bytes));
    if (asked != cudaSuccess) return static_cast<Status>(asked);
  }
  kernel<<<dim3(shape.grid.x, shape.grid.y), shape.threads, shape.shared_bytes,
           static_cast<cudaStream_t>(stream)>>>(args...);
  return static_cast<Status>(cudaGetLastError());
}

#else

template <class... Params, class... Args>
Status launch(void (*kernel)(Params...), const LaunchShape& shape, void* /*stream*/, const Args&... args) {
  return simt::run(shape, [&] { kernel(args...); });
}

#endif

}  // namespace dsbench::engine::kernels::cuda
