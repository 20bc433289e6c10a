#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"

// DeepSeek-V4's compressor (arXiv 2606.19348) behind its two products, over one sequence from its beginning:
// `ratio` tokens become one entry of the cache, by weights that a softmax over them gives each column. With
// overlap an entry has a second part in the ratio tokens before, which are projected for it apart: the first
// half of a row is for the group behind the token's own, the second for its own.
namespace dsbench::kernelbench {
namespace {

constexpr double kEps = 1e-6;

struct Shape {
  explicit Shape(const Problem& p)
      : tokens{p["tokens"]},
        ratio{p["ratio"]},
        dim{p["dim"]},
        rope{p["rope"]},
        halves{p.word("overlap") == "yes" ? 2 : 1},
        width{halves * dim},
        groups{tokens / ratio} {}
  std::int64_t tokens, ratio, dim, rope;
  std::int64_t halves;
  std::int64_t width;   // of a row of kv and gate
  std::int64_t groups;  // entries
};

class KvCompress : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    if (p["tokens"] < p["ratio"])
      return fail(ErrorKind::usage,
                  "kv_compress: {} tokens at ratio {} are no entry; tokens must be {} or more", p["tokens"],
                  p["ratio"], p["ratio"]);
    if (p["rope"] % 2 != 0 || p["rope"] > p["dim"])
      return fail(ErrorKind::usage, "kv_compress: rope is {}; it must be even and no more than dim, {}",
                  p["rope"], p["dim"]);
    return {};
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const Shape s(p);
    return 4.0 * static_cast<double>(2 * s.tokens * s.width + s.ratio * s.width + s.dim + s.groups * s.rope) +
           static_cast<double>(s.groups * s.dim * size_of(product_types(p.dtype).act));
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Shape s(p);
    Operands o;
    HostTensor kv("kv", Dtype::f32, {s.tokens, s.width});
    HostTensor gate("gate", Dtype::f32, {s.tokens, s.width});
    fill_uniform(p, kv);
    fill_uniform(p, gate, -4, 4);
    // Nobody reads tokens that make no group, nor what the last group has for the one behind it.
    for (HostTensor* const tensor : {&kv, &gate}) {
      if (!p.adversarial) continue;
      tensor->poison_range(s.groups * s.ratio * s.width, s.tokens * s.width);
      for (std::int64_t t = (s.groups - 1) * s.ratio; t < s.groups * s.ratio && s.halves == 2; ++t)
        tensor->poison_range(t * s.width, t * s.width + s.dim);
    }
    o.in.push_back(std::move(kv));
    o.in.push_back(std::move(gate));
    fill_uniform(p, o.in.emplace_back("bias", Dtype::f32, std::vector{s.ratio, s.width}));
    fill_uniform(p, o.in.emplace_back("weight", Dtype::f32, std::vector{s.dim}), 0.5, 1.5);
    HostTensor angles("angles", Dtype::f32, {s.groups, s.rope / 2});
    fill_uniform(p, angles, -3.14, 3.14);
    HostTensor& cos_sin = o.in.emplace_back("cos_sin", Dtype::f32, std::vector{s.groups, s.rope});
    for (std::int64_t i = 0; i < angles.elements(); ++i) {
      const std::int64_t at = i / (s.rope / 2) * s.rope + i % (s.rope / 2);
      cos_sin.set(at, std::cos(angles.get(i)));
      cos_sin.set(at + s.rope / 2, std::sin(angles.get(i)));
    }
    o.out.emplace_back("entries", product_types(p.dtype).act, std::vector{s.groups, s.dim}).poison_all();
    return o;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const Shape s(p);
    const double pooled = static_cast<double>((s.halves * s.groups - (s.halves - 1)) * s.ratio * s.dim);
    return {.flops = 5 * pooled,  // the position's bias, the exponential, its sum, its product and theirs
            .bytes = 8 * pooled + 4.0 * static_cast<double>(s.ratio * s.width + s.dim + s.groups * s.rope) +
                     static_cast<double>(s.groups * s.dim * size_of(product_types(p.dtype).act)),
            .unit = ""};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const Shape s(p);
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, s.groups, boundaries);
    const double row_flops = 40.0 * static_cast<double>(s.ratio * s.width);
    const std::vector<std::int64_t> rows =
        rows_to_check(s.groups, affordable_rows(s.groups, row_flops, budget_flops), boundaries, p.seed);
    // Terms of a column may cancel; a row's norm is 1, and the absolute part is of that.
    Gates gates{.global_diff = 1e-11, .row_diff = 1e-10, .abs = 1e-5, .rel = 1e-5, .rms = 0};
    if (out[0].type() == Dtype::bf16)
      gates = {.global_diff = 5e-6, .row_diff = 5e-5, .abs = 1e-5, .rel = 0x1p-7, .rms = 0};
    Comparison totals[] = {Comparison("entries", gates)};
    compare_rows_of(rows, totals, [&](std::int64_t group, std::span<Comparison> mine) {
      std::vector<double> want(static_cast<std::size_t>(s.dim));
      std::vector<double> got(want.size());
      double squares = 0;
      for (std::int64_t column = 0; column < s.dim; ++column) {
        const double pooled = pool(s, in, group, column);
        want[static_cast<std::size_t>(column)] = pooled;
        squares += pooled * pooled;
      }
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(s.dim) + kEps);
      for (std::int64_t column = 0; column < s.dim; ++column)
        want[static_cast<std::size_t>(column)] *= inverse * in[3].get(column);
      double* const rotary = want.data() + s.dim - s.rope;
      for (std::int64_t i = 0; i < s.rope / 2; ++i) {
        const double cosine = in[4].get(group * s.rope + i);
        const double sine = in[4].get(group * s.rope + s.rope / 2 + i);
        const double x = rotary[2 * i];
        const double y = rotary[2 * i + 1];
        rotary[2 * i] = x * cosine - y * sine;
        rotary[2 * i + 1] = x * sine + y * cosine;
      }
      decode_range(out[0], group * s.dim, s.dim, got.data());
      mine[0].row(want, got, [group] { return fmt::format("entry {}", group); });
    });
    result.rows = s.groups;
    result.rows_checked = std::ssize(rows);
    totals[0].conclude(result);
    return result;
  }

 private:
  // A column of an entry before its norm.
  static double pool(const Shape& s, std::span<const HostTensor> in, std::int64_t group,
                     std::int64_t column) {
    double largest = -std::numeric_limits<double>::infinity();
    for (int pass = 0; pass < 2; ++pass) {
      double sum = 0;
      double mixed = 0;
      for (std::int64_t half = group > 0 ? 0 : s.halves - 1; half < s.halves; ++half) {
        const std::int64_t first = (group - (s.halves - 1 - half)) * s.ratio;
        for (std::int64_t r = 0; r < s.ratio; ++r) {
          const std::int64_t at = (first + r) * s.width + half * s.dim + column;
          const double score = in[1].get(at) + in[2].get(r * s.width + half * s.dim + column);
          if (pass == 0) {
            largest = std::max(largest, score);
          } else {
            const double weight = std::exp(score - largest);
            sum += weight;
            mixed += weight * in[0].get(at);
          }
        }
      }
      if (pass == 1) return mixed / sum;
    }
    return 0;
  }
};

}  // namespace

const Op& kv_compress_op() {
  static const KvCompress op(
      {.name = "kv_compress",
       .help = "V4's compressor: a softmax-gated sum over groups of tokens, normalised and turned",
       .params = {needed("tokens", "of the sequence"), preset("ratio", 4, "tokens of an entry"),
                  preset("dim", 512, "numbers of an entry"),
                  preset("rope", 64, "of them, the last, rotary", 0)},
       .words = {{.name = "overlap",
                  .accepted = {"yes", "no"},
                  .help = "whether an entry also draws on the group of tokens before its own"}},
       .dtypes = {"bf16", "f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
