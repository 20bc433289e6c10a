#pragma once

#include "engine/kernels/cuda/launch.h"
#include "engine/kernels/cuda/simt.h"

// launch(kernel, shape, stream, args…): cudaLaunchKernelEx or a run of the emulation. (<<<>>> says how it
// went only by way of cudaGetLastError(), which also holds what went wrong before, such as a
// cudaErrorNotReady of a cudaStreamQuery.)
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
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (shape.early) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = shape.cluster;
    attributes[count].val.clusterDim.y = 1;
    attributes[count++].val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.grid.x, shape.grid.y);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = attributes;
  config.numAttrs = count;
  return static_cast<Status>(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
}

#else

template <class... Params, class... Args>
Status launch(void (*kernel)(Params...), const LaunchShape& shape, void* /*stream*/, const Args&... args) {
  return simt::run(shape, [&] { kernel(args...); });
}

#endif

}  // namespace dsbench::engine::kernels::cuda
