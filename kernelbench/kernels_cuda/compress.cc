#include "engine/kernels/cuda/kv_compress.h"
#include "kernelbench/kernels_cuda/kernel_adapter.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {
namespace {

struct KvCompress {
  static constexpr const char* kOp = "kv_compress";
  static bool supports(const Problem& p) {
    return kernels::kv_compress_supports(number(p, "dim"), number(p, "rope"), element_of(p));
  }
  static std::uint64_t workspace_bytes(const Problem&) { return 0; }
  explicit KvCompress(const Cell& cell)
      : args{.kv = cell.input<float>(0),
             .gate = cell.input<float>(1),
             .bias = cell.input<float>(2),
             .weight = cell.input<float>(3),
             .cos_sin = cell.input<float>(4),
             .entries = cell.output(0),
             .tokens = number(cell.problem, "tokens"),
             .ratio = number(cell.problem, "ratio"),
             .dim = number(cell.problem, "dim"),
             .rope = number(cell.problem, "rope"),
             .overlap = cell.problem.word("overlap") == "yes",
             .type = element_of(cell.problem)} {}
  [[nodiscard]] Status run(void* stream) const { return kernels::kv_compress(args, stream); }
  kernels::KvCompressArgs args;
};

}  // namespace

void add_compress(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<KvCompress>::table("ranks_per_entry"));
}

}  // namespace dsbench::kernelbench::cuda
