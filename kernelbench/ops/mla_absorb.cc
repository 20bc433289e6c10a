#include <fmt/format.h>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

namespace dsbench::kernelbench {
namespace {

// y[t, h] = x[t, h]·w[h]ᵀ: what turns a head's query into latent space, and its output back.
class MlaAbsorb : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto in = static_cast<double>(p["in"]);
    const auto out = static_cast<double>(p["out"]);
    return static_cast<double>(size_of(product_types(p.dtype).act)) * static_cast<double>(p["heads"]) *
           (static_cast<double>(p["tokens"]) * (in + out) + in * out);
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("x", type, std::vector{p["tokens"], p["heads"], p["in"]}));
    fill_uniform(p, operands.in.emplace_back("w", type, std::vector{p["heads"], p["out"], p["in"]}));
    operands.out.emplace_back("y", type, std::vector{p["tokens"], p["heads"], p["out"]}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {.flops =
                2.0 * static_cast<double>(p["tokens"] * p["heads"]) * static_cast<double>(p["in"] * p["out"]),
            .bytes = operand_bytes(p),
            .unit = product_types(p.dtype).unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t heads = p["heads"];
    Comparison comparison("y", product_gates(p.dtype, p["in"]));
    for (std::int64_t h = 0; h < heads; ++h) {
      const ProductView product{.a = {.values = &in[0],
                                      .first = h * p["in"],
                                      .stride = heads * p["in"],
                                      .rows = p["tokens"],
                                      .k = p["in"]},
                                .w = weight_view(in, 1, p["out"], p["in"], h),
                                .c = &out[0],
                                .first = h * p["out"],
                                .stride = heads * p["out"],
                                .name = fmt::format("head {} ", h)};
      check_product(product, budget_flops / static_cast<double>(heads), {}, p.seed, result, comparison);
    }
    comparison.conclude(result);
    return result;
  }
};

}  // namespace

const Op& mla_absorb_op() {
  static const MlaAbsorb op({.name = "mla_absorb",
                             .help = "one small product per head: y[t,h] = x[t,h]·w[h]ᵀ",
                             .params = {needed("tokens", "rows"), needed("heads", "matrices"),
                                        needed("in", "width of x"), needed("out", "width of y")},
                             .dtypes = {"bf16", "f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
