#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

// Manifold-constrained hyper-connections (mHC, arXiv 2512.24880) as DeepSeek-V4 runs them: the residual
// stream is four streams; before a layer they are mixed into its input, behind it its output is dealt to them
// and they are mixed among each other by a matrix whose rows and columns sum to one.
namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t kStreams = 4;
constexpr std::int64_t kMixes = kStreams * (2 + kStreams);  // pre, post, comb
constexpr double kEps = 1e-6;
constexpr int kSinkhornRounds = 20;

double sigmoid(double v) {
  return 1 / (1 + std::exp(-v));
}

// Rows, then columns, in turns; the first round has a softmax for its rows.
void balance(std::array<double, kStreams * kStreams>& comb) {
  const auto at = [&](std::int64_t row, std::int64_t column) -> double& {
    return comb[static_cast<std::size_t>(row * kStreams + column)];
  };
  for (std::int64_t r = 0; r < kStreams; ++r) {
    double top = at(r, 0);
    for (std::int64_t c = 1; c < kStreams; ++c) top = std::max(top, at(r, c));
    double sum = 0;
    for (std::int64_t c = 0; c < kStreams; ++c) sum += at(r, c) = std::exp(at(r, c) - top);
    for (std::int64_t c = 0; c < kStreams; ++c) at(r, c) = at(r, c) / sum + kEps;
  }
  for (int round = 0; round < kSinkhornRounds; ++round) {
    for (std::int64_t r = 0; round > 0 && r < kStreams; ++r) {
      double sum = kEps;
      for (std::int64_t c = 0; c < kStreams; ++c) sum += at(r, c);
      for (std::int64_t c = 0; c < kStreams; ++c) at(r, c) /= sum;
    }
    for (std::int64_t c = 0; c < kStreams; ++c) {
      double sum = kEps;
      for (std::int64_t r = 0; r < kStreams; ++r) sum += at(r, c);
      for (std::int64_t r = 0; r < kStreams; ++r) at(r, c) /= sum;
    }
  }
}

std::vector<ParamSpec> params() {
  return {needed("tokens", "rows"), needed("hidden", "width of a stream")};
}

Gates output_gates(Dtype type) {
  // A sum of five products, whose terms may cancel: the absolute part is of the terms, which are about 1.
  if (type == Dtype::bf16)
    return {.global_diff = 5e-6, .row_diff = 5e-5, .abs = 5e-6, .rel = 0x1p-7, .rms = 0};
  return {.global_diff = 1e-11, .row_diff = 1e-10, .abs = 5e-6, .rel = 1e-5, .rms = 0};
}

// What comes of a sum of 4·hidden products in f32.
Gates mix_gates() {
  return {.global_diff = 1e-8, .row_diff = 1e-7, .abs = 2e-5, .rel = 1e-4, .rms = 0};
}

std::vector<std::int64_t> checked_rows(const Problem& p, double flops_a_row, double budget) {
  std::vector<std::int64_t> boundaries;
  add_tile_boundaries(0, p["tokens"], boundaries);
  return rows_to_check(p["tokens"], affordable_rows(p["tokens"], flops_a_row, budget), boundaries, p.seed);
}

class MhcPre : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    const auto hidden = static_cast<double>(p["hidden"]);
    return static_cast<double>(p["tokens"]) *
               ((kStreams + 1) * hidden * size + 4 * (kStreams + kStreams * kStreams)) +
           4.0 * kMixes * (kStreams * hidden + 1) + 12;
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    const std::int64_t tokens = p["tokens"];
    const std::int64_t hidden = p["hidden"];
    Operands o;
    fill_uniform(p, o.in.emplace_back("x", type, std::vector{tokens, kStreams, hidden}));
    // Mixes of about 1.
    const double bound = std::sqrt(3.0 / static_cast<double>(kStreams * hidden));
    fill_uniform(p, o.in.emplace_back("fn", Dtype::f32, std::vector{kMixes, kStreams * hidden}), -bound,
                 bound);
    fill_uniform(p, o.in.emplace_back("scale", Dtype::f32, std::vector<std::int64_t>{3}), 0.5, 1.5);
    fill_uniform(p, o.in.emplace_back("base", Dtype::f32, std::vector{kMixes}));
    o.out.emplace_back("y", type, std::vector{tokens, hidden}).poison_all();
    o.out.emplace_back("post", Dtype::f32, std::vector{tokens, kStreams}).poison_all();
    o.out.emplace_back("comb", Dtype::f32, std::vector{tokens, kStreams, kStreams}).poison_all();
    return o;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const double elements = static_cast<double>(p["tokens"]) * kStreams * static_cast<double>(p["hidden"]);
    // Numbers of f32 are multiplied in f32, at 10 FLOP a byte: on a CPU that is more than its memory is
    // worth. Of bf16 products may be anything that is good enough.
    return {.flops = (2.0 * kMixes + 4) * elements,
            .bytes = operand_bytes(p),
            .unit = p.dtype == "f32" ? "f32" : ""};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    for (const HostTensor& tensor : out) {
      if (std::string bad = find_not_finite(tensor); !bad.empty()) complain(result, bad);
    }
    const std::int64_t hidden = p["hidden"];
    const std::int64_t wide = kStreams * hidden;
    std::vector<double> fn(static_cast<std::size_t>(kMixes * wide));
    decode_range(in[1], 0, kMixes * wide, fn.data());
    Comparison totals[] = {Comparison("y", output_gates(out[0].type())), Comparison("post", mix_gates()),
                           Comparison("comb", mix_gates())};
    const std::vector<std::int64_t> rows =
        checked_rows(p, 2.0 * kMixes * static_cast<double>(wide), budget_flops);
    compare_rows_of(rows, totals, [&](std::int64_t row, std::span<Comparison> mine) {
      const auto name = [row] { return fmt::format("row {}", row); };
      std::vector<double> x(static_cast<std::size_t>(wide));
      decode_range(in[0], row * wide, wide, x.data());
      double squares = 0;
      for (const double v : x) squares += v * v;
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(wide) + kEps);
      std::array<double, kMixes> mix{};
      for (std::int64_t i = 0; i < kMixes; ++i) {
        double sum = 0;
        for (std::int64_t k = 0; k < wide; ++k)
          sum += x[static_cast<std::size_t>(k)] * fn[static_cast<std::size_t>(i * wide + k)];
        const std::int64_t part = std::min<std::int64_t>(i / kStreams, 2);
        mix[static_cast<std::size_t>(i)] = sum * inverse * in[2].get(part) + in[3].get(i);
      }
      std::vector<double> want(static_cast<std::size_t>(hidden), 0);
      std::vector<double> got(static_cast<std::size_t>(hidden));
      std::array<double, kStreams> post{};
      std::array<double, kStreams> got_post{};
      for (std::int64_t s = 0; s < kStreams; ++s) {
        const double pre = sigmoid(mix[static_cast<std::size_t>(s)]) + kEps;
        post[static_cast<std::size_t>(s)] = 2 * sigmoid(mix[static_cast<std::size_t>(kStreams + s)]);
        for (std::int64_t i = 0; i < hidden; ++i)
          want[static_cast<std::size_t>(i)] += pre * x[static_cast<std::size_t>(s * hidden + i)];
      }
      decode_range(out[0], row * hidden, hidden, got.data());
      mine[0].row(want, got, name);
      decode_range(out[1], row * kStreams, kStreams, got_post.data());
      mine[1].row(post, got_post, name);
      std::array<double, kStreams * kStreams> comb{};
      std::array<double, kStreams * kStreams> got_comb{};
      std::copy(mix.begin() + 2 * kStreams, mix.end(), comb.begin());
      balance(comb);
      decode_range(out[2], row * kStreams * kStreams, kStreams * kStreams, got_comb.data());
      mine[2].row(comb, got_comb, name);
    });
    result.rows = p["tokens"];
    result.rows_checked = std::ssize(rows);
    for (const Comparison& total : totals) total.conclude(result);
    return result;
  }
};

class MhcPost : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    return static_cast<double>(p["tokens"]) * ((2 * kStreams + 1) * static_cast<double>(p["hidden"]) * size +
                                               4 * (kStreams + kStreams * kStreams));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    const std::int64_t tokens = p["tokens"];
    const std::int64_t hidden = p["hidden"];
    Operands o;
    fill_uniform(p, o.in.emplace_back("x", type, std::vector{tokens, kStreams, hidden}));
    fill_uniform(p, o.in.emplace_back("y", type, std::vector{tokens, hidden}));
    fill_uniform(p, o.in.emplace_back("post", Dtype::f32, std::vector{tokens, kStreams}), 0, 2);
    fill_uniform(p, o.in.emplace_back("comb", Dtype::f32, std::vector{tokens, kStreams, kStreams}), 0, 0.5);
    o.out.emplace_back("out", type, std::vector{tokens, kStreams, hidden}).poison_all();
    return o;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const double elements = static_cast<double>(p["tokens"]) * kStreams * static_cast<double>(p["hidden"]);
    return {.flops = 2.0 * (kStreams + 1) * elements, .bytes = operand_bytes(p), .unit = ""};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t hidden = p["hidden"];
    const std::int64_t wide = kStreams * hidden;
    Comparison totals[] = {Comparison("out", output_gates(out[0].type()))};
    const std::vector<std::int64_t> rows = checked_rows(p, 10.0 * static_cast<double>(wide), budget_flops);
    compare_rows_of(rows, totals, [&](std::int64_t row, std::span<Comparison> mine) {
      std::vector<double> x(static_cast<std::size_t>(wide));
      std::vector<double> y(static_cast<std::size_t>(hidden));
      std::vector<double> want(static_cast<std::size_t>(hidden));
      std::vector<double> got(static_cast<std::size_t>(hidden));
      decode_range(in[0], row * wide, wide, x.data());
      decode_range(in[1], row * hidden, hidden, y.data());
      for (std::int64_t n = 0; n < kStreams; ++n) {
        for (std::int64_t i = 0; i < hidden; ++i) {
          double sum = in[2].get(row * kStreams + n) * y[static_cast<std::size_t>(i)];
          for (std::int64_t m = 0; m < kStreams; ++m) {
            sum +=
                in[3].get((row * kStreams + m) * kStreams + n) * x[static_cast<std::size_t>(m * hidden + i)];
          }
          want[static_cast<std::size_t>(i)] = sum;
        }
        decode_range(out[0], row * wide + n * hidden, hidden, got.data());
        mine[0].row(want, got, [row, n] { return fmt::format("row {} stream {}", row, n); });
      }
    });
    result.rows = p["tokens"];
    result.rows_checked = std::ssize(rows);
    totals[0].conclude(result);
    return result;
  }
};

}  // namespace

const Op& mhc_pre_op() {
  static const MhcPre op({.name = "mhc_pre",
                          .help = "mHC before a layer: 24 mixes of four streams; y = Σ pre·x, post and the "
                                  "balanced comb",
                          .params = params(),
                          .dtypes = {"bf16", "f32"}});
  return op;
}

const Op& mhc_post_op() {
  static const MhcPost op({.name = "mhc_post",
                           .help = "mHC behind a layer: out[n] = post[n]·y + Σ_m comb[m, n]·x[m]",
                           .params = params(),
                           .dtypes = {"bf16", "f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
