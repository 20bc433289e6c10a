#include "engine/kernels/cuda/moe.h"

#include "engine/kernels/cuda/gate.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

struct Stateless {
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
};

kernels::GateScoring scoring_of(const Problem& p) {
  const std::string& word = p.word("scoring");
  if (word == "softmax") return kernels::GateScoring::softmax;
  return word == "sigmoid" ? kernels::GateScoring::sigmoid : kernels::GateScoring::sqrt_softplus;
}

struct Gate : Stateless {
  static constexpr const char* kOp = "moe_gate";
  static bool supports(const Problem& p) {
    return kernels::gate_supports(number(p, "experts"), number(p, "top_k"), number(p, "groups"));
  }
  explicit Gate(const Cell& cell)
      : args{.logits = cell.input<float>(0),
             .bias = cell.problem.word("bias") == "yes" ? cell.input<float>(1) : nullptr,
             .ids = cell.output<std::int32_t>(0),
             .weights = cell.output<float>(1),
             .tokens = cell.problem["tokens"],
             .experts = number(cell.problem, "experts"),
             .top_k = number(cell.problem, "top_k"),
             .groups = number(cell.problem, "groups"),
             .kept_groups = number(cell.problem, "kept_groups"),
             .scoring = scoring_of(cell.problem),
             .renormalise = cell.problem.word("renormalise") == "yes",
             .routed_scale = static_cast<float>(cell.problem["scale_milli"]) / 1000.0F} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::gate(args, stream); }
  kernels::GateArgs args;
};

struct Align : Stateless {
  static constexpr const char* kOp = "moe_align";
  static bool supports(const Problem& p) {
    return kernels::moe_align_supports(p["tokens"] * p["top_k"], number(p, "experts"));
  }
  explicit Align(const Cell& cell)
      : args{.ids = cell.input<std::int32_t>(0),
             .slots = cell.output<std::int32_t>(0),
             .offsets = cell.output<std::int32_t>(1),
             .pairs = cell.problem["tokens"] * cell.problem["top_k"],
             .experts = number(cell.problem, "experts")} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::moe_align(args, stream); }
  kernels::AlignArgs args;
};

struct Permute : Stateless {
  static constexpr const char* kOp = "moe_permute";
  static int row_bytes(const Problem& p) {
    return number(p, "hidden") * (p.dtype == "f32" ? 4 : p.dtype == "fp8" ? 1 : 2);
  }
  static bool supports(const Problem& p) { return row_bytes(p) % 16 == 0; }
  explicit Permute(const Cell& cell) {
    const bool scaled = cell.problem.dtype == "fp8";
    args = {.x = cell.input(0),
            .x_scale = scaled ? cell.input(1) : nullptr,
            .slots = cell.input<std::int32_t>(scaled ? 2 : 1),
            .y = cell.output(0),
            .y_scale = scaled ? cell.output(1) : nullptr,
            .tokens = cell.problem["tokens"],
            .top_k = number(cell.problem, "top_k"),
            .row_bytes = row_bytes(cell.problem),
            .scale_bytes = scaled ? number(cell.problem, "hidden") / 128 * 4 : 0};
  }
  [[nodiscard]] Status run(void* stream) const { return kernels::moe_permute(args, stream); }
  kernels::PermuteArgs args;
};

struct Unpermute : Stateless {
  static constexpr const char* kOp = "moe_unpermute";
  static bool supports(const Problem&) { return true; }
  explicit Unpermute(const Cell& cell)
      : args{.y = cell.input(0),
             .slots = cell.input<std::int32_t>(1),
             .weights = cell.input<float>(2),
             .x = cell.output(0),
             .tokens = cell.problem["tokens"],
             .top_k = number(cell.problem, "top_k"),
             .hidden = number(cell.problem, "hidden"),
             .type = element_of(cell.problem)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::moe_unpermute(args, stream); }
  kernels::UnpermuteArgs args;
};

}  // namespace

void add_moe(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Gate>::table("warp_per_token"));
  kernels.push_back(Adapter<Align>::table("counting_sort"));
  kernels.push_back(Adapter<Permute>::table("vector16"));
  kernels.push_back(Adapter<Unpermute>::table("vector16"));
}

}  // namespace dsbench::kernelbench::cuda
