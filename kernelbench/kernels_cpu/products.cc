#include <cstring>
#include <span>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

namespace dsbench::kernelbench::cpu {
namespace {

using engine::kernels::WeightType;

// A weight [n, k] of the problem's type in panels.
kernels::PackedMatrix pack(const dsb_tensor& w, std::int64_t first, std::int32_t n, std::int32_t k) {
  const std::size_t count = static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
  if (w.dtype == DSB_F32) {
    return {std::span(static_cast<const float*>(w.data) + first, count), n, k, WeightType::fp32};
  }
  const auto* bits = static_cast<const std::uint16_t*>(w.data) + first;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = kernels::from_bf16(bits[i]);
  return {values, n, k, WeightType::bf16};
}

// All panels of a product, shared out. Few rows: parts are runs of panels, so that each thread streams its
// own part of the weight.
void multiply(const Cell& cell, const kernels::GemmArgs& whole) {
  const int panels = whole.panel_end - whole.panel_begin;
  in_parts(*cell.pool, panels, std::int64_t{whole.k} * 16 * whole.m,
           [&](std::int64_t begin, std::int64_t end) {
             kernels::GemmArgs part = whole;
             part.panel_begin = whole.panel_begin + static_cast<int>(begin);
             part.panel_end = whole.panel_begin + static_cast<int>(end);
             cell.table->gemm(part);
           });
}

class Gemm {
 public:
  static constexpr const char* kOp = "gemm";
  static bool supports(const Problem& p) { return p.dtype == "f32" || p.dtype == "f32.bf16"; }
  explicit Gemm(const Cell& cell)
      : cell_{cell},
        m_{static_cast<std::int32_t>(cell.problem["m"])},
        n_{static_cast<std::int32_t>(cell.problem["n"])},
        k_{static_cast<std::int32_t>(cell.problem["k"])},
        w_{pack(cell.in[1], 0, n_, k_)} {}
  void run() { multiply(cell_, w_.times(cell_.input<float>(0), k_, m_, cell_.output<float>(0), n_)); }

 private:
  Cell cell_;
  std::int32_t m_;
  std::int32_t n_;
  std::int32_t k_;
  kernels::PackedMatrix w_;
};

}  // namespace

void add_products(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Gemm>::table("cpu_panels"));
}

}  // namespace dsbench::kernelbench::cpu
