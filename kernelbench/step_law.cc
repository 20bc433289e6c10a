#include "kernelbench/step_law.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>

namespace dsbench::kernelbench {
namespace {

// Bytes of an element of the activations, the weights and the result.
struct Widths {
  double act, weight, out;
};

Widths widths_of(std::string_view dtype) {
  if (dtype == "f32.bf16") return {4, 2, 4};
  if (dtype == "int8") return {1, 1, 4};
  if (dtype == "bf16") return {2, 2, 2};
  if (dtype == "fp8") return {1, 1, 2};
  return {4, 4, 4};
}

struct Need {
  std::string op, dtype, unit;
  bool required = false;
  double count = 0;             // launches in a step
  double flops = 0, bytes = 0;  // of one launch
};

// The kernels of one step of T = P + D tokens.
class StepShape {
 public:
  // `experts`: the dtype of the experts' products, where the result does not have them in that of the others.
  StepShape(const profiles::ModelProfile& m, std::string dtype, std::string experts)
      : m_{m}, dtype_{std::move(dtype)}, experts_{std::move(experts)}, w_{widths_of(dtype_)} {
    gpu_ = dtype_ == "bf16" || dtype_ == "fp8";
    glue_ = gpu_ ? "bf16" : "f32";
    glue_bytes_ = gpu_ ? 2 : 4;
  }

  std::vector<Need> needs(const profiles::StepSample& s) {
    out_.clear();
    const double tokens = s.prefill_tokens + s.decode_tokens;
    const double layers = m_.layers, heads = m_.heads;
    const double qk = m_.qk_dim(), latent = m_.latent_width();
    // Attention.
    glue("rmsnorm", 2 * layers, 8 * tokens * m_.hidden, 2 * glue_bytes_ * tokens * m_.hidden);
    if (m_.q_lora > 0) {
      gemm(layers, tokens, m_.q_lora + latent, m_.hidden);
      gemm(layers, tokens, heads * qk, m_.q_lora);
    } else {
      gemm(layers, tokens, heads * qk + latent, m_.hidden);
    }
    glue("rope_kv_write", layers, 6 * tokens * (heads + 1) * m_.rope_dim,
         2 * glue_bytes_ * tokens * (heads * m_.rope_dim + latent));
    absorb(layers, s.decode_tokens, heads, m_.nope_dim, m_.kv_lora);
    absorb(layers, s.decode_tokens, heads, m_.kv_lora, m_.v_dim);
    decode_attention(layers, s, heads);
    if (s.prefill_tokens > 0) {
      gemm(layers, s.prefill_tokens, heads * (m_.nope_dim + m_.v_dim), m_.kv_lora);
      prefill_attention(layers, s.prefill_tokens, heads);
    }
    gemm(layers, tokens, m_.hidden, heads * m_.v_dim);
    // Feed-forward.
    ffn(m_.dense_layers, tokens, m_.dense_intermediate);
    const double moe_layers = m_.moe_layers();
    if (moe_layers > 0) {
      const auto& moe = m_.moe;
      gemm(moe_layers, tokens, moe.experts, m_.hidden);
      add("moe_gate", "f32", "", false, moe_layers, 8 * tokens * moe.experts,
          tokens * (4.0 * moe.experts + 8.0 * moe.top_k));
      const double rows = tokens * moe.top_k;
      glue("moe_permute", moe_layers, 0, glue_bytes_ * (tokens + rows) * m_.hidden);
      experts(moe_layers, tokens, 2.0 * moe.intermediate, m_.hidden);
      glue("swiglu", moe_layers, 8 * rows * moe.intermediate, 3 * glue_bytes_ * rows * moe.intermediate);
      experts(moe_layers, tokens, m_.hidden, moe.intermediate);
      glue("moe_unpermute", moe_layers, 2 * rows * m_.hidden, glue_bytes_ * (tokens + rows) * m_.hidden);
      if (moe.shared_experts > 0)
        ffn(moe_layers, tokens, static_cast<double>(moe.shared_experts) * moe.intermediate);
    }
    // The head: one row for each sequence that gets a token.
    gemm(1, s.decode_tokens + (s.prefill_tokens > 0 ? 1 : 0), m_.vocab, m_.hidden);
    return std::move(out_);
  }

 private:
  void add(std::string op, std::string dtype, std::string unit, bool required, double count, double flops,
           double bytes) {
    if (count <= 0 || bytes <= 0) return;
    out_.push_back({std::move(op), std::move(dtype), std::move(unit), required, count, flops, bytes});
  }
  void glue(std::string op, double count, double flops, double bytes) {
    add(std::move(op), glue_, gpu_ ? "" : "f32", false, count, flops, bytes);
  }
  std::string unit() const { return dtype_ == "f32.bf16" ? "f32" : dtype_; }

  void gemm(double count, double m, double n, double k) {
    if (m <= 0) return;
    const char* op = dtype_ == "fp8" ? "fp8_gemm" : dtype_ == "int8" ? "int8_gemm" : "gemm";
    add(op, dtype_, unit(), true, count, 2 * m * n * k, m * k * w_.act + n * k * w_.weight + m * n * w_.out);
  }
  void experts(double count, double tokens, double n, double k) {
    const auto& moe = m_.moe;
    const double rows = tokens * moe.top_k;
    // Expected number of experts with a row under uniform routing.
    const double touched =
        moe.experts * (1 - std::pow(1 - static_cast<double>(moe.top_k) / moe.experts, tokens));
    const Widths w = widths_of(experts_);
    add("moe_grouped_gemm", experts_, experts_ == "f32.bf16" ? "f32" : experts_, true, count,
        2 * rows * n * k, touched * n * k * w.weight + rows * k * w.act + rows * n * w.out);
  }
  void ffn(double count, double tokens, double inter) {
    if (inter <= 0) return;
    gemm(count, tokens, 2 * inter, m_.hidden);
    glue("swiglu", count, 8 * tokens * inter, 3 * glue_bytes_ * tokens * inter);
    gemm(count, tokens, m_.hidden, inter);
  }
  void absorb(double count, double tokens, double heads, double in, double out) {
    if (tokens <= 0) return;
    add("mla_absorb", glue_, gpu_ ? "bf16" : "f32", false, count, 2 * tokens * heads * in * out,
        glue_bytes_ * (heads * in * out + tokens * heads * (in + out)));
  }
  void decode_attention(double count, const profiles::StepSample& s, double heads) {
    if (s.decode_tokens <= 0) return;
    const double latent = m_.latent_width();
    add("mla_decode", glue_, gpu_ ? "bf16" : "f32", true, count,
        2 * heads * s.kv_tokens * (latent + m_.kv_lora),
        glue_bytes_ * (s.kv_tokens * latent + s.decode_tokens * heads * (latent + m_.kv_lora)) +
            4 * s.decode_tokens * heads);
  }
  void prefill_attention(double count, double tokens, double heads) {
    add("mla_prefill", glue_, gpu_ ? "bf16" : "f32", false, count,
        heads * tokens * tokens * (m_.qk_dim() + m_.v_dim),
        glue_bytes_ * tokens * heads * (2.0 * m_.qk_dim() + 2.0 * m_.v_dim));
  }

  const profiles::ModelProfile& m_;
  std::string dtype_, experts_;
  Widths w_;
  bool gpu_ = false;
  std::string glue_;
  double glue_bytes_ = 4;
  std::vector<Need> out_;
};

// What share of its roofline an op reaches, by size.
class Efficiency {
 public:
  void add(double roof_s, double seconds) { points_.emplace_back(std::log(roof_s), roof_s / seconds); }
  void finish() { std::sort(points_.begin(), points_.end()); }
  bool empty() const { return points_.empty(); }
  bool covers(double roof_s) const {
    // A factor of two beyond the ends is not worth a warning.
    const double x = std::log(roof_s);
    return x >= points_.front().first - std::log(2.0) && x <= points_.back().first + std::log(2.0);
  }
  double at(double roof_s) const {
    const double x = std::log(roof_s);
    if (x <= points_.front().first) return points_.front().second;
    if (x >= points_.back().first) return points_.back().second;
    const auto above = std::upper_bound(points_.begin(), points_.end(),
                                        std::pair{x, std::numeric_limits<double>::infinity()});
    const auto below = above - 1;
    const double width = above->first - below->first;
    return width <= 0 ? below->second
                      : below->second + (x - below->first) / width * (above->second - below->second);
  }

 private:
  std::vector<std::pair<double, double>> points_;
};

using Key = std::pair<std::string, std::string>;  // op, dtype

std::map<Key, Efficiency> efficiencies_of(const KernelRun& run) {
  // Of several kernels on one case the fastest counts: that is what an engine would call.
  std::map<std::string, const CellResult*> fastest;
  for (const CellResult& cell : run.cells) {
    // What a lowered clock spoilt has been dropped from a throttled cell's samples: the rest counts.
    const bool usable = cell.state == CellState::ok || cell.state == CellState::throttled;
    if (!usable || !cell.timed() || cell.kernel.baseline || cell.name == kControlName) continue;
    const CellResult*& best = fastest[cell.name];
    if (best == nullptr || cell.seconds() < best->seconds()) best = &cell;
  }
  std::map<Key, Efficiency> all;
  for (const auto& [name, cell] : fastest) {
    const double roof = roofline_of(cell->work, run.ceilings).seconds;
    if (roof > 0) all[{cell->problem.op, cell->problem.dtype}].add(roof, cell->seconds());
  }
  for (auto& [key, efficiency] : all) efficiency.finish();
  return all;
}

}  // namespace

Result<KernelStepLaw> step_law_from_kernels(const KernelRun& run, const profiles::ModelProfile& model,
                                            const std::string& dtype, const StepRange& range) {
  const std::map<Key, Efficiency> efficiencies = efficiencies_of(run);
  std::string experts = dtype;
  if (!efficiencies.contains({"moe_grouped_gemm", experts}) && dtype != "bf16" && dtype != "fp8") {
    for (const char* other : {"f32", "f32.bf16"}) {
      if (efficiencies.contains({"moe_grouped_gemm", other})) experts = other;
    }
  }
  StepShape shape{model, dtype, experts};

  const auto time_of = [&](const Need& need, KernelStepLaw::Share* share) {
    const double roof =
        roofline_of({.flops = need.flops, .bytes = need.bytes, .unit = need.unit}, run.ceilings).seconds;
    const auto it = efficiencies.find({need.op, need.dtype});
    const double efficiency = it == efficiencies.end() ? 1.0 : it->second.at(roof);
    const double seconds = need.count * roof / efficiency;
    if (share != nullptr) {
      share->op = need.op;
      share->seconds += seconds;
      share->efficiency += need.count * roof;
      share->at_roofline = it == efficiencies.end();
      share->beyond = share->beyond || (it != efficiencies.end() && !it->second.covers(roof));
    }
    return seconds;
  };

  std::vector<double> prompts{0}, decodes{0}, contexts;
  for (double p = range.max_prefill_tokens; p >= 8; p /= 4) prompts.push_back(std::round(p));
  for (double d = range.max_decode_tokens; d >= 1; d /= 4) decodes.push_back(std::round(d));
  for (double c = range.max_context; c >= 64; c /= 4) contexts.push_back(std::round(c));
  std::vector<profiles::StepSample> steps;
  for (const double p : prompts) {
    for (const double d : decodes) {
      if (p + d <= 0) continue;
      for (const double c : contexts) {
        // A cache that is full holds no more, however many sequences share it.
        if (d * c > range.max_kv_tokens && c != contexts.back()) continue;
        profiles::StepSample step{.prefill_tokens = p, .decode_tokens = d, .kv_tokens = d * c + p};
        for (const Need& need : shape.needs(step)) {
          if (need.required && !efficiencies.contains({need.op, need.dtype}))
            return fail(ErrorKind::usage,
                        "the result has no timed cell of op {} with dtype {}, which a step of {} needs; run "
                        "dsbench kernels "
                        "with a suite that has it (--filter '{}*')",
                        need.op, need.dtype, model.name, need.op);
          step.seconds += time_of(need, nullptr);
        }
        steps.push_back(step);
        if (d == 0) break;
      }
    }
  }
  KernelStepLaw law;
  DSBENCH_TRY(law.fit, profiles::fit_step_law(steps));

  const profiles::StepSample full{
      .prefill_tokens = 0,
      .decode_tokens = range.max_decode_tokens,
      .kv_tokens = std::min(range.max_decode_tokens * range.max_context, range.max_kv_tokens)};
  std::map<std::string, KernelStepLaw::Share> shares;
  for (const Need& need : shape.needs(full)) (void)time_of(need, &shares[need.op]);
  for (auto& [op, share] : shares) {
    share.efficiency = share.seconds > 0 ? share.efficiency / share.seconds : 0;
    law.shares.push_back(share);
  }
  std::sort(law.shares.begin(), law.shares.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return law;
}

}  // namespace dsbench::kernelbench
