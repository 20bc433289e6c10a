#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

namespace dsbench::kernelbench::cpu {
namespace {

constexpr float kEps = 1e-6F;

class RmsNorm {
 public:
  static constexpr const char* kOp = "rmsnorm";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit RmsNorm(const Cell& cell)
      : cell_{cell}, rows_{cell.problem["tokens"]}, hidden_{cell.problem["hidden"]} {}
  void run() {
    const float* x = cell_.input<float>(0);
    const float* weight = cell_.input<float>(1);
    float* y = cell_.output<float>(0);
    in_parts(*cell_.pool, rows_, hidden_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        cell_.table->rms_norm(x + row * hidden_, weight, kEps, static_cast<std::int32_t>(hidden_),
                              y + row * hidden_);
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t rows_;
  std::int64_t hidden_;
};

}  // namespace

void add_norms(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<RmsNorm>::table("cpu_rows"));
}

}  // namespace dsbench::kernelbench::cpu
