#include <cuda.h>
#include <cuda_runtime.h>

#include "engine/kernels/cuda/launch.h"
#include "engine/kernels/cuda/tensor_map.h"

namespace dsbench::engine::kernels::cuda {

DeviceShape device_shape() {
  int ordinal = 0;
  DeviceShape shape;
  int processors = 0;
  if (cudaGetDevice(&ordinal) == cudaSuccess &&
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal) == cudaSuccess &&
      processors > 0)
    shape.processors = processors;
  return shape;
}

int compiled_arch() {
  return DSBENCH_CUDA_ARCH;
}

Status make_tensor_map(TensorMap& map, const void* data, std::uint64_t rows, std::uint64_t row_bytes,
                       std::uint32_t box_rows) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));
  // Through the runtime, so that nothing links with libcuda, which machines without a driver lack.
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (error != cudaSuccess) return static_cast<Status>(error);
  if (found != cudaDriverEntryPointSuccess || function == nullptr)
    return static_cast<Status>(cudaErrorNotSupported);
  const cuuint64_t sizes[2] = {row_bytes, rows};
  const cuuint64_t strides[1] = {row_bytes};
  const cuuint32_t box[2] = {128, box_rows};
  const cuuint32_t steps[2] = {1, 1};
  const CUresult result = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
      reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<void*>(data), sizes,
      strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return static_cast<Status>(result);  // the driver's numbers are the runtime's
}

const char* status_text(Status status) {
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}

}  // namespace dsbench::engine::kernels::cuda
