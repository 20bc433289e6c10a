#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <utility>

#include "core/rng.h"
#include "kernelbench/ops/fill.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/product_types.h"
#include "kernelbench/ops/routing.h"

namespace dsbench::kernelbench {
namespace {

constexpr double kTheta = 10000;

class RopeKvWrite : public OpBase {
 public:
  using OpBase::OpBase;

  [[nodiscard]] Result<void> validate(const Problem& p) const override {
    if (p["rope"] % 2 != 0) {
      return fail(ErrorKind::usage, "rope_kv_write: rope is {}; pairs are turned, so it must be even",
                  p["rope"]);
    }
    if (p["slots"] < p["tokens"]) {
      return fail(ErrorKind::usage, "rope_kv_write: {} slots for {} tokens; each needs its own", p["slots"],
                  p["tokens"]);
    }
    return {};
  }

  [[nodiscard]] double operand_bytes(const Problem& p) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    const auto tokens = static_cast<double>(p["tokens"]);
    const auto width = static_cast<double>(p["kv_lora"] + p["rope"]);
    return size * (2 * tokens * static_cast<double>(p["heads"] * p["rope"]) +
                   (tokens + static_cast<double>(p["slots"])) * width) +
           4 * static_cast<double>(p["max_position"] * p["rope"]) + 8 * tokens;
  }

  [[nodiscard]] Operands make(const Problem& p) const override {
    const Dtype type = product_types(p.dtype).act;
    const std::int64_t tokens = p["tokens"];
    const std::int64_t rope = p["rope"];
    const std::int64_t width = p["kv_lora"] + rope;
    Operands operands;
    fill_uniform(p, operands.in.emplace_back("q_pe", type, std::vector{tokens, p["heads"], rope}));
    fill_uniform(p, operands.in.emplace_back("kv", type, std::vector{tokens, width}));
    HostTensor turns("cos_sin", Dtype::f32, {p["max_position"], rope});
    const std::int64_t pairs = rope / 2;
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double frequency = std::pow(kTheta, -static_cast<double>(i) / static_cast<double>(pairs));
      for (std::int64_t position = 0; position < p["max_position"]; ++position) {
        const double angle = frequency * static_cast<double>(position);
        turns.as<float>()[position * rope + i] = static_cast<float>(std::cos(angle));
        turns.as<float>()[position * rope + pairs + i] = static_cast<float>(std::sin(angle));
      }
    }
    operands.in.push_back(std::move(turns));
    Rng rng(p.seed, "kernelbench.positions");
    std::vector<std::int32_t> positions(static_cast<std::size_t>(tokens));
    for (std::int32_t& position : positions) {
      position = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(p["max_position"])));
    }
    if (p.adversarial) positions.front() = static_cast<std::int32_t>(p["max_position"] - 1);
    std::vector<std::int32_t> slots(static_cast<std::size_t>(p["slots"]));
    std::iota(slots.begin(), slots.end(), 0);
    for (std::size_t i = 0; i < positions.size(); ++i)
      std::swap(slots[i], slots[i + rng.below(slots.size() - i)]);
    slots.resize(positions.size());
    operands.in.push_back(i32_tensor("positions", {tokens}, positions));
    operands.in.push_back(i32_tensor("slots", {tokens}, slots));
    operands.out.emplace_back("q_pe_out", type, std::vector{tokens, p["heads"], rope}).poison_all();
    operands.out.emplace_back("cache", type, std::vector{p["slots"], width}).poison_all();
    return operands;
  }

  [[nodiscard]] Work work(const Problem& p, const Operands&) const override {
    const auto size = static_cast<double>(size_of(product_types(p.dtype).act));
    const auto tokens = static_cast<double>(p["tokens"]);
    const auto rope = static_cast<double>(p["rope"]);
    const auto turned = tokens * static_cast<double>(p["heads"]) * rope;
    // Of the table of turns, the lines that are used.
    return {.flops = 3 * (turned + tokens * rope),
            .bytes = size * 2 * (turned + tokens * static_cast<double>(p["kv_lora"] + p["rope"])) +
                     tokens * (4 * rope + 8),
            .unit = ""};
  }

  [[nodiscard]] CheckResult check(const Problem& p, std::span<const HostTensor> in,
                                  std::span<const HostTensor> out, double budget_flops) const override {
    CheckResult result = no_complaint();
    if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
    const std::int64_t tokens = p["tokens"];
    const std::int64_t heads = p["heads"];
    const std::int64_t rope = p["rope"];
    const std::int64_t kv_lora = p["kv_lora"];
    const std::int64_t width = kv_lora + rope;
    std::vector<std::int64_t> boundaries;
    add_tile_boundaries(0, tokens, boundaries);
    const double row_flops = 8.0 * static_cast<double>(heads * rope + width);
    const std::vector<std::int64_t> rows =
        rows_to_check(tokens, affordable_rows(tokens, row_flops, budget_flops), boundaries, p.seed);
    Gates turned = f32_sum_gates(2);
    if (out[0].type() == Dtype::bf16) turned = bf16_pointwise_gates();
    Comparison totals[] = {Comparison("q_pe_out", turned), Comparison("cache, rotary part", turned),
                           Comparison("cache, latent part", Gates{})};
    compare_rows_of(rows, totals, [&](std::int64_t t, std::span<Comparison> mine) {
      const auto position = static_cast<std::int64_t>(in[3].get(t));
      const auto slot = static_cast<std::int64_t>(in[4].get(t));
      std::vector<double> turns(static_cast<std::size_t>(rope));
      decode_range(in[2], position * rope, rope, turns.data());
      std::vector<double> want(static_cast<std::size_t>(rope));
      std::vector<double> got(static_cast<std::size_t>(std::max(rope, kv_lora)));
      const auto got_rope = std::span(got).first(want.size());
      for (std::int64_t h = 0; h < heads; ++h) {
        decode_range(in[0], (t * heads + h) * rope, rope, want.data());
        turn(p, turns, want);
        decode_range(out[0], (t * heads + h) * rope, rope, got.data());
        mine[0].row(want, got_rope, [t, h] { return fmt::format("row {} head {}", t, h); });
      }
      const auto name = [t, slot] { return fmt::format("row {} in slot {}", t, slot); };
      decode_range(in[1], t * width + kv_lora, rope, want.data());
      turn(p, turns, want);
      decode_range(out[1], slot * width + kv_lora, rope, got.data());
      mine[1].row(want, got_rope, name);
      std::vector<double> latent(static_cast<std::size_t>(kv_lora));
      decode_range(in[1], t * width, kv_lora, latent.data());
      decode_range(out[1], slot * width, kv_lora, got.data());
      mine[2].row(latent, std::span(got).first(latent.size()), name);
    });
    result.rows = tokens;
    result.rows_checked = std::ssize(rows);
    for (const Comparison& total : totals) total.conclude(result);
    return result;
  }

 private:
  static void turn(const Problem& p, const std::vector<double>& turns, std::vector<double>& x) {
    const bool half = p.word("pairing") == "half";
    const std::size_t pairs = x.size() / 2;
    for (std::size_t i = 0; i < pairs; ++i) {
      double& a = half ? x[i] : x[2 * i];
      double& b = half ? x[pairs + i] : x[2 * i + 1];
      const double cosine = turns[i];
      const double sine = turns[pairs + i];
      const double turned = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = turned;
    }
  }
};

}  // namespace

const Op& rope_kv_write_op() {
  static const RopeKvWrite op(
      {.name = "rope_kv_write",
       .help = "turns rotary parts of queries and keys and writes latents to their cache slots",
       .params = {needed("tokens", "rows"), needed("heads", "of the queries"),
                  preset("kv_lora", 512, "latent numbers"), preset("rope", 64, "rotary numbers"),
                  needed("slots", "of the cache"),
                  preset("max_position", 4096, "positions that the table of turns has")},
       .words = {{.name = "pairing",
                  .accepted = {"interleaved", "half"},
                  .help = "which numbers make a pair: (2i, 2i+1), or (i, i + rope/2)"}},
       .dtypes = {"bf16", "f32"}});
  return op;
}

}  // namespace dsbench::kernelbench
