#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"
#include "kernelbench/ops/routing.h"

namespace dsbench::kernelbench {
namespace {

// c of every expert's rows = a·w[expert]ᵀ.
class GroupedGemm : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    DSBENCH_CHECK(check_routing(p));
    return check_product_shape(p, p["k"]);
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const ProductTypes types = product_types(p.dtype);
    const auto rows =
        static_cast<double>(masked(p) ? p["experts"] * max_m(p, counts(p)) : p["tokens"] * p["top_k"]);
    const auto n = static_cast<double>(p["n"]);
    const auto k = static_cast<double>(p["k"]);
    const auto experts = static_cast<double>(p["experts"]);
    return act_bytes(types, rows, k) + experts * weight_bytes(types, n, k) +
           rows * n * static_cast<double>(size_of(types.out)) + 4 * (experts + (masked(p) ? 0 : 1));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const std::int64_t experts = p["experts"];
    const std::int64_t n = p["n"];
    const std::int64_t k = p["k"];
    const std::vector<std::int64_t> rows = counts(p);
    const std::int64_t most = max_m(p, rows);
    std::vector<std::int64_t> shape{p["tokens"] * p["top_k"], k};
    if (masked(p)) shape = {experts, most, k};
    Operands operands;
    add_activations(p, "a", shape, operands);
    const std::size_t w_at = operands.in.size();
    add_weights(p, "w", {experts, n, k}, operands);
    if (p.adversarial) spoil(p, rows, most, w_at, operands);
    std::vector<std::int32_t> numbers;
    if (masked(p)) {
      for (const std::int64_t count : rows)
        numbers.push_back(static_cast<std::int32_t>(std::min(count, most)));
      operands.in.push_back(i32_tensor("rows", {experts}, numbers));
    } else {
      numbers.push_back(0);
      for (const std::int64_t count : rows)
        numbers.push_back(numbers.back() + static_cast<std::int32_t>(count));
      operands.in.push_back(i32_tensor("offsets", {experts + 1}, numbers));
    }
    shape.back() = n;
    operands.out.emplace_back("c", product_types(p.dtype).out, shape).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    const ProductTypes types = product_types(p.dtype);
    const auto n = static_cast<double>(p["n"]);
    const auto k = static_cast<double>(p["k"]);
    double rows = 0;
    double touched = 0;
    for (const Part& part : parts(p, operands.in.back(), operands.in[0].dim(1))) {
      rows += static_cast<double>(part.rows);
      touched += part.rows > 0 ? 1 : 0;
    }
    return {.flops = 2 * rows * n * k,
            .bytes = touched * weight_bytes(types, n, k) + act_bytes(types, rows, k) +
                     rows * n * static_cast<double>(size_of(types.out)) +
                     4 * static_cast<double>(operands.in.back().elements()),
            .unit = types.unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    const std::int64_t n = p["n"];
    const std::int64_t k = p["k"];
    const std::size_t w_at = product_types(p.dtype).group_scales ? 2 : 1;
    const std::vector<Part> all = parts(p, in.back(), in[0].dim(1));
    // Rows that count, one expert after the other; any sample has the first and last of each.
    std::vector<std::int64_t> boundaries;
    std::int64_t total = 0;
    for (const Part& part : all) {
      if (std::string bad = find_not_finite(out[0], part.first * n, (part.first + part.rows) * n);
          !bad.empty()) {
        complain(result, bad);
      }
      if (part.rows > 0) {
        boundaries.push_back(total);
        boundaries.push_back(total + part.rows - 1);
      }
      total += part.rows;
    }
    const double row_flops = 2.0 * static_cast<double>(n) * static_cast<double>(k);
    const std::vector<std::int64_t> chosen =
        rows_to_check(total, affordable_rows(total, row_flops, budget_flops), boundaries, p.seed);
    Comparison comparison("c", product_gates(p.dtype, k));
    std::int64_t begin = 0;
    for (std::size_t e = 0; e < all.size(); ++e) {
      const Part& part = all[e];
      if (part.rows == 0) continue;
      const ProductView product{.a = activation_view(in, 0, part.rows, k, part.first),
                                .w = weight_view(in, w_at, n, k, static_cast<std::int64_t>(e)),
                                .c = &out[0],
                                .first = part.first * n,
                                .stride = n,
                                .name = fmt::format("expert {} ", e)};
      std::vector<std::int64_t> mine;
      for (auto at = std::ranges::lower_bound(chosen, begin); at != chosen.end() && *at < begin + part.rows;
           ++at) {
        mine.push_back(*at - begin);
      }
      compare_rows(product, mine, comparison);
      if (std::ssize(mine) < part.rows) check_freivalds(product, p.seed, result);
      begin += part.rows;
    }
    result.rows = total;
    result.rows_checked = std::ssize(chosen);
    comparison.conclude(result);
    return result;
  }

 private:
  // Rows of one expert in a and c.
  struct Part {
    std::int64_t first = 0;
    std::int64_t rows = 0;
  };

  static bool masked(const Problem& p) { return p.word("layout") == "masked"; }

  static std::vector<std::int64_t> counts(const Problem& p) {
    const std::vector<std::int64_t> offsets = expert_offsets(make_routing(p), p["experts"]);
    std::vector<std::int64_t> rows;
    for (std::size_t e = 0; e + 1 < offsets.size(); ++e) rows.push_back(offsets[e + 1] - offsets[e]);
    return rows;
  }
  static std::int64_t max_m(const Problem& p, const std::vector<std::int64_t>& rows) {
    return p["max_m"] > 0 ? p["max_m"] : *std::ranges::max_element(rows);
  }

  // `most`: rows kept for an expert when masked.
  static std::vector<Part> parts(const Problem& p, const HostTensor& numbers, std::int64_t most) {
    std::vector<Part> all;
    const std::int32_t* value = numbers.as<std::int32_t>();
    for (std::int64_t e = 0; e < p["experts"]; ++e) {
      if (masked(p)) {
        all.push_back({.first = e * most, .rows = value[e]});
      } else {
        all.push_back({.first = value[e], .rows = value[e + 1] - value[e]});
      }
    }
    return all;
  }

  // NaN where nothing may be read: rows beyond an expert's own, weights of experts without rows.
  static void spoil(const Problem& p, const std::vector<std::int64_t>& rows, std::int64_t most,
                    std::size_t w_at, Operands& operands) {
    const std::int64_t experts = p["experts"];
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t mine = rows[static_cast<std::size_t>(e)];
      for (std::size_t i = 0; i < w_at && masked(p); ++i) {
        HostTensor& tensor = operands.in[i];
        const std::int64_t row = tensor.elements() / (experts * most);
        tensor.poison_range((e * most + std::min(mine, most)) * row, (e + 1) * most * row);
      }
      for (std::size_t i = w_at; i < operands.in.size() && mine == 0; ++i) {
        HostTensor& tensor = operands.in[i];
        const std::int64_t matrix = tensor.elements() / experts;
        tensor.poison_range(e * matrix, (e + 1) * matrix);
      }
    }
  }
};

}  // namespace

const Op& moe_grouped_gemm_op() {
  static const GroupedGemm op(
      {.name = "moe_grouped_gemm",
       .help = "one product per expert over the rows routed to it",
       .params =
           {needed("experts", "on this device"), needed("tokens", "before routing"),
            needed("top_k", "experts of a token"), needed("n", "rows of each weight"),
            needed("k", "the contraction"),
            preset(
                "max_m", 0,
                "masked: rows kept for an expert, what is beyond is dropped; 0: as many as the fullest has",
                0)},
       .words = {routing_word(),
                 {.name = "layout",
                  .accepted = {"contiguous", "masked"},
                  .help = "rows of all experts behind each other, or max_m for each"}},
       .dtypes = {"bf16", "f32", "f32.bf16", "fp8"}});
  return op;
}

}  // namespace dsbench::kernelbench
