#include <fmt/format.h>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product.h"
#include "kernelbench/ops/product_types.h"

namespace dsbench::kernelbench {
namespace {

// Dense products c[m, n] = a[m, k]·w[n, k]ᵀ of every type.
class Gemm : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    return check_product_shape(p, p["k"]);
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto m = static_cast<double>(p["m"]);
    const auto n = static_cast<double>(p["n"]);
    const auto k = static_cast<double>(p["k"]);
    const ProductTypes types = product_types(p.dtype);
    return act_bytes(types, m, k) + weight_bytes(types, n, k) +
           m * n * static_cast<double>(size_of(types.out));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const std::int64_t m = p["m"];
    const std::int64_t n = p["n"];
    const std::int64_t k = p["k"];
    Operands operands;
    add_activations(p, "a", {m, k}, operands);
    add_weights(p, "w", {n, k}, operands);
    operands.out.emplace_back("c", product_types(p.dtype).out, std::vector{m, n}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const double flops =
        2.0 * static_cast<double>(p["m"]) * static_cast<double>(p["n"]) * static_cast<double>(p["k"]);
    return {.flops = flops, .bytes = operand_bytes(p), .unit = product_types(p.dtype).unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t n = p["n"];
    const std::int64_t k = p["k"];
    const ProductView product{.a = activation_view(in, 0, p["m"], k),
                              .w = weight_view(in, in.size() == 4 ? 2 : 1, n, k),
                              .c = &out[0],
                              .first = 0,
                              .stride = n};
    Comparison comparison("c", product_gates(p.dtype, k));
    check_product(product, budget_flops, {}, p.seed, result, comparison);
    comparison.conclude(result);
    return result;
  }
};

std::vector<ParamSpec> shape_params() {
  return {needed("m", "rows of activations: tokens"), needed("n", "rows of the weight"),
          needed("k", "the contraction")};
}

}  // namespace

const Op& gemm_op() {
  static const Gemm op({.name = "gemm",
                        .help = "dense product c[m,n] = a[m,k]·w[n,k]ᵀ",
                        .params = shape_params(),
                        .dtypes = {"bf16", "f32", "f32.bf16"}});
  return op;
}

const Op& int8_gemm_op() {
  static const Gemm op({.name = "int8_gemm",
                        .help = "dense product of int8 rows, each with its scale",
                        .params = shape_params(),
                        .dtypes = {"int8"}});
  return op;
}

const Op& fp8_gemm_op() {
  static const Gemm op({.name = "fp8_gemm",
                        .help = "dense product of e4m3 with scales of 1×128 and 128×128",
                        .params = shape_params(),
                        .dtypes = {"fp8"}});
  return op;
}

}  // namespace dsbench::kernelbench
