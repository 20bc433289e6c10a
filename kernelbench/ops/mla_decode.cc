#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "kernelbench/ops/attention.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/latent_entry.h"
#include "kernelbench/ops/lengths.h"
#include "kernelbench/ops/ops.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t kQkDim = 192;          // 128 + 64: what the scores are scaled by
constexpr double kGarbageBlock = 2147480000;  // in the tails of adversarial block tables

class MlaDecode : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    DSBENCH_CHECK(LatentEntry::validate(p));
    return check_lengths(p, p["batch"], std::int64_t{1} << 31);
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const Layout layout(p);
    const LatentEntry entry(p);
    return static_cast<double>(p["batch"] * p["queries"] * p["heads"]) * entry.row_bytes() +
           static_cast<double>(layout.blocks * p["block"]) * entry.bytes +
           4.0 * static_cast<double>(p["batch"] * (layout.max_blocks + 1));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Layout layout(p);
    const LatentEntry entry(p);
    const std::int64_t rows = p["batch"] * p["queries"];
    const std::int64_t block = p["block"];
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("q", entry.number, std::vector{rows, p["heads"], layout.width}));
    HostTensor cache("cache", entry.cache, {layout.blocks, block, entry.elements});
    entry.fill(p, cache);
    HostTensor table("block_table", Dtype::i32, {p["batch"], layout.max_blocks});
    HostTensor lengths("lengths", Dtype::i32, {p["batch"]});

    std::vector<std::int64_t> free(static_cast<std::size_t>(layout.blocks));
    std::iota(free.begin(), free.end(), 0);
    Rng rng(p.seed, "kernelbench.blocks");
    for (std::size_t i = free.size(); i > 1; --i) std::swap(free[i - 1], free[rng.below(i)]);
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      const std::int64_t length = layout.lengths[static_cast<std::size_t>(b)];
      lengths.set(b, static_cast<double>(length));
      for (std::int64_t i = 0; i < layout.max_blocks; ++i) {
        double id = p.adversarial ? kGarbageBlock : -1;
        if (i * block < length) {
          const std::int64_t mine = free.back();
          free.pop_back();
          id = static_cast<double>(mine);
          if (p.adversarial) {
            const std::int64_t used = std::min(block, length - i * block);
            cache.poison_range((mine * block + used) * entry.elements, (mine + 1) * block * entry.elements);
          }
        }
        table.set(b * layout.max_blocks + i, id);
      }
    }
    if (p.adversarial) {
      for (const std::int64_t unused : free) {
        cache.poison_range(unused * block * entry.elements, (unused + 1) * block * entry.elements);
      }
    }
    operands.in.push_back(std::move(cache));
    operands.in.push_back(std::move(table));
    operands.in.push_back(std::move(lengths));
    entry.add_outputs(operands, rows, p["heads"]);
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    double entries = 0;  // of the cache, each once
    double blocks = 0;
    double scores = 0;
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      const auto length = static_cast<std::int64_t>(operands.in[3].get(b));
      entries += static_cast<double>(length);
      blocks += static_cast<double>((length + p["block"] - 1) / p["block"]);
      for (std::int64_t i = 0; i < p["queries"]; ++i) scores += static_cast<double>(visible(p, length, i));
    }
    const auto heads = static_cast<double>(p["heads"]);
    return LatentEntry(p).work(static_cast<double>(p["batch"] * p["queries"]) * heads, heads * scores,
                               entries, blocks + static_cast<double>(p["batch"]));
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    if (std::string bad = find_not_finite(out[1], 0, out[1].elements(), true); !bad.empty())
      complain(result, bad);
    const std::int64_t heads = p["heads"];
    const std::int64_t queries = p["queries"];
    const std::int64_t rows = p["batch"] * queries * heads;
    const std::int64_t width = p["kv_lora"] + p["rope"];

    // First and last head of the first and last query of each request.
    std::vector<std::int64_t> boundaries;
    double scores = 0;
    std::int64_t longest = 0;
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      const auto length = static_cast<std::int64_t>(in[3].get(b));
      longest = std::max(longest, length);
      scores += static_cast<double>(length);
      for (const std::int64_t q : {b * queries, b * queries + queries - 1}) {
        boundaries.push_back(q * heads);
        boundaries.push_back(q * heads + heads - 1);
      }
    }
    const double row_flops =
        2 * scores / static_cast<double>(p["batch"]) * static_cast<double>(width + p["kv_lora"]);
    const std::vector<std::int64_t> chosen =
        rows_to_check(rows, affordable_rows(rows, row_flops, budget_flops), boundaries, p.seed);

    // Rows of one request, some at a time, share what is decoded.
    std::vector<std::span<const std::int64_t>> jobs;
    for (std::size_t i = 0; i < chosen.size();) {
      std::size_t end = i + 1;
      while (end < chosen.size() && end - i < 16 &&
             chosen[end] / (queries * heads) == chosen[i] / (queries * heads)) {
        ++end;
      }
      jobs.push_back(std::span(chosen).subspan(i, end - i));
      i = end;
    }
    std::vector<std::int64_t> numbers(jobs.size());
    std::iota(numbers.begin(), numbers.end(), 0);
    Comparison totals[] = {Comparison("o", attention_gates(out[0].type(), longest, width)),
                           Comparison("lse", lse_gates(out[0].type()))};
    compare_rows_of(numbers, totals, [&](std::int64_t job, std::span<Comparison> mine) {
      check_request(p, in, out, jobs[static_cast<std::size_t>(job)], mine);
    });
    result.rows = rows;
    result.rows_checked = std::ssize(chosen);
    for (const Comparison& total : totals) total.conclude(result);
    return result;
  }

 private:
  struct Layout {
    explicit Layout(const Problem& p)
        : lengths{make_lengths(p, {.rows = p["batch"],
                                   .constant = p["context"],
                                   .mean = static_cast<double>(p["context"]),
                                   .deviation = static_cast<double>(p["context"]) / 2,
                                   .least = std::min(p["queries"], p["context"]),
                                   .most = 2 * p["context"]})},
          width{p["kv_lora"] + p["rope"]} {
      for (const std::int64_t length : lengths) {
        const std::int64_t mine = (length + p["block"] - 1) / p["block"];
        blocks += mine;
        max_blocks = std::max(max_blocks, mine);
      }
      if (p.adversarial) ++max_blocks;
    }
    std::vector<std::int64_t> lengths;
    std::int64_t width = 0;
    std::int64_t blocks = 1;  // one that nobody uses
    std::int64_t max_blocks = 1;
  };

  static std::int64_t visible(const Problem& p, std::int64_t length, std::int64_t query) {
    return std::max<std::int64_t>(0, length - p["queries"] + 1 + query);
  }

  // Rows of one request.
  static void check_request(const Problem& p, std::span<const HostTensor> in, std::span<const HostTensor> out,
                            std::span<const std::int64_t> rows, std::span<Comparison> mine) {
    const std::int64_t heads = p["heads"];
    const std::int64_t queries = p["queries"];
    const std::int64_t block = p["block"];
    const std::int64_t kv_lora = p["kv_lora"];
    const std::int64_t width = kv_lora + p["rope"];
    const LatentEntry entry(p);
    const std::int64_t request = rows.front() / (queries * heads);
    const auto length = static_cast<std::int64_t>(in[3].get(request));
    const std::int32_t* table = in[2].as<std::int32_t>() + request * in[2].dim(1);
    std::vector<AttentionRow> wanted(rows.size());
    for (std::size_t r = 0; r < rows.size(); ++r) {
      wanted[r].visible = visible(p, length, rows[r] / heads % queries);
      wanted[r].q.resize(static_cast<std::size_t>(width));
      decode_range(in[0], rows[r] * width, width, wanted[r].q.data());
    }
    const AttentionKeys keys{.width = width,
                             .v_width = kv_lora,
                             .scale = 1 / std::sqrt(static_cast<double>(kQkDim)),
                             .keys = [&](std::int64_t begin, std::int64_t end, double* to) {
                               for (std::int64_t t = begin; t < end; ++t) {
                                 const std::int64_t slot = table[t / block] * block + t % block;
                                 entry.decode(in[1], slot, to + (t - begin) * width);
                               }
                             }};
    attend(keys, wanted);
    std::vector<double> got(static_cast<std::size_t>(kv_lora));
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::int64_t row = rows[r];
      const auto name = [&] {
        return fmt::format("request {} query {} head {}", request, row / heads % queries, row % heads);
      };
      decode_range(out[0], row * kv_lora, kv_lora, got.data());
      mine[0].row(wanted[r].o, got, name);
      const double lse = out[1].get(row);
      mine[1].row(std::span(&wanted[r].lse, 1), std::span(&lse, 1), name);
    }
  }
};

}  // namespace

const Op& mla_decode_op() {
  static const MlaDecode op(
      {.name = "mla_decode",
       .help = "absorbed latent attention of the newest tokens over a paged cache",
       .params = {needed("batch", "requests"), needed("context", "cache entries of a request"),
                  needed("heads", "query heads"), needed("queries", "new tokens of a request"),
                  preset("block", 64, "cache entries of a block"),
                  preset("kv_lora", 512, "latent numbers of an entry"),
                  preset("rope", 64, "rotary numbers of an entry")},
       .words = {lengths_word()},
       .dtypes = {"bf16", "f32", "fp8"}});
  return op;
}

}  // namespace dsbench::kernelbench
