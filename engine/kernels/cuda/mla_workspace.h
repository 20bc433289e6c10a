#pragma once

#include "engine/kernels/cuda/host_device.h"
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

// Queries and results, and what joins pieces of them.
struct MlaRows {
  const void* q = nullptr;
  void* o = nullptr;
  float* lse = nullptr;
  int requests = 0;
  int queries = 1;
  int heads = 0;
  const float* sink = nullptr;  // [heads]: a logit in the denominator of o, not in lse; null: none
  const float* turn = nullptr;  // [requests, mla_rope]: cosines, then sines, of the angles by which the last
                                // numbers of o are turned back in pairs; null: none
};
[[nodiscard]] DSB_HD constexpr MlaRows mla_rows(const MlaDecodeArgs& args) {
  return {args.q, args.o, args.lse, args.requests, args.queries, args.heads};
}

// The steps before and after the pieces, shared by the kernels of mla_decode.
[[nodiscard]] Status mla_first_blocks(const MlaDecodeArgs& args, int* first, void* stream);
[[nodiscard]] Status mla_combine(const MlaRows& given, const int* first, const MlaPartials& outputs,
                                 int parts, void* stream);
[[nodiscard]] inline Status mla_combine(const MlaDecodeArgs& args, const int* first,
                                        const MlaPartials& outputs, int parts, void* stream) {
  return mla_combine(mla_rows(args), first, outputs, parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
