#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"
#include "kernelbench/ops/routing.h"

// Align, permute, unpermute: how rows get to their experts and back.
namespace dsbench::kernelbench {
namespace {

std::vector<ParamSpec> row_params() {
  return {needed("tokens", "rows before routing"), needed("hidden", "their width"),
          needed("top_k", "experts of a token"), needed("experts", "that rows go to")};
}

class MoeAlign : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override { return check_routing(p); }
  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    return 8.0 * static_cast<double>(p["tokens"] * p["top_k"]) + 4.0 * static_cast<double>(p["experts"] + 1);
  }
  [[nodiscard]] Operands make(const Problem& p) const override {
    Operands operands;
    operands.in.push_back(i32_tensor("ids", {p["tokens"], p["top_k"]}, make_routing(p)));
    operands.out.emplace_back("slots", Dtype::i32, std::vector{p["tokens"] * p["top_k"]}).poison_all();
    operands.out.emplace_back("offsets", Dtype::i32, std::vector{p["experts"] + 1}).poison_all();
    return operands;
  }
  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {.flops = 0, .bytes = operand_bytes(p), .unit = ""};
  }
  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double) const override {
    CheckResult result = no_complaint();
    const std::int64_t copies = p["tokens"] * p["top_k"];
    const std::int32_t* ids = in[0].as<std::int32_t>();
    const std::vector<std::int64_t> offsets =
        expert_offsets(std::vector<std::int32_t>(ids, ids + copies), p["experts"]);
    const std::int32_t* got = out[1].as<std::int32_t>();
    for (std::size_t e = 0; e < offsets.size(); ++e) {
      if (got[e] != offsets[e]) {
        complain(result, fmt::format("offsets: element {} is {}, should be {}", e, got[e], offsets[e]));
      }
    }
    // Each copy in its expert's segment, no two in one row: then it is a permutation.
    std::vector<bool> taken(static_cast<std::size_t>(copies));
    const std::int32_t* slots = out[0].as<std::int32_t>();
    for (std::int64_t i = 0; i < copies; ++i) {
      const auto e = static_cast<std::size_t>(ids[i]);
      const std::int64_t slot = slots[i];
      if (slot < offsets[e] || slot >= offsets[e + 1]) {
        complain(result, fmt::format("slots: element {} is {}, should lie in [{}, {}) of expert {}", i, slot,
                                     offsets[e], offsets[e + 1], e));
      } else if (taken[static_cast<std::size_t>(slot)]) {
        complain(result, fmt::format("slots: element {} is {}, which another has", i, slot));
      } else {
        taken[static_cast<std::size_t>(slot)] = true;
      }
    }
    result.rows = result.rows_checked = copies;
    return result;
  }
};

class MoePermute : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    DSBENCH_CHECK(check_routing(p));
    return check_product_shape(p, p["hidden"]);
  }
  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const ProductTypes types = product_types(p.dtype);
    const auto tokens = static_cast<double>(p["tokens"]);
    const double copies = tokens * static_cast<double>(p["top_k"]);
    const auto hidden = static_cast<double>(p["hidden"]);
    return act_bytes(types, tokens, hidden) + act_bytes(types, copies, hidden) + 4 * copies;
  }
  [[nodiscard]] Operands make(const Problem& p) const override {
    Operands operands;
    add_activations(p, "x", {p["tokens"], p["hidden"]}, operands);
    const std::int64_t copies = p["tokens"] * p["top_k"];
    for (const HostTensor& x : operands.in) {
      std::string name = "y" + x.name().substr(1);
      operands.out.emplace_back(std::move(name), x.type(), std::vector{copies, x.dim(1)}).poison_all();
    }
    operands.in.push_back(i32_tensor("slots", {copies}, expert_slots(make_routing(p), p["experts"])));
    return operands;
  }
  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {.flops = 0, .bytes = operand_bytes(p), .unit = ""};
  }
  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double) const override {
    CheckResult result = no_complaint();
    const std::int64_t copies = p["tokens"] * p["top_k"];
    const std::int32_t* slots = in.back().as<std::int32_t>();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::int64_t row = out[i].dim(1) * size_of(out[i].type());
      for (std::int64_t c = 0; c < copies; ++c) {
        const std::byte* want = in[i].data() + c / p["top_k"] * row;
        if (std::memcmp(want, out[i].data() + slots[c] * row, static_cast<std::size_t>(row)) != 0) {
          complain(result, fmt::format("{}: row {} is not token {}, bit by bit", out[i].name(), slots[c],
                                       c / p["top_k"]));
        }
      }
    }
    result.rows = result.rows_checked = copies;
    return result;
  }
};

class MoeUnpermute : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override { return check_routing(p); }
  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto tokens = static_cast<double>(p["tokens"]);
    const auto top_k = static_cast<double>(p["top_k"]);
    const double row =
        static_cast<double>(p["hidden"]) * static_cast<double>(size_of(product_types(p.dtype).act));
    return tokens * ((top_k + 1) * row + 8 * top_k);
  }
  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    const std::int64_t copies = p["tokens"] * p["top_k"];
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("y", type, std::vector{copies, p["hidden"]}));
    operands.in.push_back(i32_tensor("slots", {copies}, expert_slots(make_routing(p), p["experts"])));
    fill_uniform(p, operands.in.emplace_back("weights", Dtype::f32, std::vector{p["tokens"], p["top_k"]}),
                 0.1, 0.9);
    operands.out.emplace_back("x", type, std::vector{p["tokens"], p["hidden"]}).poison_all();
    return operands;
  }
  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {.flops = 2.0 * static_cast<double>(p["tokens"] * p["top_k"]) * static_cast<double>(p["hidden"]),
            .bytes = operand_bytes(p),
            .unit = ""};
  }
  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t tokens = p["tokens"];
    const std::int64_t hidden = p["hidden"];
    const std::int64_t top_k = p["top_k"];
    const std::int32_t* slots = in[1].as<std::int32_t>();
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, tokens, boundaries);
    const double row_flops = 8.0 * static_cast<double>(top_k * hidden);
    const std::vector<std::int64_t> rows =
        rows_to_check(tokens, affordable_rows(tokens, row_flops, budget_flops), boundaries, p.seed);
    Gates gates = f32_sum_gates(static_cast<double>(top_k));
    if (out[0].type() == Dtype::bf16) {
      gates = bf16_pointwise_gates();
      gates.abs = 1e-6 * static_cast<double>(top_k);  // of sums that cancel
    }
    Comparison totals[] = {Comparison("x", gates)};
    compare_rows_of(rows, totals, [&](std::int64_t t, std::span<Comparison> mine) {
      std::vector<double> want(static_cast<std::size_t>(hidden));
      std::vector<double> got(want.size());
      double usual = 0;
      for (std::int64_t c = t * top_k; c < (t + 1) * top_k; ++c) {
        const double weight = in[2].get(c);
        usual += weight * weight / 3;
        decode_range(in[0], slots[c] * hidden, hidden, got.data());
        for (std::size_t i = 0; i < want.size(); ++i) want[i] += weight * got[i];
      }
      decode_range(out[0], t * hidden, hidden, got.data());
      mine[0].row(
          want, got, [t] { return fmt::format("row {}", t); }, std::sqrt(usual));
    });
    result.rows = tokens;
    result.rows_checked = std::ssize(rows);
    totals[0].conclude(result);
    return result;
  }
};

}  // namespace

const Op& moe_align_op() {
  static const MoeAlign op(
      {.name = "moe_align",
       .help = "the row of each (token, choice) when rows are sorted by expert",
       .params = {needed("tokens", "rows before routing"), needed("experts", "that rows go to"),
                  needed("top_k", "experts of a token")},
       .words = {routing_word()},
       .dtypes = {"i32"}});
  return op;
}

const Op& moe_permute_op() {
  static const MoePermute op({.name = "moe_permute",
                              .help = "copies each token's row to the rows of its experts",
                              .params = row_params(),
                              .words = {routing_word()},
                              .dtypes = {"bf16", "f32", "fp8"}});
  return op;
}

const Op& moe_unpermute_op() {
  static const MoeUnpermute op({.name = "moe_unpermute",
                                .help = "sums the rows of each token's experts by weight",
                                .params = row_params(),
                                .words = {routing_word()},
                                .dtypes = {"bf16", "f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
