#include <cuda_runtime.h>

#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

DeviceShape device_shape() {
  int ordinal = 0;
  DeviceShape shape;
  int processors = 0;
  if (cudaGetDevice(&ordinal) == cudaSuccess &&
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal) == cudaSuccess && processors > 0)
    shape.processors = processors;
  return shape;
}

int compiled_arch() { return DSBENCH_CUDA_ARCH; }

const char* status_text(Status status) { return cudaGetErrorString(static_cast<cudaError_t>(status)); }

}  // namespace dsbench::engine::kernels::cuda
