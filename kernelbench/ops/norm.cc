#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

namespace dsbench::kernelbench {
namespace {

constexpr double kEps = 1e-6;

// rmsnorm and add_rmsnorm.
class Norm : public OpBase {
 public:
  Norm(Sheet sheet, bool adds) : OpBase{std::move(sheet)}, adds_{adds} {}

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    const double row = static_cast<double>(p["hidden"]) * size;
    return static_cast<double>(p["tokens"]) * row * (adds_ ? 4 : 2) + row;
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    const std::vector shape{p["tokens"], p["hidden"]};
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("x", type, shape));
    if (adds_) fill_uniform(p, operands.in.emplace_back("residual", type, shape));
    fill_uniform(p, operands.in.emplace_back("weight", type, std::vector{p["hidden"]}));
    operands.out.emplace_back("y", type, shape).poison_all();
    if (adds_) operands.out.emplace_back("residual_out", type, shape).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const double elements = static_cast<double>(p["tokens"]) * static_cast<double>(p["hidden"]);
    return {.flops = (adds_ ? 5 : 4) * elements, .bytes = operand_bytes(p), .unit = ""};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    for (const HostTensor& tensor : out) {
      if (std::string bad = find_not_finite(tensor); !bad.empty()) complain(result, bad);
    }
    const std::int64_t hidden = p["hidden"];
    const auto width = static_cast<std::size_t>(hidden);
    const Dtype type = out[0].type();
    // In f32: a square root, a division, two products, and the sum of squares, which in plain sequence errs
    // by about √hidden/6 roundings.
    const Gates gates = type == Dtype::bf16
                            ? bf16_pointwise_gates()
                            : f32_pointwise_gates(8 + std::sqrt(static_cast<double>(hidden)) / 4);
    Comparison totals[] = {Comparison("y", gates),
                           Comparison("residual_out", type == Dtype::bf16 ? gates : f32_pointwise_gates(1))};
    std::vector<double> weight(width);
    decode_range(in.back(), 0, hidden, weight.data());
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, p["tokens"], boundaries);
    const std::vector<std::int64_t> rows = rows_to_check(
        p["tokens"], affordable_rows(p["tokens"], 16.0 * static_cast<double>(hidden), budget_flops),
        boundaries, p.seed);
    compare_rows_of(rows, totals, [&](std::int64_t row, std::span<Comparison> mine) {
      const auto name = [row] { return fmt::format("row {}", row); };
      std::vector<double> x(width);
      std::vector<double> got(width);
      decode_range(in[0], row * hidden, hidden, x.data());
      if (adds_) {
        decode_range(in[1], row * hidden, hidden, got.data());
        for (std::size_t i = 0; i < width; ++i) {
          x[i] += got[i];
          if (type == Dtype::bf16) x[i] = bf16_rounded(x[i]);
        }
        decode_range(out[1], row * hidden, hidden, got.data());
        mine[1].row(x, got, name);
      }
      double squares = 0;
      for (const double v : x) squares += v * v;
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(hidden) + kEps);
      for (std::size_t i = 0; i < width; ++i) x[i] *= inverse * weight[i];
      decode_range(out[0], row * hidden, hidden, got.data());
      mine[0].row(x, got, name);
    });
    result.rows = p["tokens"];
    result.rows_checked = std::ssize(rows);
    for (const Comparison& total : totals) total.conclude(result);
    return result;
  }

 private:
  static double bf16_rounded(double value) {
    std::uint16_t bits = 0;
    encode(Dtype::bf16, value, &bits);
    return decode(Dtype::bf16, &bits);
  }

  bool adds_;
};

std::vector<ParamSpec> norm_params() {
  return {needed("tokens", "rows"), needed("hidden", "their width")};
}

}  // namespace

const Op& rmsnorm_op() {
  static const Norm op({.name = "rmsnorm",
                        .help = "y = x/√(mean x² + 1e-6)·weight",
                        .params = norm_params(),
                        .dtypes = {"bf16", "f32"}},
                       false);
  return op;
}

const Op& add_rmsnorm_op() {
  static const Norm op({.name = "add_rmsnorm",
                        .help = "residual_out = x + residual, y = rmsnorm(residual_out)",
                        .params = norm_params(),
                        .dtypes = {"bf16", "f32"}},
                       true);
  return op;
}

}  // namespace dsbench::kernelbench
