#include "engine/model/decoder_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace dsbench::engine {
namespace {

using kernels::cpu::PackedMatrix;

// The tensors of one model out of one source.
class Loader {
 public:
  Loader(const profiles::ModelProfile& profile, const WeightSource& source) : p{profile}, source_{source} {}

  PackedMatrix projection(const std::string& name, std::int64_t n, std::int64_t k, double gain = 1) const {
    return PackedMatrix(source_.matrix(name, n, k, gain), static_cast<std::int32_t>(n),
                        static_cast<std::int32_t>(k));
  }

  Ffn ffn(const std::string& name, std::int64_t intermediate) const {
    return {projection(name + "gate", intermediate, p.hidden),
            projection(name + "up", intermediate, p.hidden),
            projection(name + "down", p.hidden, intermediate)};
  }

  void load_attention(Layer& layer, const std::string& prefix) const;
  Layer layer(std::int32_t i) const;

 private:
  const profiles::ModelProfile& p;
  const WeightSource& source_;
};

void Loader::load_attention(Layer& layer, const std::string& prefix) const {
  layer.attention_norm = source_.norm(prefix + "attention_norm", p.hidden);
  layer.ffn_norm = source_.norm(prefix + "ffn_norm", p.hidden);
  const std::int64_t q_out = std::int64_t{p.heads} * p.qk_dim();
  if (p.q_lora > 0) {
    layer.q_a = projection(prefix + "q_a", p.q_lora, p.hidden);
    layer.q_norm = source_.norm(prefix + "q_norm", p.q_lora);
    layer.q_b = projection(prefix + "q_b", q_out, p.q_lora, kQueryGain);
  } else {
    layer.q_b = projection(prefix + "q", q_out, p.hidden, kQueryGain);
  }
  layer.kv_a = projection(prefix + "kv_a", p.latent_width(), p.hidden);
  layer.kv_norm = source_.norm(prefix + "kv_norm", p.kv_lora);
  layer.o = projection(prefix + "o", p.hidden, std::int64_t{p.heads} * p.v_dim);
  const std::int32_t per_head = p.nope_dim + p.v_dim;
  const std::vector<float> kv_b =
      source_.matrix(prefix + "kv_b", std::int64_t{p.heads} * per_head, p.kv_lora, 1);
  std::vector<float> turned(static_cast<std::size_t>(p.kv_lora) * static_cast<std::size_t>(p.nope_dim));
  for (std::int32_t head_index = 0; head_index < p.heads; ++head_index) {
    const float* rows_of_head = kv_b.data() + std::int64_t{head_index} * per_head * p.kv_lora;
    for (std::int64_t d = 0; d < p.nope_dim; ++d) {
      for (std::int64_t c = 0; c < p.kv_lora; ++c) {
        turned[static_cast<std::size_t>(c * p.nope_dim + d)] = rows_of_head[d * p.kv_lora + c];
      }
    }
    layer.absorb.emplace_back(turned, p.kv_lora, p.nope_dim);
    layer.value_up.emplace_back(
        std::span(rows_of_head + std::int64_t{p.nope_dim} * p.kv_lora,
                  static_cast<std::size_t>(p.v_dim) * static_cast<std::size_t>(p.kv_lora)),
        p.v_dim, p.kv_lora);
  }
}

Layer Loader::layer(std::int32_t i) const {
  const std::string prefix = fmt::format("layers.{}.", i);
  Layer layer;
  load_attention(layer, prefix);
  if (i < p.dense_layers) {
    layer.ffn = ffn(prefix, p.dense_intermediate);
    return layer;
  }
  layer.router = projection(prefix + "router", p.moe.experts, p.hidden);
  if (p.moe.correction_bias)
    layer.router_bias = source_.correction_bias(prefix + "router_bias", p.moe.experts);
  for (std::int32_t e = 0; e < p.moe.experts; ++e) {
    layer.experts.push_back(ffn(fmt::format("{}experts.{}.", prefix, e), p.moe.intermediate));
  }
  if (p.moe.shared_experts > 0) {
    layer.ffn = ffn(prefix + "shared.", std::int64_t{p.moe.shared_experts} * p.moe.intermediate);
  }
  return layer;
}

}  // namespace

DecoderWeights::DecoderWeights(const profiles::ModelProfile& profile, const WeightSource& source)
    : embedding{source.matrix("embedding", profile.vocab, profile.hidden,
                              std::sqrt(static_cast<double>(profile.hidden)))},
      final_norm{source.norm("final_norm", profile.hidden)} {
  const Loader loader{profile, source};
  for (std::int32_t i = 0; i < profile.layers; ++i) layers.push_back(loader.layer(i));
  head = loader.projection("head", profile.vocab, profile.hidden, kHeadGain);
}

}  // namespace dsbench::engine
