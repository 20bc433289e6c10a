#include "engine/kernels/cuda/norm.h"
#include "engine/kernels/cuda/quant.h"
#include "engine/kernels/cuda/rope.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

struct Stateless {
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
};

struct Rmsnorm : Stateless {
  static constexpr const char* kOp = "rmsnorm";
  static bool supports(const Problem& p) {
    return kernels::rmsnorm_supports(number(p, "hidden"), element_of(p));
  }
  explicit Rmsnorm(const Cell& cell)
      : args{.x = cell.input(0),
             .weight = cell.input(1),
             .y = cell.output(0),
             .tokens = cell.problem["tokens"],
             .hidden = number(cell.problem, "hidden"),
             .type = element_of(cell.problem)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::rmsnorm(args, stream); }
  kernels::RmsnormArgs args;
};

struct AddRmsnorm : Stateless {
  static constexpr const char* kOp = "add_rmsnorm";
  static bool supports(const Problem& p) {
    return kernels::rmsnorm_supports(number(p, "hidden"), element_of(p));
  }
  explicit AddRmsnorm(const Cell& cell)
      : args{.x = cell.input(0),
             .residual = cell.input(1),
             .weight = cell.input(2),
             .y = cell.output(0),
             .residual_out = cell.output(1),
             .tokens = cell.problem["tokens"],
             .hidden = number(cell.problem, "hidden"),
             .type = element_of(cell.problem)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::rmsnorm(args, stream); }
  kernels::RmsnormArgs args;
};

struct RopeKvWrite : Stateless {
  static constexpr const char* kOp = "rope_kv_write";
  static bool supports(const Problem& p) {
    return kernels::rope_kv_write_supports(number(p, "kv_lora"), number(p, "rope"), element_of(p));
  }
  explicit RopeKvWrite(const Cell& cell)
      : args{.q_pe = cell.input(0),
             .kv = cell.input(1),
             .cos_sin = cell.input<float>(2),
             .positions = cell.input<std::int32_t>(3),
             .slots = cell.input<std::int32_t>(4),
             .q_pe_out = cell.output(0),
             .cache = cell.output(1),
             .tokens = cell.problem["tokens"],
             .heads = number(cell.problem, "heads"),
             .latent = number(cell.problem, "kv_lora"),
             .rope = number(cell.problem, "rope"),
             .interleaved = cell.problem.word("pairing") == "interleaved",
             .type = element_of(cell.problem)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::rope_kv_write(args, stream); }
  kernels::RopeKvWriteArgs args;
};

struct GroupQuant : Stateless {
  static constexpr const char* kOp = "group_quant";
  static bool supports(const Problem&) { return true; }
  explicit GroupQuant(const Cell& cell)
      : args{.x = cell.input(0),
             .y = cell.output(0),
             .scale = cell.output<float>(1),
             .rows = cell.problem["tokens"],
             .width = number(cell.problem, "hidden")} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::group_quant(args, stream); }
  kernels::GroupQuantArgs args;
};

struct SwigluQuant : Stateless {
  static constexpr const char* kOp = "swiglu_quant";
  static bool supports(const Problem&) { return true; }
  explicit SwigluQuant(const Cell& cell)
      : args{.x = cell.input(0),
             .y = cell.output(0),
             .scale = cell.output<float>(1),
             .rows = cell.problem["rows"],
             .width = number(cell.problem, "inter"),
             .swiglu = true} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::group_quant(args, stream); }
  kernels::GroupQuantArgs args;
};

struct Swiglu : Stateless {
  static constexpr const char* kOp = "swiglu";
  static bool supports(const Problem&) { return true; }
  explicit Swiglu(const Cell& cell)
      : args{.x = cell.input(0),
             .y = cell.output(0),
             .rows = cell.problem["rows"],
             .inter = number(cell.problem, "inter"),
             .type = element_of(cell.problem)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::swiglu(args, stream); }
  kernels::SwigluArgs args;
};

}  // namespace

void add_rows(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Rmsnorm>::table("row_per_block"));
  kernels.push_back(Adapter<AddRmsnorm>::table("row_per_block"));
  kernels.push_back(Adapter<RopeKvWrite>::table("vector16"));
  kernels.push_back(Adapter<Swiglu>::table("vector16"));
  kernels.push_back(Adapter<SwigluQuant>::table("half_warp_group"));
  kernels.push_back(Adapter<GroupQuant>::table("half_warp_group"));
}

}  // namespace dsbench::kernelbench::cuda
