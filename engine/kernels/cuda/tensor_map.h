#pragma once

#include <cstdint>

#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

// A matrix of bytes that TMA copies boxes of: 128 bytes wide, `box_rows` high, laid down with the 128-byte
// swizzle, zeros where the box leaves the matrix. On the device these are the bytes of a CUtensorMap.
struct alignas(128) TensorMap {
  unsigned char bytes[128] = {};
};

// `row_bytes` must be a multiple of 16 and is the stride as well; `data` lies on 16 bytes. 0, or a
// cudaError_t.
[[nodiscard]] Status make_tensor_map(TensorMap& map, const void* data, std::uint64_t rows,
                                     std::uint64_t row_bytes, std::uint32_t box_rows);

}  // namespace dsbench::engine::kernels::cuda
