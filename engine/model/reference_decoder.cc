#include "engine/model/reference_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/kernels/ref/attention.h"
#include "engine/kernels/ref/gate.h"
#include "engine/kernels/ref/linear.h"
#include "engine/kernels/ref/pointwise.h"
#include "engine/model/decoder_weights.h"
#include "engine/model/shapes.h"
#include "engine/model/weights.h"

namespace dsbench::engine {
namespace {

using kernels::WeightType;
namespace ref = kernels::ref;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

template <class T>
class Reference {
 public:
  Reference(const profiles::ModelProfile& profile, const WeightSource& source, WeightType type)
      : p_{profile}, source_{source}, type_{type} {}

  ReferenceOutput<T> forward(std::span<const TokenId> tokens, bool with_mtp) {
    const std::size_t s = tokens.size();
    const std::size_t d = size(p_.hidden);
    const std::vector<T> embedding =
        weight("embedding", p_.vocab, p_.hidden, std::sqrt(static_cast<double>(p_.hidden)), finer(type_));
    std::vector<T> x(s * d);
    for (std::size_t i = 0; i < s; ++i)
      std::copy_n(embedding.data() + size(tokens[i]) * d, d, x.data() + i * d);
    margins_.assign(s, std::numeric_limits<T>::infinity());
    for (std::int32_t i = 0; i < p_.layers; ++i) {
      const std::string prefix = fmt::format("layers.{}.", i);
      add(x, attention(prefix, norms(x, prefix + "attention_norm", p_.hidden)));
      const std::vector<T> h = norms(x, prefix + "ffn_norm", p_.hidden);
      add(x, i < p_.dense_layers ? ffn(prefix, h, p_.dense_intermediate) : moe(prefix, h));
    }
    ReferenceOutput<T> out;
    const std::vector<T> hidden = norms(x, "final_norm", p_.hidden);
    out.logits = project("head", hidden, p_.vocab, p_.hidden, kHeadGain);
    if (with_mtp && s > 1) out.mtp_logits = mtp(tokens, embedding, hidden);
    // A position rests on the choices of all positions before it, through their latents.
    for (std::size_t i = 1; i < s; ++i) margins_[i] = std::min(margins_[i], margins_[i - 1]);
    out.margins = margins_;
    return out;
  }

 private:
  // DeepSeek-V3's module: eh_proj of [enorm(embedding of the next token), hnorm(what the head reads)], one
  // layer, its norm, the model's head.
  std::vector<T> mtp(std::span<const TokenId> tokens, const std::vector<T>& embedding,
                     const std::vector<T>& hidden) {
    const std::size_t d = size(p_.hidden);
    const std::size_t s = tokens.size() - 1;
    const std::string prefix = fmt::format("layers.{}.", p_.layers);
    std::vector<T> next(s * d);
    for (std::size_t i = 0; i < s; ++i)
      std::copy_n(embedding.data() + size(tokens[i + 1]) * d, d, next.data() + i * d);
    next = norms(next, prefix + "mtp_embedding_norm", p_.hidden);
    const std::vector<T> from = norms({hidden.begin(), hidden.begin() + std::ptrdiff_t(s * d)},
                                      prefix + "mtp_hidden_norm", p_.hidden);
    std::vector<T> joined(s * 2 * d);
    for (std::size_t i = 0; i < s; ++i) {
      std::copy_n(next.data() + i * d, d, joined.data() + 2 * i * d);
      std::copy_n(from.data() + i * d, d, joined.data() + (2 * i + 1) * d);
    }
    std::vector<T> x = project(prefix + "mtp_join", joined, p_.hidden, 2 * std::int64_t{p_.hidden});
    add(x, attention(prefix, norms(x, prefix + "attention_norm", p_.hidden)));
    const std::vector<T> h = norms(x, prefix + "ffn_norm", p_.hidden);
    add(x, p_.moe_layers() == 0 ? ffn(prefix, h, p_.dense_intermediate) : moe(prefix, h));
    return project("head", norms(x, prefix + "mtp_norm", p_.hidden), p_.vocab, p_.hidden, kHeadGain);
  }

  static std::vector<T> widened(const std::vector<float>& values) {
    return std::vector<T>(values.begin(), values.end());
  }

  std::vector<T> weight(const std::string& name, std::int64_t n, std::int64_t k, double gain,
                        WeightType type) const {
    std::vector<float> values = source_.matrix(name, n, k, gain);
    kernels::cpu::round_as(type, values, static_cast<std::int32_t>(k));
    return widened(values);
  }

  // Symmetric int8: the largest magnitude of a row becomes 127.
  static void round_to_int8(std::span<T> row) {
    T largest = 0;
    for (const T x : row) largest = std::max(largest, std::abs(x));
    if (largest == 0) return;
    for (T& x : row) x = std::nearbyint(x * (T{127} / largest)) * (largest / T{127});
  }

  static void add(std::vector<T>& x, const std::vector<T>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  // Rows of x [·, k] times the named matrix [n, k].
  std::vector<T> project(const std::string& name, const std::vector<T>& x, std::int64_t n, std::int64_t k,
                         double gain = 1) const {
    const bool router = name.ends_with("router");
    const std::vector<T> w = weight(name, n, k, gain, router ? WeightType::fp32 : type_);
    const std::size_t m = x.size() / size(k);
    std::vector<T> rows = x;
    for (std::size_t i = 0; type_ == WeightType::int8 && !router && i < m; ++i)
      round_to_int8(std::span(rows).subspan(i * size(k), size(k)));
    std::vector<T> y(m * size(n));
    ref::matmul<T>(rows, w, y, m, size(n), size(k));
    return y;
  }

  std::vector<T> norms(const std::vector<T>& x, const std::string& name, std::int64_t n) const {
    const std::vector<T> w = widened(source_.norm(name, n));
    std::vector<T> y(x.size());
    for (std::size_t at = 0; at < x.size(); at += size(n)) {
      ref::rms_norm<T>(std::span(x).subspan(at, size(n)), w, static_cast<T>(p_.rms_eps),
                       std::span(y).subspan(at, size(n)));
    }
    return y;
  }

  std::vector<T> attention(const std::string& prefix, const std::vector<T>& h) const {
    const std::size_t s = h.size() / size(p_.hidden);
    const kernels::RopeConfig rope = rope_config(p_);
    const std::vector<double> frequencies = kernels::rope_frequencies(rope);
    const double amplitude = kernels::rope_amplitude(rope);
    const std::size_t heads = size(p_.heads);
    const std::size_t qk = size(p_.qk_dim());
    const std::size_t width = size(p_.latent_width());
    const std::size_t kv_lora = size(p_.kv_lora);
    const std::int64_t q_out = std::int64_t{p_.heads} * p_.qk_dim();

    std::vector<T> q;  // [s, heads, nope + rope]
    if (p_.q_lora > 0) {
      q = project(prefix + "q_b",
                  norms(project(prefix + "q_a", h, p_.q_lora, p_.hidden), prefix + "q_norm", p_.q_lora),
                  q_out, p_.q_lora, kQueryGain);
    } else {
      q = project(prefix + "q", h, q_out, p_.hidden, kQueryGain);
    }
    const std::vector<T> kv = project(prefix + "kv_a", h, p_.latent_width(), p_.hidden);
    std::vector<T> latent;  // [s, kv_lora]
    std::vector<T> k_pe;    // [s, rope]
    for (std::size_t i = 0; i < s; ++i) {
      latent.insert(latent.end(), kv.begin() + std::ptrdiff_t(i * width),
                    kv.begin() + std::ptrdiff_t(i * width + kv_lora));
      k_pe.insert(k_pe.end(), kv.begin() + std::ptrdiff_t(i * width + kv_lora),
                  kv.begin() + std::ptrdiff_t((i + 1) * width));
      const auto position = static_cast<double>(i);
      ref::rope_interleaved<T>(std::span(k_pe).subspan(i * size(p_.rope_dim)), frequencies, position,
                               amplitude);
      for (std::size_t head = 0; head < heads; ++head) {
        ref::rope_interleaved<T>(
            std::span(q).subspan((i * heads + head) * qk + size(p_.nope_dim), size(p_.rope_dim)), frequencies,
            position, amplitude);
      }
    }
    latent = norms(latent, prefix + "kv_norm", p_.kv_lora);
    const std::vector<T> w_kvb = weight(prefix + "kv_b", std::int64_t{p_.heads} * (p_.nope_dim + p_.v_dim),
                                        p_.kv_lora, 1, finer(type_));
    const std::vector<T> attended =
        ref::mla_plain<T>({.s = s,
                           .h = heads,
                           .kv_lora = kv_lora,
                           .nope = size(p_.nope_dim),
                           .rope = size(p_.rope_dim),
                           .v = size(p_.v_dim),
                           .scale = static_cast<T>(kernels::attention_scale(rope, p_.qk_dim())),
                           .q = q,
                           .latent = latent,
                           .k_pe = k_pe,
                           .w_kvb = w_kvb});
    return project(prefix + "o", attended, p_.hidden, std::int64_t{p_.heads} * p_.v_dim);
  }

  std::vector<T> ffn(const std::string& prefix, const std::vector<T>& h, std::int64_t intermediate) const {
    const std::vector<T> gate = project(prefix + "gate", h, intermediate, p_.hidden);
    const std::vector<T> up = project(prefix + "up", h, intermediate, p_.hidden);
    std::vector<T> act(gate.size());
    ref::swiglu<T>(gate, up, act);
    return project(prefix + "down", act, p_.hidden, intermediate);
  }

  std::vector<T> moe(const std::string& prefix, const std::vector<T>& h) {
    const std::size_t d = size(p_.hidden);
    const std::size_t s = h.size() / d;
    const std::size_t experts = size(p_.moe.experts);
    std::vector<T> out(h.size());
    if (p_.moe.shared_experts > 0) {
      out = ffn(prefix + "shared.", h, std::int64_t{p_.moe.shared_experts} * p_.moe.intermediate);
    }
    const std::vector<T> logits = project(prefix + "router", h, p_.moe.experts, p_.hidden);
    std::vector<T> bias;
    if (p_.moe.correction_bias)
      bias = widened(source_.correction_bias(prefix + "router_bias", p_.moe.experts));
    // Expert by expert over the positions that chose it, only so that each is drawn once.
    std::vector<ref::GateChoice<T>> choices;
    for (std::size_t i = 0; i < s; ++i) {
      choices.push_back(ref::gate<T>(gate_config(p_), std::span(logits).subspan(i * experts, experts), bias));
      margins_[i] = std::min(margins_[i], choices.back().margin);
    }
    for (std::size_t e = 0; e < experts; ++e) {
      std::vector<T> rows;
      std::vector<std::pair<std::size_t, T>> to;
      for (std::size_t i = 0; i < s; ++i) {
        for (std::size_t k = 0; k < choices[i].experts.size(); ++k) {
          if (size(choices[i].experts[k]) != e) continue;
          rows.insert(rows.end(), h.begin() + std::ptrdiff_t(i * d), h.begin() + std::ptrdiff_t((i + 1) * d));
          to.emplace_back(i, choices[i].weights[k]);
        }
      }
      if (to.empty()) continue;
      const std::vector<T> y = ffn(fmt::format("{}experts.{}.", prefix, e), rows, p_.moe.intermediate);
      for (std::size_t j = 0; j < to.size(); ++j) {
        for (std::size_t c = 0; c < d; ++c) out[to[j].first * d + c] += to[j].second * y[j * d + c];
      }
    }
    return out;
  }

  const profiles::ModelProfile& p_;
  const WeightSource& source_;
  WeightType type_;
  std::vector<T> margins_;
};

}  // namespace

template <class T>
ReferenceOutput<T> reference_forward(const profiles::ModelProfile& profile, const WeightSource& source,
                                     std::span<const TokenId> tokens, WeightType type, bool with_mtp) {
  return Reference<T>(profile, source, type).forward(tokens, with_mtp);
}

template ReferenceOutput<double> reference_forward<double>(const profiles::ModelProfile&, const WeightSource&,
                                                           std::span<const TokenId>, WeightType, bool);
template ReferenceOutput<float> reference_forward<float>(const profiles::ModelProfile&, const WeightSource&,
                                                         std::span<const TokenId>, WeightType, bool);

}  // namespace dsbench::engine
