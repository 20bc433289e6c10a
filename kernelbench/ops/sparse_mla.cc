#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "kernelbench/ops/attention.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/latent_entry.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

// DeepSeek sparse attention: absorbed latent attention to the entries that were chosen, and to them alone.
namespace dsbench::kernelbench {
namespace {

constexpr double kQkDim = 192;

class SparseMla : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override { return LatentEntry::validate(p); }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const LatentEntry entry(p);
    const auto size = static_cast<double>(size_of(entry.number));
    const auto batch = static_cast<double>(p["batch"]);
    const auto width = static_cast<double>(p["kv_lora"] + p["rope"]);
    const auto heads = static_cast<double>(p["heads"]);
    return batch * (heads * ((width + static_cast<double>(p["kv_lora"])) * size + 4) +
                    static_cast<double>(p["context"]) * entry.bytes + 4 * static_cast<double>(p["top_k"]));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const LatentEntry entry(p);
    const Dtype type = entry.number;
    const std::int64_t batch = p["batch"];
    const std::int64_t context = p["context"];
    const std::int64_t top_k = p["top_k"];
    const std::int64_t width = p["kv_lora"] + p["rope"];
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("q", type, std::vector{batch, p["heads"], width}));
    HostTensor cache("cache", entry.cache, {batch * context, entry.elements});
    entry.fill(p, cache);
    HostTensor ids("ids", Dtype::i32, {batch, top_k});
    Rng rng(p.seed, "kernelbench.ids");
    std::vector<std::int32_t> order(static_cast<std::size_t>(context));
    std::vector<bool> used(static_cast<std::size_t>(batch * context));
    for (std::int64_t b = 0; b < batch; ++b) {
      std::iota(order.begin(), order.end(), 0);
      std::int32_t* mine = ids.as<std::int32_t>() + b * top_k;
      for (std::int64_t i = 0; i < top_k; ++i) {
        mine[i] = -1;
        // Adversarial: holes, and the second request has nothing but holes.
        if (i >= context || (p.adversarial && (b % 4 == 1 || i % 5 == 3))) continue;
        const auto at = static_cast<std::size_t>(i);
        std::swap(order[at], order[at + rng.below(order.size() - at)]);
        mine[i] = static_cast<std::int32_t>(b * context) + order[at];
        used[static_cast<std::size_t>(mine[i])] = true;
      }
    }
    for (std::int64_t row = 0; row < batch * context && p.adversarial; ++row) {
      if (!used[static_cast<std::size_t>(row)])
        cache.poison_range(row * entry.elements, (row + 1) * entry.elements);
    }
    operands.in.push_back(std::move(cache));
    operands.in.push_back(std::move(ids));
    operands.out.emplace_back("o", type, std::vector{batch, p["heads"], p["kv_lora"]}).poison_all();
    operands.out.emplace_back("lse", Dtype::f32, std::vector{batch, p["heads"]}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    const LatentEntry entry(p);
    const auto size = static_cast<double>(size_of(entry.number));
    const auto width = static_cast<double>(p["kv_lora"] + p["rope"]);
    const auto kv_lora = static_cast<double>(p["kv_lora"]);
    const auto rows = static_cast<double>(p["batch"] * p["heads"]);
    double entries = 0;
    const std::int32_t* ids = operands.in[2].as<std::int32_t>();
    for (std::int64_t i = 0; i < p["batch"] * p["top_k"]; ++i) entries += ids[i] >= 0 ? 1 : 0;
    return {.flops = 2 * entries * static_cast<double>(p["heads"]) * (width + kv_lora),
            .bytes = entries * entry.bytes + rows * ((width + kv_lora) * size + 4) +
                     4.0 * static_cast<double>(p["batch"] * p["top_k"]),
            .unit = product_types(entry.fp8 ? "bf16" : p.dtype).unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    if (std::string bad = find_not_finite(out[1], 0, out[1].elements(), true); !bad.empty())
      complain(result, bad);
    const std::int64_t heads = p["heads"];
    const std::int64_t top_k = p["top_k"];
    const std::int64_t kv_lora = p["kv_lora"];
    const std::int64_t width = kv_lora + p["rope"];
    const std::int64_t rows = p["batch"] * heads;
    const LatentEntry entry(p);
    std::vector<std::int64_t> boundaries;
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      boundaries.push_back(b * heads);
      boundaries.push_back(b * heads + heads - 1);
    }
    const double row_flops = 2.0 * static_cast<double>(top_k * (width + kv_lora));
    const std::vector<std::int64_t> chosen =
        rows_to_check(rows, affordable_rows(rows, row_flops, budget_flops), boundaries, p.seed);
    std::vector<std::int64_t> requests(static_cast<std::size_t>(p["batch"]));
    std::iota(requests.begin(), requests.end(), 0);
    Comparison totals[] = {Comparison("o", attention_gates(out[0].type(), top_k, width)),
                           Comparison("lse", lse_gates(out[0].type()))};
    compare_rows_of(requests, totals, [&](std::int64_t b, std::span<Comparison> mine) {
      std::vector<std::int32_t> entries;
      for (std::int64_t i = 0; i < top_k; ++i) {
        const std::int32_t id = in[2].as<std::int32_t>()[b * top_k + i];
        if (id >= 0) entries.push_back(id);
      }
      const auto first = std::ranges::lower_bound(chosen, b * heads);
      const auto last = std::ranges::lower_bound(chosen, (b + 1) * heads);
      std::vector<AttentionRow> wanted;
      for (auto row = first; row != last; ++row) {
        AttentionRow& one = wanted.emplace_back(AttentionRow{.visible = std::ssize(entries)});
        one.q.resize(static_cast<std::size_t>(width));
        decode_range(in[0], *row * width, width, one.q.data());
      }
      attend({.width = width,
              .v_width = kv_lora,
              .scale = 1 / std::sqrt(kQkDim),
              .keys =
                  [&](std::int64_t begin, std::int64_t end, double* to) {
                    for (std::int64_t t = begin; t < end; ++t) {
                      entry.decode(in[1], entries[static_cast<std::size_t>(t)], to + (t - begin) * width);
                    }
                  }},
             wanted);
      std::vector<double> got(static_cast<std::size_t>(kv_lora));
      for (std::size_t r = 0; r < wanted.size(); ++r) {
        const std::int64_t row = first[static_cast<std::ptrdiff_t>(r)];
        const auto name = [b, row, heads] { return fmt::format("request {} head {}", b, row % heads); };
        decode_range(out[0], row * kv_lora, kv_lora, got.data());
        mine[0].row(wanted[r].o, got, name);
        const double lse = out[1].get(row);
        mine[1].row(std::span(&wanted[r].lse, 1), std::span(&lse, 1), name);
      }
    });
    result.rows = rows;
    result.rows_checked = std::ssize(chosen);
    for (const Comparison& total : totals) total.conclude(result);
    return result;
  }
};

}  // namespace

const Op& sparse_mla_op() {
  static const SparseMla op(
      {.name = "sparse_mla",
       .help = "absorbed latent attention of one query to chosen cache entries",
       .params = {needed("batch", "requests"), needed("context", "entries of a request"),
                  needed("heads", "query heads"), needed("top_k", "entries that are attended to"),
                  preset("kv_lora", 512, "latent numbers of an entry"),
                  preset("rope", 64, "rotary numbers of an entry")},
       .dtypes = {"bf16", "f32", "fp8"}});
  return op;
}

}  // namespace dsbench::kernelbench
