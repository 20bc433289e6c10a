#pragma once

#include "engine/kernels/cuda/mla_decode.h"

namespace dsbench::engine::kernels::cuda {

// Byte offsets in the workspace of mla_decode. First of all: blocks of the requests before each, [requests +
// 1] ints.
struct MlaWorkspace {
  std::size_t lse = 0;  // f32 [parts + requests, rows]
  std::size_t o = 0;    // f32 [parts + requests, rows, 512]
  std::size_t bytes = 0;
};
[[nodiscard]] MlaWorkspace mla_workspace(const MlaDecodeArgs& args, const MlaDecodePlan& plan);

// Partial results of pieces, by partial_slot().
struct MlaPartials {
  float* partial_o;
  float* partial_lse;
};
[[nodiscard]] inline MlaPartials mla_partials(const MlaDecodeArgs& args, const MlaWorkspace& at) {
  auto* const base = static_cast<unsigned char*>(args.workspace);
  return {reinterpret_cast<float*>(base + at.o), reinterpret_cast<float*>(base + at.lse)};
}

// The steps before and after the pieces, shared by the kernels of mla_decode.
[[nodiscard]] Status mla_first_blocks(const MlaDecodeArgs& args, int* first, void* stream);
[[nodiscard]] Status mla_combine(const MlaDecodeArgs& args, const int* first, const MlaPartials& outputs,
                                 int parts, void* stream);

}  // namespace dsbench::engine::kernels::cuda
