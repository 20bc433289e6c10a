#include "engine/kernels/cuda/mla_decode.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

bool latent_shape(const Problem& p) { return p["kv_lora"] == kernels::mla_latent && p["rope"] == kernels::mla_rope; }

struct Decode {
  static constexpr const char* kOp = "mla_decode";
  static bool supports(const Problem& p) {
    return p.dtype == "bf16" && latent_shape(p) && p["block"] == kernels::mla_block && p["queries"] * p["heads"] <= 4096;
  }
  // The longest request is not known before the operands are: what max_blocks sizes is the number of parts, and that is
  // bounded by the processors, so the bound serves.
  static kernels::MlaDecodeArgs shape(const Problem& p, int max_blocks) {
    return {.requests = number(p, "batch"), .queries = number(p, "queries"), .heads = number(p, "heads"), .max_blocks = max_blocks};
  }
  static std::uint64_t workspace_bytes(const Problem& p) {
    return kernels::mla_decode_workspace_bytes(shape(p, 1 << 20));
  }
  explicit Decode(const Cell& cell) : args{shape(cell.problem, static_cast<int>(cell.in[2].shape[1]))} {
    args.q = cell.input(0);
    args.cache = cell.input(1);
    args.block_table = cell.input<std::int32_t>(2);
    args.lengths = cell.input<std::int32_t>(3);
    args.o = cell.output(0);
    args.lse = cell.output<float>(1);
    args.workspace = cell.workspace;
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_decode(args, stream); }
  kernels::MlaDecodeArgs args;
};

struct Sparse {
  static constexpr const char* kOp = "sparse_mla";
  static bool supports(const Problem& p) { return p.dtype == "bf16" && latent_shape(p) && p["heads"] <= 4096; }
  static kernels::MlaDecodeArgs shape(const Problem& p, const std::int32_t* ids) {
    return {.ids = ids, .requests = number(p, "batch"), .heads = number(p, "heads"), .top_k = number(p, "top_k")};
  }
  static std::uint64_t workspace_bytes(const Problem& p) {
    static constexpr std::int32_t named = 0;  // that there are ids is part of the plan
    return kernels::mla_decode_workspace_bytes(shape(p, &named));
  }
  explicit Sparse(const Cell& cell) : args{shape(cell.problem, cell.input<std::int32_t>(2))} {
    args.q = cell.input(0);
    args.cache = cell.input(1);
    args.o = cell.output(0);
    args.lse = cell.output<float>(1);
    args.workspace = cell.workspace;
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_decode(args, stream); }
  kernels::MlaDecodeArgs args;
};

}  // namespace

void add_attention(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Decode>::table("mma_split_kv"));
  kernels.push_back(Adapter<Sparse>::table("mma_gather"));
}

}  // namespace dsbench::kernelbench::cuda
