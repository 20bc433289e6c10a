#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernelbench/ops/dots.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/lengths.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

// What goes before sparse attention (DeepSeek's DSA): the indexer's logits, and the best of them.
namespace dsbench::kernelbench {
namespace {

// Contexts of at most `context`; the normal law has half of it as its mean.
std::vector<std::int64_t> dsa_lengths(const Problem& p, std::int64_t rows) {
  const std::int64_t context = p["context"];
  return make_lengths(p, {.rows = rows,
                          .constant = context,
                          .mean = static_cast<double>(context) / 2,
                          .deviation = static_cast<double>(context) / 4,
                          .least = 1,
                          .most = context});
}

HostTensor lengths_tensor(const std::vector<std::int64_t>& lengths) {
  HostTensor tensor("lengths", Dtype::i32, {std::ssize(lengths)});
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    tensor.set(static_cast<std::int64_t>(i), static_cast<double>(lengths[i]));
  }
  return tensor;
}

double sum_of(const HostTensor& lengths) {
  double sum = 0;
  for (std::int64_t i = 0; i < lengths.elements(); ++i) sum += lengths.get(i);
  return sum;
}

class DsaIndexer : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    if (p.dtype == "fp8" && p["dim"] != kGroup) {
      return fail(ErrorKind::usage,
                  "dsa_indexer: dim is {}; with fp8, which has one scale a row, it must be {}", p["dim"],
                  kGroup);
    }
    return check_lengths(p, p["batch"], p["context"]);
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    const auto batch = static_cast<double>(p["batch"]);
    const auto dim = static_cast<double>(p["dim"]);
    return batch * (static_cast<double>(p["heads"]) * (dim * size + 4) +
                    static_cast<double>(p["context"]) * (dim * size + 8) + 4);
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const bool fp8 = p.dtype == "fp8";
    const Dtype type = fp8 ? Dtype::e4m3 : Dtype::f32;
    const std::int64_t context = p["context"];
    const std::int64_t dim = p["dim"];
    Operands operands;
    HostTensor q("q", type, {p["batch"], p["heads"], dim});
    HostTensor weights("weights", Dtype::f32, {p["batch"], p["heads"]});
    HostTensor k("k", type, {p["batch"], context, dim});
    HostTensor k_scale("k_scale", Dtype::f32, {p["batch"], context});
    fill_uniform(p, weights);
    if (fp8) {
      HostTensor q_scale("q_scale", Dtype::f32, {p["batch"], p["heads"]});
      fill_e4m3(p, q, q_scale, dim, 1);
      fill_e4m3(p, k, k_scale, dim, 1);
      for (std::int64_t i = 0; i < weights.elements(); ++i) weights.as<float>()[i] *= q_scale.as<float>()[i];
    } else {
      fill_uniform(p, q);
      fill_uniform(p, k);
      fill_uniform(p, k_scale, 0.5, 1.5);
    }
    const std::vector<std::int64_t> lengths = dsa_lengths(p, p["batch"]);
    for (std::int64_t b = 0; b < p["batch"] && p.adversarial; ++b) {
      const std::int64_t first = b * context + lengths[static_cast<std::size_t>(b)];
      k.poison_range(first * dim, (b + 1) * context * dim);
      k_scale.poison_range(first, (b + 1) * context);
    }
    operands.in.push_back(std::move(q));
    operands.in.push_back(std::move(weights));
    operands.in.push_back(std::move(k));
    operands.in.push_back(std::move(k_scale));
    operands.in.push_back(lengths_tensor(lengths));
    operands.out.emplace_back("logits", Dtype::f32, std::vector{p["batch"], context}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    const ProductTypes types = product_types(p.dtype);
    const auto size = static_cast<double>(size_of(types.act));
    const auto dim = static_cast<double>(p["dim"]);
    const double entries = sum_of(operands.in[4]);
    const auto query = static_cast<double>(p["batch"] * p["heads"]);
    return {.flops = 2 * entries * static_cast<double>(p["heads"]) * dim,
            .bytes = query * (dim * size + 4) + entries * (dim * size + 4) + 4 * entries +
                     4 * static_cast<double>(p["batch"]),
            .unit = types.unit};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    const std::int64_t context = p["context"];
    const std::int64_t heads = p["heads"];
    const std::int64_t dim = p["dim"];
    // A row is a block of 64 positions of one request; any sample has the first and last of each request.
    std::vector<Block> blocks;
    std::vector<std::int64_t> boundaries;
    for (std::int64_t b = 0; b < p["batch"]; ++b) {
      const auto length = static_cast<std::int64_t>(in[4].get(b));
      if (std::string bad = find_not_finite(out[0], b * context, b * context + length); !bad.empty()) {
        complain(result, bad);
      }
      if (length > 0) boundaries.push_back(std::ssize(blocks));
      for (std::int64_t begin = 0; begin < length; begin += kBlock) {
        blocks.push_back({b, begin, std::min(length, begin + kBlock)});
      }
      if (length > 0) boundaries.push_back(std::ssize(blocks) - 1);
    }
    const double row_flops = 2.0 * static_cast<double>(kBlock * heads * dim);
    const std::int64_t rows = std::ssize(blocks);
    const std::vector<std::int64_t> chosen =
        rows_to_check(rows, affordable_rows(rows, row_flops, budget_flops), boundaries, p.seed);
    // FP8 tensor cores keep some 14 bits (see sum_unit()): as the products of this type.
    Gates gates = f32_sum_gates(static_cast<double>(dim + heads));
    if (p.dtype == "fp8") gates = {.global_diff = 5e-6, .row_diff = 3e-5, .abs = 0, .rel = 0, .rms = 2e-2};
    Comparison totals[] = {Comparison("logits", gates)};
    compare_rows_of(chosen, totals, [&](std::int64_t row, std::span<Comparison> mine) {
      const Block& block = blocks[static_cast<std::size_t>(row)];
      const std::int64_t count = block.end - block.begin;
      std::vector<double> q(static_cast<std::size_t>(heads * dim));
      std::vector<double> weights(static_cast<std::size_t>(heads));
      std::vector<double> k(static_cast<std::size_t>(kBlock * dim));
      decode_range(in[0], block.request * heads * dim, heads * dim, q.data());
      decode_range(in[1], block.request * heads, heads, weights.data());
      const std::int64_t first = block.request * context + block.begin;
      decode_range(in[2], first * dim, count * dim, k.data());
      std::vector<double> want(static_cast<std::size_t>(kBlock));
      double squares = 0;  // of what is summed, so that sums which cancel are not asked for more
      for (std::int64_t h = 0; h < heads; ++h) {
        std::vector<double> dots(static_cast<std::size_t>(kBlock));
        for (std::int64_t s = 0; s < count; s += kDots) {
          add_dots(q.data() + h * dim, k.data() + s * dim, dim, dim, dots.data() + s);
        }
        for (std::size_t s = 0; s < dots.size(); ++s) {
          const double part = weights[static_cast<std::size_t>(h)] * std::max(0.0, dots[s]);
          want[s] += part;
          squares += part * part;
        }
      }
      want.resize(static_cast<std::size_t>(count));
      std::vector<double> got(want.size());
      decode_range(out[0], first, count, got.data());
      for (std::int64_t s = 0; s < count; ++s) want[static_cast<std::size_t>(s)] *= in[3].get(first + s);
      const double scale = in[3].get(first);
      mine[0].row(
          want, got,
          [&] {
            return fmt::format("request {} positions {} to {}", block.request, block.begin, block.end - 1);
          },
          scale * std::sqrt(squares / static_cast<double>(count)));
    });
    result.rows = rows;
    result.rows_checked = std::ssize(chosen);
    totals[0].conclude(result);
    return result;
  }

 private:
  static constexpr std::int64_t kBlock = 64;
  struct Block {
    std::int64_t request = 0;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
};

class DsaTopk : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    return check_lengths(p, p["rows"], p["context"]);
  }
  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    return 4.0 * static_cast<double>(p["rows"]) * static_cast<double>(p["context"] + p["top_k"] + 1);
  }
  [[nodiscard]] Operands make(const Problem& p) const override {
    const std::int64_t context = p["context"];
    Operands operands;
    HostTensor& logits = operands.in.emplace_back("logits", Dtype::f32, std::vector{p["rows"], context});
    fill_uniform(p, logits, -8, 8);
    const std::vector<std::int64_t> lengths = dsa_lengths(p, p["rows"]);
    float* value = logits.as<float>();
    for (std::int64_t row = 0; row < p["rows"]; ++row) {
      const std::int64_t length = lengths[static_cast<std::size_t>(row)];
      // Few different values: many ties.
      for (std::int64_t i = 0; i < length && p.adversarial; ++i) {
        value[row * context + i] = std::nearbyint(value[row * context + i]);
      }
      std::fill(value + row * context + length, value + (row + 1) * context,
                -std::numeric_limits<float>::infinity());
    }
    operands.in.push_back(lengths_tensor(lengths));
    operands.out.emplace_back("ids", Dtype::i32, std::vector{p["rows"], p["top_k"]}).poison_all();
    return operands;
  }
  [[nodiscard]] Work work(const Problem& p, const Operands& operands) const override {
    return {.flops = 0,
            .bytes = 4 * sum_of(operands.in[1]) + 4.0 * static_cast<double>(p["rows"] * (p["top_k"] + 1)),
            .unit = ""};
  }
  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    const std::int64_t rows = p["rows"];
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, rows, boundaries);
    const double row_flops = 40.0 * static_cast<double>(p["context"]);
    const std::vector<std::int64_t> chosen =
        rows_to_check(rows, affordable_rows(rows, row_flops, budget_flops), boundaries, p.seed);
    std::vector<std::string> complaints(static_cast<std::size_t>(rows));
    Comparison totals[] = {Comparison("ids", Gates{})};  // unused: a choice is right or wrong
    compare_rows_of(chosen, totals, [&](std::int64_t row, std::span<Comparison>) {
      complaints[static_cast<std::size_t>(row)] = check_row(p, in, out[0], row);
    });
    for (const std::string& complaint : complaints) {
      if (!complaint.empty()) complain(result, complaint);
    }
    result.rows = rows;
    result.rows_checked = std::ssize(chosen);
    return result;
  }

 private:
  static std::string check_row(const Problem& p, std::span<const HostTensor> in, const HostTensor& out,
                               std::int64_t row) {
    const float* logits = in[0].as<float>() + row * p["context"];
    const std::int32_t* ids = out.as<std::int32_t>() + row * p["top_k"];
    const auto length = static_cast<std::int64_t>(in[1].get(row));
    std::vector<bool> taken(static_cast<std::size_t>(length));
    std::vector<float> got;
    for (std::int64_t i = 0; i < p["top_k"]; ++i) {
      if (ids[i] == -1) continue;
      if (ids[i] < 0 || ids[i] >= length) {
        return fmt::format("ids: row {}: element {} is {}; there are {} entries", row, i, ids[i], length);
      }
      if (taken[static_cast<std::size_t>(ids[i])])
        return fmt::format("ids: row {}: entry {} twice", row, ids[i]);
      taken[static_cast<std::size_t>(ids[i])] = true;
      got.push_back(logits[ids[i]]);
    }
    const auto wanted = static_cast<std::size_t>(std::min(length, p["top_k"]));
    if (got.size() != wanted)
      return fmt::format("ids: row {}: {} entries, should be {}", row, got.size(), wanted);
    std::vector<float> want(logits, logits + length);
    std::ranges::partial_sort(want, want.begin() + static_cast<std::ptrdiff_t>(wanted), std::greater<>());
    std::ranges::sort(got, std::greater<>());
    for (std::size_t i = 0; i < wanted; ++i) {
      if (got[i] != want[i]) {
        return fmt::format("ids: row {}: the {}. best chosen has score {}, should be {}", row, i + 1, got[i],
                           want[i]);
      }
    }
    return {};
  }
};

}  // namespace

const Op& dsa_indexer_op() {
  static const DsaIndexer op(
      {.name = "dsa_indexer",
       .help = "k_scale·Σ over heads of weight·relu(q·k) for every cache entry",
       .params = {needed("batch", "requests"), needed("context", "entries of a request"),
                  preset("heads", 64, "of the indexer"), preset("dim", 128, "of a head")},
       .words = {lengths_word()},
       .dtypes = {"fp8", "f32"}});
  return op;
}

const Op& dsa_topk_op() {
  static const DsaTopk op(
      {.name = "dsa_topk",
       .help = "the top_k largest of each row, in any order",
       .params = {needed("rows", "of logits"), needed("context", "their width"), needed("top_k", "how many")},
       .words = {lengths_word()},
       .dtypes = {"f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
