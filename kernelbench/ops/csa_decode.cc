#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "kernelbench/ops/chosen_attention.h"
#include "kernelbench/ops/csa_cache.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/lengths.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

// DeepSeek-V4's attention (arXiv 2606.19348), decode shaped: one query a request sees the last positions one
// by one and what lies before compressed, `ratio` positions to an entry: the entries that an indexer chose
// (CSA, ratio 4), or all of them (HCA, ratio 128).
namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t kWidth = CsaPages::kWidth;
constexpr std::int64_t kRope = CsaPages::kRope;
constexpr double kGarbageId = 2147480000;  // behind what a request has

// Compressed entries that a request may name.
std::int64_t listed(const Problem& p) {
  return std::max<std::int64_t>(1, p["top_k"] > 0 ? p["top_k"] : p["context"] / p["ratio"]);
}

// What there is of a request of `length` positions.
std::int64_t recent(const Problem& p, std::int64_t length) {
  return std::min(length, p["window"]);
}
std::int64_t named(const Problem& p, std::int64_t length) {
  return std::min(listed(p), length / p["ratio"]);
}

class CsaDecode : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    return check_lengths(p, p["batch"], p["context"]);
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const CsaPages window(p, p["window"]);
    const CsaPages pages(p, p["page"]);
    const auto size = static_cast<double>(size_of(pages.number));
    const auto batch = static_cast<double>(p["batch"]);
    const auto heads = static_cast<double>(p["heads"]);
    return batch * (heads * (2 * kWidth * size + 4) + static_cast<double>(4 * (listed(p) + 1 + kRope))) +
           4 * heads +
           static_cast<double>(size_of(pages.cache) * p["batch"] *
                               (window.page_elements() + pages_each(p) * pages.page_elements()));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const CsaPages near(p, p["window"]);
    const CsaPages far(p, p["page"]);
    const std::int64_t batch = p["batch"];
    const std::int64_t most = listed(p);
    const std::vector<std::int64_t> lengths = request_lengths(p);
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("q", far.number, std::vector{batch, p["heads"], kWidth}));
    HostTensor window = near.make(p, "window", batch);
    HostTensor compressed = far.make(p, "compressed", batch * pages_each(p));
    HostTensor ids("ids", Dtype::i32, {batch, most});
    HostTensor length_tensor("lengths", Dtype::i32, {batch});

    // The pages of a request lie anywhere.
    std::vector<std::int64_t> free(static_cast<std::size_t>(batch * pages_each(p)));
    std::iota(free.begin(), free.end(), 0);
    Rng rng(p.seed, "kernelbench.ids");
    for (std::size_t i = free.size(); i > 1; --i) std::swap(free[i - 1], free[rng.below(i)]);
    std::vector<bool> used(static_cast<std::size_t>(compressed.dim(0) * p["page"]));
    std::vector<std::int64_t> order;
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = lengths[static_cast<std::size_t>(b)];
      length_tensor.set(b, static_cast<double>(length));
      order.resize(static_cast<std::size_t>(length / p["ratio"]));
      std::iota(order.begin(), order.end(), 0);
      for (std::int64_t i = 0; i < most; ++i) {
        double id = p.adversarial && i >= named(p, length) ? kGarbageId : -1;
        // Adversarial: holes, and the second request has nothing but holes.
        if (i < named(p, length) && !(p.adversarial && (b % 4 == 1 || i % 5 == 3))) {
          const auto at = static_cast<std::size_t>(i);
          if (p["top_k"] > 0) std::swap(order[at], order[at + rng.below(order.size() - at)]);
          const std::int64_t page = free[static_cast<std::size_t>(b * pages_each(p) + order[at] / p["page"])];
          const std::int64_t row = page * p["page"] + order[at] % p["page"];
          used[static_cast<std::size_t>(row)] = true;
          id = static_cast<double>(row);
        }
        ids.set(b * most + i, id);
      }
      for (std::int64_t slot = recent(p, length); slot < p["window"] && p.adversarial; ++slot)
        near.poison_entry(window, b * p["window"] + slot);
    }
    for (std::size_t row = 0; row < used.size() && p.adversarial; ++row) {
      if (!used[row]) far.poison_entry(compressed, static_cast<std::int64_t>(row));
    }
    operands.in.push_back(std::move(window));
    operands.in.push_back(std::move(compressed));
    operands.in.push_back(std::move(ids));
    operands.in.push_back(std::move(length_tensor));
    // About as heavy as all entries together, so that a sink that is left out shows.
    const double even = std::log(static_cast<double>(recent(p, p["context"]) + named(p, p["context"])));
    fill_uniform(p, operands.in.emplace_back("sink", Dtype::f32, std::vector{p["heads"]}), even - 1.5,
                 even + 1.5);
    operands.in.push_back(turns(p));
    operands.out.emplace_back("o", far.number, std::vector{batch, p["heads"], kWidth}).poison_all();
    operands.out.emplace_back("lse", Dtype::f32, std::vector{batch, p["heads"]}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    const CsaPages pages(p, p["page"]);
    const auto size = static_cast<double>(size_of(pages.number));
    const auto heads = static_cast<double>(p["heads"]);
    const std::int32_t* ids = operands.in[3].as<std::int32_t>();
    double entries = 0;
    double read_ids = 0;
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      const auto length = static_cast<std::int64_t>(operands.in[4].get(b));
      const std::int32_t* const mine = ids + b * listed(p);
      const std::int64_t count = named(p, length);
      entries += static_cast<double>(recent(p, length) +
                                     std::count_if(mine, mine + count, [](auto id) { return id >= 0; }));
      read_ids += static_cast<double>(count);
    }
    const double turn_bytes = p.word("turn_back") == "yes" ? 4.0 * kRope : 0;
    return {.flops = 4 * entries * heads * kWidth,
            .bytes = entries * pages.entry_bytes + 4 * (read_ids + heads) +
                     static_cast<double>(p["batch"]) * (heads * (2 * kWidth * size + 4) + 4 + turn_bytes),
            .unit = product_types(pages.fp8 ? "bf16" : p.dtype).unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    const CsaPages near(p, p["window"]);
    const CsaPages far(p, p["page"]);
    const std::int64_t near_rows =
        p["batch"] * p["window"];  // numbers of entries: of the window, then others
    const ChosenAttention attention{
        .batch = p["batch"],
        .heads = p["heads"],
        .width = kWidth,
        .v_width = kWidth,
        .most = p["window"] + listed(p),
        .scale = 1 / std::sqrt(static_cast<double>(kWidth)),
        .entries =
            [&](std::int64_t request) {
              const auto length = static_cast<std::int64_t>(in[4].get(request));
              std::vector<std::int64_t> seen(static_cast<std::size_t>(recent(p, length)));
              std::iota(seen.begin(), seen.end(), request * p["window"]);
              const std::int32_t* const mine = in[3].as<std::int32_t>() + request * listed(p);
              for (std::int64_t i = 0; i < named(p, length); ++i) {
                if (mine[i] >= 0) seen.push_back(near_rows + mine[i]);
              }
              return seen;
            },
        .decode =
            [&](std::int64_t entry, double* to) {
              if (entry < near_rows) {
                near.decode(in[1], entry, to);
              } else {
                far.decode(in[2], entry - near_rows, to);
              }
            },
        .finish =
            [&](std::int64_t request, std::int64_t head, AttentionRow& row) {
              const double share = 1 / (1 + std::exp(in[5].get(head) - row.lse));
              for (double& v : row.o) v *= share;
              double* const rotary = row.o.data() + kWidth - kRope;
              for (std::int64_t i = 0; i < kRope / 2; ++i) {
                const double cosine = in[6].get(request * kRope + i);
                const double sine = in[6].get(request * kRope + kRope / 2 + i);
                const double x = rotary[2 * i];
                const double y = rotary[2 * i + 1];
                rotary[2 * i] = x * cosine + y * sine;
                rotary[2 * i + 1] = y * cosine - x * sine;
              }
            }};
    return check_chosen(attention, p, in[0], out, budget_flops);
  }

 private:
  static std::vector<std::int64_t> request_lengths(const Problem& p) {
    return make_lengths(p, {.rows = p["batch"],
                            .constant = p["context"],
                            .mean = static_cast<double>(p["context"]) / 2,
                            .deviation = static_cast<double>(p["context"]) / 4,
                            .least = 1,
                            .most = p["context"]});
  }
  // Pages of compressed entries of a request.
  static std::int64_t pages_each(const Problem& p) {
    return std::max<std::int64_t>(1, (p["context"] / p["ratio"] + p["page"] - 1) / p["page"]);
  }
  // Cosines and sines of the angles of each request's position; nothing is turned: 1 and 0.
  static HostTensor turns(const Problem& p) {
    HostTensor tensor("cos_sin", Dtype::f32, {p["batch"], kRope});
    HostTensor angles("angles", Dtype::f32, {p["batch"], kRope / 2});
    if (p.word("turn_back") == "yes") fill_uniform(p, angles, -3.14, 3.14);
    for (std::int64_t i = 0; i < angles.elements(); ++i) {
      const std::int64_t at = i / (kRope / 2) * kRope + i % (kRope / 2);
      tensor.set(at, std::cos(angles.get(i)));
      tensor.set(at + kRope / 2, std::sin(angles.get(i)));
    }
    return tensor;
  }
};

}  // namespace

const Op& csa_decode_op() {
  static const CsaDecode op(
      {.name = "csa_decode",
       .help = "V4's attention of one query to a window and to compressed entries, with a sink a head",
       .params = {needed("batch", "requests"), needed("context", "positions of a request"),
                  needed("heads", "query heads"),
                  needed("top_k", "compressed entries that are attended to; 0: all (HCA)", 0),
                  preset("ratio", 4, "positions of a compressed entry"),
                  preset("window", 128, "last positions, which are all seen"),
                  preset("page", 64, "compressed entries of a page")},
       .words = {lengths_word(),
                 {.name = "turn_back",
                  .accepted = {"no", "yes"},
                  .help = "whether the rotary numbers of o are turned back by the query's position"}},
       .dtypes = {"bf16", "f32", "fp8"}});
  return op;
}

}  // namespace dsbench::kernelbench
