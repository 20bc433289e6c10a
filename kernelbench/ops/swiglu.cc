#include <fmt/format.h>

#include <cmath>

#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"
#include "kernelbench/ops/quantised.h"

// swiglu, and what rounds rows to a small type with scales: swiglu_quant, group_quant, row_quant.
namespace dsbench::kernelbench {
namespace {

double silu(double x) {
  return x / (1 + std::exp(-x));
}

// y = silu(gate)·up in float64 of one row of x = [gate, up].
void swiglu_row(const HostTensor& x, std::int64_t row, std::int64_t inter, std::vector<double>& y) {
  std::vector<double> both(static_cast<std::size_t>(2 * inter));
  decode_range(x, row * 2 * inter, 2 * inter, both.data());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = silu(both[i]) * both[y.size() + i];
}

class Swiglu : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    return 3.0 * static_cast<double>(p["rows"] * p["inter"]) *
           static_cast<double>(size_of(product_types(p.dtype).act));
  }
  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("x", type, std::vector{p["rows"], 2 * p["inter"]}), -4, 4);
    operands.out.emplace_back("y", type, std::vector{p["rows"], p["inter"]}).poison_all();
    return operands;
  }
  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {
        .flops = 8.0 * static_cast<double>(p["rows"] * p["inter"]), .bytes = operand_bytes(p), .unit = ""};
  }
  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t inter = p["inter"];
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, p["rows"], boundaries);
    const std::vector<std::int64_t> rows =
        rows_to_check(p["rows"], affordable_rows(p["rows"], 40.0 * static_cast<double>(inter), budget_flops),
                      boundaries, p.seed);
    // In f32: an exponential good to some 4 roundings, a sum, a division, two products.
    Comparison totals[] = {
        Comparison("y", out[0].type() == Dtype::bf16 ? bf16_pointwise_gates() : f32_pointwise_gates(12))};
    compare_rows_of(rows, totals, [&](std::int64_t row, std::span<Comparison> mine) {
      std::vector<double> want(static_cast<std::size_t>(inter));
      std::vector<double> got(want.size());
      swiglu_row(in[0], row, inter, want);
      decode_range(out[0], row * inter, inter, got.data());
      mine[0].row(want, got, [row] { return fmt::format("row {}", row); });
    });
    result.rows = p["rows"];
    result.rows_checked = std::ssize(rows);
    totals[0].conclude(result);
    return result;
  }
};

// Ops that give codes and scales: the table says what is quantised.
class Quantiser : public OpBase {
 public:
  struct What {
    bool swiglu = false;  // silu(gate)·up of x, else x itself
    bool int8 = false;    // one scale a row of int8, else e4m3 with a scale for 128
  };
  Quantiser(Sheet sheet, What what) : OpBase{std::move(sheet)}, what_{what} {}

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    if (what_.int8 || width(p) % kGroup == 0) return {};
    return fail(ErrorKind::usage, "{}: rows of {}; they must be a multiple of {}", p.op, width(p), kGroup);
  }
  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto elements = static_cast<double>(rows(p) * width(p));
    const double in = elements * (what_.int8 ? 4 : 2) * (what_.swiglu ? 2 : 1);
    return in + elements + 4.0 * static_cast<double>(rows(p) * scales(p));
  }
  [[nodiscard]] Operands make(const Problem& p) const override {
    Operands operands;
    const std::int64_t in_width = width(p) * (what_.swiglu ? 2 : 1);
    HostTensor& x =
        operands.in.emplace_back("x", what_.int8 ? Dtype::f32 : Dtype::bf16, std::vector{rows(p), in_width});
    fill_uniform(p, x, what_.swiglu ? -4 : -1, what_.swiglu ? 4 : 1);
    if (p.adversarial) {
      // By turns: a row of zeros, one of tiny values, one with a single large value.
      for (std::int64_t r = 0; r < rows(p); ++r) {
        for (std::int64_t i = 0; i < in_width && r % 4 < 2; ++i) {
          x.set(r * in_width + i, r % 4 == 0 ? 0.0 : x.get(r * in_width + i) * 1e-6);
        }
        if (r % 4 == 2) x.set(r * in_width + in_width / 3, 3e4);
      }
    }
    operands.out.emplace_back("y", what_.int8 ? Dtype::i8 : Dtype::e4m3, std::vector{rows(p), width(p)})
        .poison_all();
    std::vector<std::int64_t> scale_shape{rows(p)};
    if (!what_.int8) scale_shape.push_back(scales(p));
    operands.out.emplace_back("y_scale", Dtype::f32, scale_shape).poison_all();
    return operands;
  }
  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    return {.flops = (what_.swiglu ? 11.0 : 3.0) * static_cast<double>(rows(p) * width(p)),
            .bytes = operand_bytes(p),
            .unit = ""};
  }
  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    for (const HostTensor& tensor : out) {
      if (std::string bad = find_not_finite(tensor); !bad.empty()) complain(result, bad);
    }
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, rows(p), boundaries);
    const double row_flops = 60.0 * static_cast<double>(width(p));
    const std::vector<std::int64_t> chosen =
        rows_to_check(rows(p), affordable_rows(rows(p), row_flops, budget_flops), boundaries, p.seed);
    std::vector<std::string> complaints(static_cast<std::size_t>(rows(p)));
    // What a kernel may be off by before rounding: none for x itself, an exponential in f32 for swiglu.
    const QuantisedGate gate{.group = what_.int8 ? width(p) : kGroup,
                             .tolerance = what_.swiglu ? 4e-6 : 1e-6,
                             .least = what_.int8 ? 0.0 : 1e-4,
                             .most = what_.int8 ? 127.0 : 448.0};
    Comparison totals[] = {Comparison("y", Gates{})};  // unused: codes are right or wrong
    compare_rows_of(chosen, totals, [&](std::int64_t row, std::span<Comparison>) {
      std::vector<double> want(static_cast<std::size_t>(width(p)));
      if (what_.swiglu) {
        swiglu_row(in[0], row, width(p), want);
      } else {
        decode_range(in[0], row * width(p), width(p), want.data());
      }
      complaints[static_cast<std::size_t>(row)] = check_quantised_row(want, row, out[0], out[1], gate);
    });
    for (const std::string& complaint : complaints) {
      if (!complaint.empty()) complain(result, complaint);
    }
    result.rows = rows(p);
    result.rows_checked = std::ssize(chosen);
    return result;
  }

 private:
  [[nodiscard]] std::int64_t rows(const Problem& p) const { return what_.swiglu ? p["rows"] : p["tokens"]; }
  [[nodiscard]] std::int64_t width(const Problem& p) const { return what_.swiglu ? p["inter"] : p["hidden"]; }
  [[nodiscard]] std::int64_t scales(const Problem& p) const { return what_.int8 ? 1 : width(p) / kGroup; }

  What what_;
};

std::vector<ParamSpec> swiglu_params() {
  return {needed("rows", "of the hidden layer"), needed("inter", "its width, half of a row of x")};
}
std::vector<ParamSpec> quant_params() {
  return {needed("tokens", "rows"), needed("hidden", "their width")};
}

}  // namespace

const Op& swiglu_op() {
  static const Swiglu op(
      {.name = "swiglu", .help = "y = silu(gate)·up", .params = swiglu_params(), .dtypes = {"bf16", "f32"}});
  return op;
}

const Op& swiglu_quant_op() {
  static const Quantiser op({.name = "swiglu_quant",
                             .help = "silu(gate)·up rounded to e4m3, a scale for every 128",
                             .params = swiglu_params(),
                             .dtypes = {"fp8"}},
                            {.swiglu = true});
  return op;
}

const Op& group_quant_op() {
  static const Quantiser op({.name = "group_quant",
                             .help = "rows rounded to e4m3, a scale for every 128",
                             .params = quant_params(),
                             .dtypes = {"fp8"}},
                            {});
  return op;
}

const Op& row_quant_op() {
  static const Quantiser op({.name = "row_quant",
                             .help = "rows rounded to int8, a scale for each",
                             .params = quant_params(),
                             .dtypes = {"int8"}},
                            {.int8 = true});
  return op;
}

}  // namespace dsbench::kernelbench
