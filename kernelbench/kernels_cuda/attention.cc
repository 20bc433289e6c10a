#include <limits>
#include <stdexcept>
#include <string>

#include "engine/kernels/cuda/csa_decode.h"
#include "engine/kernels/cuda/csa_gather.h"
#include "engine/kernels/cuda/dsa.h"
#include "engine/kernels/cuda/dsa_indexer_wgmma.h"
#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/mla_decode_wgmma.h"
#include "engine/kernels/cuda/mla_gather.h"
#include "engine/kernels/cuda/mla_prefill.h"
#include "engine/kernels/cuda/mla_prefill_wgmma.h"
#include "engine/kernels/cuda/mla_seesaw.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

bool latent_shape(const Problem& p) {
  return p["kv_lora"] == kernels::mla_latent && p["rope"] == kernels::mla_rope;
}

struct Decode {
  static constexpr const char* kOp = "mla_decode";
  static bool supports(const Problem& p) {
    return (p.dtype == "bf16" || p.dtype == "fp8") && latent_shape(p) && p["block"] == kernels::mla_block &&
           p["queries"] * p["heads"] <= 4096;
  }
  // The longest request is not known before the operands are: what max_blocks sizes is the number of parts,
  // and that is bounded by the processors, so the bound serves.
  static kernels::MlaDecodeArgs shape(const Problem& p, int max_blocks) {
    return {.requests = number(p, "batch"),
            .queries = number(p, "queries"),
            .heads = number(p, "heads"),
            .max_blocks = max_blocks,
            .fp8_cache = p.dtype == "fp8"};
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

struct WgmmaDecode {
  static constexpr const char* kOp = "mla_decode";
  static bool supports(const Problem& p) { return Decode::supports(p); }
  static std::uint64_t workspace_bytes(const Problem& p) {
    return kernels::mla_decode_wgmma_workspace_bytes(Decode::shape(p, 1 << 20));
  }
  explicit WgmmaDecode(const Cell& cell) {
    const Decode plain(cell);
    if (const Status status = kernels::prepare_mla_decode_wgmma(mla, plain.args, cell.in[1].shape[0]);
        status != 0)
      throw std::runtime_error(std::string{"making the tensor maps: "} + kernels::status_text(status));
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_decode_wgmma(mla, stream); }
  kernels::WgmmaMla mla;
};

struct SeesawDecode : WgmmaDecode {
  using WgmmaDecode::WgmmaDecode;
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_decode_seesaw(mla, stream); }
};

struct Sparse {
  static constexpr const char* kOp = "sparse_mla";
  static bool supports(const Problem& p) {
    return (p.dtype == "bf16" || p.dtype == "fp8") && latent_shape(p) && p["heads"] <= 4096;
  }
  static kernels::MlaDecodeArgs shape(const Problem& p, const std::int32_t* ids) {
    return {.ids = ids,
            .requests = number(p, "batch"),
            .heads = number(p, "heads"),
            .top_k = number(p, "top_k"),
            .fp8_cache = p.dtype == "fp8"};
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

struct WgmmaSparse {
  static constexpr const char* kOp = "sparse_mla";
  static bool supports(const Problem& p) { return Sparse::supports(p); }
  static std::uint64_t workspace_bytes(const Problem& p) {
    static constexpr std::int32_t named = 0;
    return kernels::mla_gather_workspace_bytes(Sparse::shape(p, &named));
  }
  explicit WgmmaSparse(const Cell& cell) {
    const Sparse plain(cell);
    if (const Status status = kernels::prepare_mla_gather(mla, plain.args); status != 0)
      throw std::runtime_error(std::string{"making the tensor map: "} + kernels::status_text(status));
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_gather(mla, stream); }
  kernels::GatherMla mla;
};

struct Csa {
  static constexpr const char* kOp = "csa_decode";
  static bool supports(const Problem& p) {
    return (p.dtype == "bf16" || p.dtype == "fp8") && p["heads"] <= 4096;
  }
  static kernels::CsaDecodeArgs shape(const Problem& p, int listed) {
    return {.requests = number(p, "batch"),
            .heads = number(p, "heads"),
            .listed = listed,
            .ratio = number(p, "ratio"),
            .window_entries = number(p, "window"),
            .page_entries = number(p, "page"),
            .fp8_cache = p.dtype == "fp8"};
  }
  // As in Decode: more entries than there are make no larger plan than the processors do.
  static std::uint64_t workspace_bytes(const Problem& p) {
    return kernels::csa_decode_workspace_bytes(shape(p, 1 << 20));
  }
  explicit Csa(const Cell& cell) : args{shape(cell.problem, static_cast<int>(cell.in[3].shape[1]))} {
    args.q = cell.input(0);
    args.window = cell.input(1);
    args.compressed = cell.input(2);
    args.ids = cell.input<std::int32_t>(3);
    args.lengths = cell.input<std::int32_t>(4);
    args.sink = cell.input<float>(5);
    if (cell.problem.word("turn_back") == "yes") args.turn = cell.input<float>(6);
    args.o = cell.output(0);
    args.lse = cell.output<float>(1);
    args.workspace = cell.workspace;
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::csa_decode(args, stream); }
  kernels::CsaDecodeArgs args;
};

struct WgmmaCsa {
  static constexpr const char* kOp = "csa_decode";
  static bool supports(const Problem& p) { return Csa::supports(p); }
  static std::uint64_t workspace_bytes(const Problem& p) {
    return kernels::csa_gather_workspace_bytes(Csa::shape(p, 1 << 20));
  }
  explicit WgmmaCsa(const Cell& cell) {
    const Csa plain(cell);
    if (const Status status = kernels::prepare_csa_gather(csa, plain.args); status != 0)
      throw std::runtime_error(std::string{"making the tensor map: "} + kernels::status_text(status));
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::csa_gather(csa, stream); }
  kernels::GatherCsa csa;
};

struct Prefill {
  static constexpr const char* kOp = "mla_prefill";
  static bool supports(const Problem& p) { return p.dtype == "bf16" && p["qk"] == 192 && p["v"] == 128; }
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
  explicit Prefill(const Cell& cell)
      : args{.q = cell.input(0),
             .k = cell.input(1),
             .v = cell.input(2),
             .o = cell.output(0),
             .queries = number(cell.problem, "queries"),
             .context = number(cell.problem, "context"),
             .heads = number(cell.problem, "heads")} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_prefill(args, stream); }
  kernels::MlaPrefillArgs args;
};

struct WgmmaPrefill {
  static constexpr const char* kOp = "mla_prefill";
  static bool supports(const Problem& p) { return Prefill::supports(p); }
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
  explicit WgmmaPrefill(const Cell& cell) {
    const Prefill plain(cell);
    if (const Status status = kernels::prepare_mla_prefill_wgmma(prefill, plain.args); status != 0)
      throw std::runtime_error(std::string{"making the tensor maps: "} + kernels::status_text(status));
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::mla_prefill_wgmma(prefill, stream); }
  kernels::WgmmaPrefill prefill;
};

struct Indexer {
  static constexpr const char* kOp = "dsa_indexer";
  static bool supports(const Problem& p) {
    return p.dtype == "fp8" && p["heads"] == kernels::indexer_heads && p["dim"] == kernels::indexer_dim;
  }
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
  explicit Indexer(const Cell& cell)
      : args{.q = cell.input(0),
             .weights = cell.input<float>(1),
             .k = cell.input(2),
             .k_scale = cell.input<float>(3),
             .lengths = cell.input<std::int32_t>(4),
             .logits = cell.output<float>(0),
             .requests = number(cell.problem, "batch"),
             .context = static_cast<int>(cell.in[2].shape[1])} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::dsa_indexer(args, stream); }
  kernels::IndexerArgs args;
};

struct WgmmaIndexer {
  static constexpr const char* kOp = "dsa_indexer";
  static bool supports(const Problem& p) {
    return Indexer::supports(p) && p["batch"] <= kernels::indexer_most_requests &&
           p["batch"] * p["context"] <= std::numeric_limits<int>::max();
  }
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
  explicit WgmmaIndexer(const Cell& cell) {
    const Indexer plain(cell);
    if (const Status status = kernels::prepare_dsa_indexer_wgmma(indexer, plain.args); status != 0)
      throw std::runtime_error(std::string{"making the tensor maps: "} + kernels::status_text(status));
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::dsa_indexer_wgmma(indexer, stream); }
  kernels::WgmmaIndexer indexer;
};

struct Topk {
  static constexpr const char* kOp = "dsa_topk";
  static bool supports(const Problem&) { return true; }
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
  explicit Topk(const Cell& cell)
      : args{.logits = cell.input<float>(0),
             .lengths = cell.input<std::int32_t>(1),
             .ids = cell.output<std::int32_t>(0),
             .rows = number(cell.problem, "rows"),
             .context = static_cast<int>(cell.in[0].shape[1]),
             .top_k = number(cell.problem, "top_k")} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::dsa_topk(args, stream); }
  kernels::TopkArgs args;
};

}  // namespace

void add_attention(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Decode>::table("mma_split_kv"));
  kernels.push_back(Adapter<WgmmaDecode>::table("wgmma_split_kv"));
  kernels.push_back(Adapter<SeesawDecode>::table("wgmma_seesaw"));
  kernels.push_back(Adapter<Prefill>::table("mma_flash"));
  kernels.push_back(Adapter<WgmmaPrefill>::table("wgmma_flash"));
  kernels.push_back(Adapter<Indexer>::table("mma_heads"));
  kernels.push_back(Adapter<WgmmaIndexer>::table("wgmma_keys"));
  kernels.push_back(Adapter<Topk>::table("radix_select"));
  kernels.push_back(Adapter<Sparse>::table("mma_gather"));
  kernels.push_back(Adapter<WgmmaSparse>::table("wgmma_gather"));
  kernels.push_back(Adapter<Csa>::table("mma_gather"));
  kernels.push_back(Adapter<WgmmaCsa>::table("wgmma_gather"));
}

}  // namespace dsbench::kernelbench::cuda
