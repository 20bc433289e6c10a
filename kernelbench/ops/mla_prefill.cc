#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernelbench/ops/attention.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

namespace dsbench::kernelbench {
namespace {

class MlaPrefill : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    if (p["queries"] <= p["context"]) return {};
    return fail(ErrorKind::usage, "mla_prefill: {} queries in a context of {}; the context includes them",
                p["queries"], p["context"]);
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    return size * static_cast<double>(p["heads"]) *
           static_cast<double>((p["queries"] + p["context"]) * (p["qk"] + p["v"]));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    const std::int64_t heads = p["heads"];
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("q", type, std::vector{p["queries"], heads, p["qk"]}));
    fill_uniform(p, operands.in.emplace_back("k", type, std::vector{p["context"], heads, p["qk"]}));
    fill_uniform(p, operands.in.emplace_back("v", type, std::vector{p["context"], heads, p["v"]}));
    operands.out.emplace_back("o", type, std::vector{p["queries"], heads, p["v"]}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const auto queries = static_cast<double>(p["queries"]);
    const auto context = static_cast<double>(p["context"]);
    // Each query sees itself and what is before it.
    const double scores = queries * (2 * context - queries + 1) / 2;
    return {.flops = 2 * static_cast<double>(p["heads"]) * scores * static_cast<double>(p["qk"] + p["v"]),
            .bytes = operand_bytes(p),
            .unit = product_types(p.dtype).unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t heads = p["heads"];
    const std::int64_t queries = p["queries"];
    const std::int64_t context = p["context"];
    const std::int64_t qk = p["qk"];
    const std::int64_t v = p["v"];
    // Here a row is head·queries + query, so that neighbours share a head.
    std::vector<std::int64_t> boundaries;
    for (const std::int64_t h : {std::int64_t{0}, heads - 1}) {
      add_tile_boundaries(h * queries, (h + 1) * queries, boundaries);
    }
    const double row_flops = 2.0 * static_cast<double>(context * (qk + v));
    const std::vector<std::int64_t> chosen = rows_to_check(
        heads * queries, affordable_rows(heads * queries, row_flops, budget_flops), boundaries, p.seed);
    std::vector<std::span<const std::int64_t>> jobs;
    for (std::size_t i = 0; i < chosen.size();) {
      std::size_t end = i + 1;
      while (end < chosen.size() && end - i < 32 && chosen[end] / queries == chosen[i] / queries) ++end;
      jobs.push_back(std::span(chosen).subspan(i, end - i));
      i = end;
    }
    std::vector<std::int64_t> numbers(jobs.size());
    std::iota(numbers.begin(), numbers.end(), 0);
    Comparison totals[] = {Comparison("o", attention_gates(out[0].type(), context, qk))};
    compare_rows_of(numbers, totals, [&](std::int64_t job, std::span<Comparison> mine) {
      const std::span<const std::int64_t> rows = jobs[static_cast<std::size_t>(job)];
      const std::int64_t h = rows.front() / queries;
      std::vector<AttentionRow> wanted(rows.size());
      for (std::size_t r = 0; r < rows.size(); ++r) {
        const std::int64_t query = rows[r] % queries;
        wanted[r].visible = context - queries + query + 1;
        wanted[r].q.resize(static_cast<std::size_t>(qk));
        decode_range(in[0], (query * heads + h) * qk, qk, wanted[r].q.data());
      }
      const auto gather = [heads, h](const HostTensor& from, std::int64_t width) {
        return [&from, heads, h, width](std::int64_t begin, std::int64_t end, double* to) {
          for (std::int64_t t = begin; t < end; ++t) {
            decode_range(from, (t * heads + h) * width, width, to + (t - begin) * width);
          }
        };
      };
      attend({.width = qk,
              .v_width = v,
              .scale = 1 / std::sqrt(static_cast<double>(qk)),
              .keys = gather(in[1], qk),
              .values = gather(in[2], v)},
             wanted);
      std::vector<double> got(static_cast<std::size_t>(v));
      for (std::size_t r = 0; r < rows.size(); ++r) {
        const std::int64_t query = rows[r] % queries;
        decode_range(out[0], (query * heads + h) * v, v, got.data());
        mine[0].row(wanted[r].o, got, [&] { return fmt::format("query {} head {}", query, h); });
      }
    });
    result.rows = heads * queries;
    result.rows_checked = std::ssize(chosen);
    totals[0].conclude(result);
    return result;
  }
};

}  // namespace

const Op& mla_prefill_op() {
  static const MlaPrefill op(
      {.name = "mla_prefill",
       .help = "causal attention of many new tokens, keys and values of every head spelt out",
       .params = {needed("queries", "new tokens"), needed("context", "tokens in all, the new ones last"),
                  needed("heads", "of queries, keys and values"),
                  preset("qk", 192, "width of queries and keys"), preset("v", 128, "width of values")},
       .dtypes = {"bf16", "f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
