#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/kernels/ref/gate.h"
#include "kernelbench/ops/compare.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"

namespace dsbench::kernelbench {
namespace {

using engine::kernels::ref::largest_indices;

constexpr double kWeightTolerance = 1e-5;  // relative
// Below this gap of scores (relative to them, which are about 1) a choice in f32 may fall either way.
constexpr double kTie = 1e-6;

// What one token's experts must be.
struct Choice {
  std::vector<double> scores;  // unbiased
  std::vector<double> biased;  // of kept groups; else minus infinity
  std::vector<double> best;    // biased scores of the chosen, in order
  bool group_tie = false;      // another group could have been kept
};

Choice choose(const Problem& p, std::span<const double> logits, std::span<const double> bias) {
  Choice choice;
  choice.scores.assign(logits.begin(), logits.end());
  const std::string& scoring = p.word("scoring");
  if (scoring == "sigmoid") {
    for (double& s : choice.scores) s = engine::kernels::ref::sigmoid(s);
  } else if (scoring == "softmax") {
    engine::kernels::ref::softmax(std::span(choice.scores));
  } else {
    for (double& s : choice.scores) s = engine::kernels::ref::sqrt_softplus(s);
  }
  choice.biased = choice.scores;
  const bool biased = p.word("bias") == "yes";
  if (biased) {
    for (std::size_t e = 0; e < bias.size(); ++e) choice.biased[e] += bias[e];
  }
  const auto groups = static_cast<std::size_t>(p["groups"]);
  const auto kept = static_cast<std::size_t>(p["kept_groups"]);
  const std::size_t size = logits.size() / groups;
  if (groups > 1) {
    // By the sum of the two best of a group; without a bias, by its best, as V2.
    std::vector<double> of_group(groups);
    for (std::size_t g = 0; g < groups; ++g) {
      const std::span<const double> members(choice.biased.data() + g * size, size);
      for (const std::int32_t i : largest_indices(members, biased && size > 1 ? 2 : 1)) {
        of_group[g] += members[static_cast<std::size_t>(i)];
      }
    }
    const std::vector<std::int32_t> order = largest_indices(std::span<const double>(of_group), groups);
    if (kept < groups) {
      const double last = of_group[static_cast<std::size_t>(order[kept - 1])];
      const double next = of_group[static_cast<std::size_t>(order[kept])];
      choice.group_tie = last - next <= kTie * std::max(1.0, std::fabs(last));
    }
    for (std::size_t i = kept; i < groups; ++i) {
      const std::size_t refused = static_cast<std::size_t>(order[i]) * size;
      std::fill_n(choice.biased.begin() + static_cast<std::ptrdiff_t>(refused), size,
                  -std::numeric_limits<double>::infinity());
    }
  }
  for (const std::int32_t e :
       largest_indices(std::span<const double>(choice.biased), static_cast<std::size_t>(p["top_k"]))) {
    choice.best.push_back(choice.biased[static_cast<std::size_t>(e)]);
  }
  return choice;
}

class MoeGate : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    if (p["experts"] % p["groups"] != 0) {
      return fail(ErrorKind::usage, "moe_gate: {} experts do not make {} groups of one size", p["experts"],
                  p["groups"]);
    }
    if (p["kept_groups"] > p["groups"]) {
      return fail(ErrorKind::usage, "moe_gate: kept_groups is {}; there are {} groups", p["kept_groups"],
                  p["groups"]);
    }
    if (p["top_k"] > p["experts"] / p["groups"] * p["kept_groups"]) {
      return fail(ErrorKind::usage, "moe_gate: top_k is {}; the kept groups have {} experts", p["top_k"],
                  p["experts"] / p["groups"] * p["kept_groups"]);
    }
    return {};
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    return static_cast<double>(p["tokens"]) * static_cast<double>(4 * p["experts"] + 8 * p["top_k"]) +
           4.0 * static_cast<double>(p["experts"]);
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("logits", Dtype::f32, std::vector{p["tokens"], p["experts"]}),
                 -4, 4);
    HostTensor& bias = operands.in.emplace_back("bias", Dtype::f32, std::vector{p["experts"]});
    // So low that biased scores are negative: a mask of 0 in place of minus infinity would win.
    if (p.word("bias") == "yes") fill_uniform(p, bias, -4, -3);
    operands.out.emplace_back("ids", Dtype::i32, std::vector{p["tokens"], p["top_k"]}).poison_all();
    operands.out.emplace_back("weights", Dtype::f32, std::vector{p["tokens"], p["top_k"]}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {.flops = 8.0 * static_cast<double>(p["tokens"]) * static_cast<double>(p["experts"]),
            .bytes = operand_bytes(p),
            .unit = ""};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    for (const HostTensor& tensor : out) {
      if (std::string bad = find_not_finite(tensor); !bad.empty()) complain(result, bad);
    }
    const std::int64_t tokens = p["tokens"];
    const std::int64_t experts = p["experts"];
    std::vector<double> bias(static_cast<std::size_t>(experts));
    decode_range(in[1], 0, experts, bias.data());
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, tokens, boundaries);
    const double row_flops = static_cast<double>(experts * (p["top_k"] + 16));
    const std::vector<std::int64_t> rows =
        rows_to_check(tokens, affordable_rows(tokens, row_flops, budget_flops), boundaries, p.seed);
    const double any = std::numeric_limits<double>::infinity();
    Comparison totals[] = {Comparison(
        "weights", {.global_diff = any, .row_diff = any, .abs = 1e-30, .rel = kWeightTolerance, .rms = 0})};
    std::vector<std::string> complaints(static_cast<std::size_t>(tokens));
    compare_rows_of(rows, totals, [&](std::int64_t row, std::span<Comparison> mine) {
      std::vector<double> logits(static_cast<std::size_t>(experts));
      decode_range(in[0], row * experts, experts, logits.data());
      complaints[static_cast<std::size_t>(row)] = check_token(p, choose(p, logits, bias), row, out, mine[0]);
    });
    for (const std::string& complaint : complaints) {
      if (!complaint.empty()) complain(result, complaint);
    }
    result.rows = tokens;
    result.rows_checked = std::ssize(rows);
    totals[0].conclude(result);
    return result;
  }

 private:
  // What is wrong with a token's choice; its weights go to the comparison.
  static std::string check_token(const Problem& p, const Choice& want, std::int64_t token,
                                 std::span<const HostTensor> out, Comparison& weights) {
    const std::int64_t top_k = p["top_k"];
    const std::int64_t group = p["experts"] / p["groups"];
    const std::int32_t* ids = out[0].as<std::int32_t>() + token * top_k;
    std::set<std::int32_t> seen;
    std::set<std::int64_t> groups;
    std::vector<double> chosen;
    double sum = 0;
    for (std::int64_t j = 0; j < top_k; ++j) {
      if (ids[j] < 0 || ids[j] >= p["experts"]) {
        return fmt::format("ids: row {}: element {} is {}; there are {} experts", token, j, ids[j],
                           p["experts"]);
      }
      if (!seen.insert(ids[j]).second) return fmt::format("ids: row {}: expert {} twice", token, ids[j]);
      groups.insert(ids[j] / group);
      chosen.push_back(want.biased[static_cast<std::size_t>(ids[j])]);
      sum += want.scores[static_cast<std::size_t>(ids[j])];
    }
    if (std::ssize(groups) > p["kept_groups"]) {
      return fmt::format("ids: row {}: experts of {} groups, of which {} may be kept", token, groups.size(),
                         p["kept_groups"]);
    }
    if (!want.group_tie) {
      std::ranges::sort(chosen, std::greater<>());
      for (std::size_t j = 0; j < chosen.size(); ++j) {
        if (!(want.best[j] - chosen[j] <= kTie * std::max(1.0, std::fabs(want.best[j])))) {
          return fmt::format("ids: row {}: the {}. best chosen has score {:.7g}, should be {:.7g}", token,
                             j + 1, chosen[j], want.best[j]);
        }
      }
    }
    const double scale = static_cast<double>(p["scale_milli"]) / 1000;
    std::vector<double> wanted;
    std::vector<double> got(static_cast<std::size_t>(top_k));
    decode_range(out[1], token * top_k, top_k, got.data());
    for (std::int64_t j = 0; j < top_k; ++j) {
      const double score = want.scores[static_cast<std::size_t>(ids[j])];
      wanted.push_back((p.word("renormalise") == "yes" ? score / sum : score) * scale);
    }
    weights.row(wanted, got, [token] { return fmt::format("row {}", token); });
    return {};
  }
};

}  // namespace

const Op& moe_gate_op() {
  static const MoeGate op(
      {.name = "moe_gate",
       .help = "scores experts and chooses the best top_k of the best groups",
       .params = {needed("tokens", "rows of logits"), needed("experts", "routed experts"),
                  needed("top_k", "experts of a token"), preset("groups", 1, "groups of experts"),
                  preset("kept_groups", 1, "groups that a token's experts may come from"),
                  preset("scale_milli", 1000, "what weights are multiplied with, in thousandths")},
       .words = {{.name = "scoring",
                  .accepted = {"sigmoid", "softmax", "sqrt_softplus"},
                  .help = "score of a logit"},
                 {.name = "renormalise", .accepted = {"yes", "no"}, .help = "divide weights by their sum"},
                 {.name = "bias", .accepted = {"yes", "no"}, .help = "add a bias for the choice alone"}},
       .dtypes = {"f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
