#include <algorithm>
#include <stdexcept>
#include <string>

#include "engine/kernels/cuda/gemm.h"
#include "engine/kernels/cuda/gemm_swapped.h"
#include "engine/kernels/cuda/gemm_wgmma.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

// All products are one kernel; what differs is where rows and groups come from.
kernels::GemmArgs dense(const Problem& p) {
  return {.type = element_of(p), .rows = number(p, "m"), .n = number(p, "n"), .k = number(p, "k")};
}

kernels::GemmArgs grouped(const Problem& p) {
  const bool masked = p.word("layout") == "masked";
  const std::int64_t pairs = p["tokens"] * p["top_k"];
  return {.type = element_of(p),
          .rows_kind = masked ? kernels::Rows::masked : kernels::Rows::contiguous,
          .groups = number(p, "experts"),
          .rows = masked ? std::max(1, number(p, "max_m")) : static_cast<int>(pairs),
          .typical_rows = static_cast<int>((pairs + p["experts"] - 1) / p["experts"]),
          .n = number(p, "n"),
          .k = number(p, "k")};
}

// One group to a head: x[T, H, in] · w[H, out, in].
kernels::GemmArgs absorb(const Problem& p) {
  const std::int64_t heads = p["heads"];
  return {.type = kernels::Element::bf16,
          .groups = static_cast<int>(heads),
          .rows = number(p, "tokens"),
          .n = number(p, "out"),
          .k = number(p, "in"),
          .a_row = heads * p["in"],
          .c_row = heads * p["out"],
          .a_group = p["in"],
          .c_group = p["out"]};
}

kernels::GemmArgs with_operands(const Cell& cell, kernels::GemmArgs args) {
  const bool scaled = args.type == kernels::Element::e4m3;
  args.a = cell.input(0);
  args.a_scale = scaled ? cell.input<float>(1) : nullptr;
  args.w = cell.input(scaled ? 2 : 1);
  args.w_scale = scaled ? cell.input<float>(3) : nullptr;
  // max_m may be left to the routing: the operand knows.
  if (args.rows_kind == kernels::Rows::masked) args.rows = static_cast<int>(cell.in[0].shape[1]);
  if (args.rows_kind != kernels::Rows::same) args.table = cell.input<int>(scaled ? 4 : 2);
  args.c = cell.output(0);
  args.partial = static_cast<float*>(cell.workspace);
  return args;
}

struct Product {
  Product(const Cell& cell, const kernels::GemmArgs& shape) : args{with_operands(cell, shape)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::gemm(args, stream); }
  kernels::GemmArgs args;
};

struct Gemm : Product {
  static constexpr const char* kOp = "gemm";
  static bool supports(const Problem& p) { return p.dtype == "bf16" && kernels::gemm_supports(dense(p)); }
  static std::uint64_t workspace_bytes(const Problem& p) { return kernels::gemm_workspace_bytes(dense(p)); }
  explicit Gemm(const Cell& cell) : Product(cell, dense(cell.problem)) {}
};

struct Fp8Gemm : Product {
  static constexpr const char* kOp = "fp8_gemm";
  static bool supports(const Problem& p) { return p.dtype == "fp8" && kernels::gemm_supports(dense(p)); }
  static std::uint64_t workspace_bytes(const Problem& p) { return kernels::gemm_workspace_bytes(dense(p)); }
  explicit Fp8Gemm(const Cell& cell) : Product(cell, dense(cell.problem)) {}
};

struct GroupedGemm : Product {
  static constexpr const char* kOp = "moe_grouped_gemm";
  static bool supports(const Problem& p) {
    return (p.dtype == "bf16" || p.dtype == "fp8") && kernels::gemm_supports(grouped(p));
  }
  static std::uint64_t workspace_bytes(const Problem& p) { return kernels::gemm_workspace_bytes(grouped(p)); }
  explicit GroupedGemm(const Cell& cell) : Product(cell, grouped(cell.problem)) {}
};

struct Absorb : Product {
  static constexpr const char* kOp = "mla_absorb";
  static bool supports(const Problem& p) { return p.dtype == "bf16" && kernels::gemm_supports(absorb(p)); }
  static std::uint64_t workspace_bytes(const Problem& p) { return kernels::gemm_workspace_bytes(absorb(p)); }
  explicit Absorb(const Cell& cell) : Product(cell, absorb(cell.problem)) {}
};

// Those by wgmma, which are prepared with tensor maps.
struct Wgmma {
  using Prepared = kernels::WgmmaGemm;
  static constexpr auto supports = kernels::gemm_wgmma_supports;
  static constexpr auto workspace_bytes = kernels::gemm_wgmma_workspace_bytes;
  static constexpr auto prepare = kernels::prepare_gemm_wgmma;
  static constexpr auto run = kernels::gemm_wgmma;
};
struct Tall {
  using Prepared = kernels::WgmmaGemm;
  static constexpr auto supports = kernels::gemm_tall_supports;
  static std::uint64_t workspace_bytes(const kernels::GemmArgs& /*shape*/) { return 0; }
  static constexpr auto prepare = kernels::prepare_gemm_tall;
  static constexpr auto run = kernels::gemm_wgmma;
};
struct Swapped {
  using Prepared = kernels::SwappedGemm;
  static constexpr auto supports = kernels::gemm_swapped_supports;
  static constexpr auto workspace_bytes = kernels::gemm_swapped_workspace_bytes;
  static constexpr auto prepare = kernels::prepare_gemm_swapped;
  static constexpr auto run = kernels::gemm_swapped;
};

template <class Way>
struct PreparedProduct {
  PreparedProduct(const Cell& cell, const kernels::GemmArgs& shape) {
    if (const Status status = Way::prepare(gemm, with_operands(cell, shape)); status != 0)
      throw std::runtime_error(std::string{"making the tensor maps: "} + kernels::status_text(status));
  }
  [[nodiscard]] Status run(void* stream) const { return Way::run(gemm, stream); }
  typename Way::Prepared gemm;
};

template <class Way>
struct PreparedFp8Gemm : PreparedProduct<Way> {
  static constexpr const char* kOp = "fp8_gemm";
  static bool supports(const Problem& p) { return Way::supports(dense(p)); }
  static std::uint64_t workspace_bytes(const Problem& p) { return Way::workspace_bytes(dense(p)); }
  explicit PreparedFp8Gemm(const Cell& cell) : PreparedProduct<Way>(cell, dense(cell.problem)) {}
};

template <class Way>
struct PreparedGrouped : PreparedProduct<Way> {
  static constexpr const char* kOp = "moe_grouped_gemm";
  static bool supports(const Problem& p) { return Way::supports(grouped(p)); }
  static std::uint64_t workspace_bytes(const Problem& p) { return Way::workspace_bytes(grouped(p)); }
  explicit PreparedGrouped(const Cell& cell) : PreparedProduct<Way>(cell, grouped(cell.problem)) {}
};

}  // namespace

void add_products(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Gemm>::table("mma_slabs"));
  kernels.push_back(Adapter<Fp8Gemm>::table("mma_slabs"));
  kernels.push_back(Adapter<GroupedGemm>::table("mma_slabs"));
  kernels.push_back(Adapter<PreparedFp8Gemm<Wgmma>>::table("wgmma_tma"));
  kernels.push_back(Adapter<PreparedGrouped<Wgmma>>::table("wgmma_tma"));
  kernels.push_back(Adapter<PreparedFp8Gemm<Tall>>::table("wgmma_tall"));
  kernels.push_back(Adapter<PreparedGrouped<Tall>>::table("wgmma_tall"));
  kernels.push_back(Adapter<PreparedFp8Gemm<Swapped>>::table("wgmma_swapped"));
  kernels.push_back(Adapter<PreparedGrouped<Swapped>>::table("wgmma_swapped"));
  kernels.push_back(Adapter<Absorb>::table("mma_slabs"));
}

}  // namespace dsbench::kernelbench::cuda
