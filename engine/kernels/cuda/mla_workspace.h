#pragma once

#include "engine/kernels/cuda/mla_decode.h"

namespace dsbench::engine::kernels::cuda {

// Byte offsets in the workspace of mla_decode. First of all: blocks of the requests before each, [requests + 1] ints.
struct MlaWorkspace {
  std::size_t lse = 0;  // f32 [parts + requests, rows]
  std::size_t o = 0;    // f32 [parts + requests, rows, 512]
  std::size_t bytes = 0;
};
[[nodiscard]] MlaWorkspace mla_workspace(const MlaDecodeArgs& args, const MlaDecodePlan& plan);

}  // namespace dsbench::engine::kernels::cuda
