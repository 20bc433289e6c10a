#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "core/rng.h"
#include "kernelbench/ops/chosen_attention.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/latent_entry.h"
#include "kernelbench/ops/ops.h"

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
    return static_cast<double>(p["batch"]) *
           (static_cast<double>(p["heads"]) * entry.row_bytes() +
            static_cast<double>(p["context"]) * entry.bytes + 4 * static_cast<double>(p["top_k"]));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const LatentEntry entry(p);
    const std::int64_t batch = p["batch"];
    const std::int64_t context = p["context"];
    const std::int64_t top_k = p["top_k"];
    const std::int64_t width = p["kv_lora"] + p["rope"];
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("q", entry.number, std::vector{batch, p["heads"], width}));
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
    entry.add_outputs(operands, batch, p["heads"]);
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    const std::int64_t named = p["batch"] * p["top_k"];
    const std::int32_t* ids = operands.in[2].as<std::int32_t>();
    const auto entries =
        static_cast<double>(std::count_if(ids, ids + named, [](std::int32_t id) { return id >= 0; }));
    return LatentEntry(p).work(static_cast<double>(p["batch"] * p["heads"]),
                               entries * static_cast<double>(p["heads"]), entries,
                               static_cast<double>(named));
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    const LatentEntry entry(p);
    const std::int32_t* ids = in[2].as<std::int32_t>();
    const std::int64_t top_k = p["top_k"];
    const ChosenAttention attention{
        .batch = p["batch"],
        .heads = p["heads"],
        .width = p["kv_lora"] + p["rope"],
        .v_width = p["kv_lora"],
        .most = top_k,
        .scale = 1 / std::sqrt(kQkDim),
        .entries =
            [&](std::int64_t request) {
              std::vector<std::int64_t> seen;
              std::copy_if(ids + request * top_k, ids + (request + 1) * top_k, std::back_inserter(seen),
                           [](std::int32_t id) { return id >= 0; });
              return seen;
            },
        .decode = [&](std::int64_t row, double* to) { entry.decode(in[1], row, to); }};
    return check_chosen(attention, p, in[0], out, budget_flops);
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
