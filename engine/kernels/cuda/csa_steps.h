#pragma once

#include "engine/kernels/cuda/csa_decode.h"
#include "engine/kernels/cuda/mla_workspace.h"

// What the kernels of csa_decode share with each other and with those of mla_decode.
namespace dsbench::engine::kernels::cuda {

[[nodiscard]] DSB_HD constexpr MlaRows csa_rows(const CsaDecodeArgs& args) {
  return {.q = args.q,
          .o = args.o,
          .lse = args.lse,
          .requests = args.requests,
          .heads = args.heads,
          .sink = args.sink,
          .turn = args.turn};
}

// The same work in MLA's words, for the plan and the workspace.
[[nodiscard]] inline MlaDecodeArgs csa_shape(const CsaDecodeArgs& args) {
  return {.workspace = args.workspace,
          .requests = args.requests,
          .heads = args.heads,
          .max_blocks = ceil_div(args.window_entries + args.listed, mla_block)};
}

// Blocks of 64 entries of the requests before each one.
[[nodiscard]] Status csa_first_blocks(const CsaDecodeArgs& args, int* first, void* stream);

}  // namespace dsbench::engine::kernels::cuda
