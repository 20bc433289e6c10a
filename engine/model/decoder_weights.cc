#include "engine/model/decoder_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace dsbench::engine {
namespace {

using kernels::WeightType;
using kernels::cpu::PackedMatrix;

// The tensors of one model out of one source.
class Loader {
 public:
  Loader(const profiles::ModelProfile& profile, const WeightSource& source, WeightType type)
      : p{profile}, source_{source}, type_{type} {}

  PackedMatrix projection(const std::string& name, std::int64_t n, std::int64_t k, double gain = 1) const {
    return matrix(name, n, k, gain, type_);
  }
  PackedMatrix matrix(const std::string& name, std::int64_t n, std::int64_t k, double gain,
                      WeightType type) const {
    return PackedMatrix(source_.matrix(name, n, k, gain), static_cast<std::int32_t>(n),
                        static_cast<std::int32_t>(k), type);
  }

  Ffn ffn(const std::string& name, std::int64_t intermediate) const {
    return {projection(name + "gate", intermediate, p.hidden),
            projection(name + "up", intermediate, p.hidden),
            projection(name + "down", p.hidden, intermediate)};
  }

  void load_attention(Layer& layer, const std::string& prefix) const;
  Layer layer(std::int32_t i) const;
  MtpModule mtp() const;

 private:
  const profiles::ModelProfile& p;
  const WeightSource& source_;
  WeightType type_;
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
    layer.absorb.emplace_back(turned, p.kv_lora, p.nope_dim, finer(type_));
    layer.value_up.emplace_back(
        std::span(rows_of_head + std::int64_t{p.nope_dim} * p.kv_lora,
                  static_cast<std::size_t>(p.v_dim) * static_cast<std::size_t>(p.kv_lora)),
        p.v_dim, p.kv_lora, finer(type_));
  }
}

Layer Loader::layer(std::int32_t i) const {
  const std::string prefix = fmt::format("layers.{}.", i);
  Layer layer;
  load_attention(layer, prefix);
  if (i < p.dense_layers || p.moe_layers() == 0) {
    layer.ffn = ffn(prefix, p.dense_intermediate);
    return layer;
  }
  layer.router = matrix(prefix + "router", p.moe.experts, p.hidden, 1, WeightType::fp32);
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

MtpModule Loader::mtp() const {
  const std::string prefix = fmt::format("layers.{}.", p.layers);
  return {.embedding_norm = source_.norm(prefix + "mtp_embedding_norm", p.hidden),
          .hidden_norm = source_.norm(prefix + "mtp_hidden_norm", p.hidden),
          .join = projection(prefix + "mtp_join", p.hidden, 2 * std::int64_t{p.hidden}),
          .layer = layer(p.layers),
          .norm = source_.norm(prefix + "mtp_norm", p.hidden)};
}

std::int64_t bytes_of(const Ffn& ffn) {
  return ffn.gate.bytes() + ffn.up.bytes() + ffn.down.bytes();
}

std::int64_t bytes_of(const std::vector<float>& floats) {
  return static_cast<std::int64_t>(floats.size() * sizeof(float));
}

std::int64_t bytes_of(const Layer& l) {
  std::int64_t sum = bytes_of(l.attention_norm) + bytes_of(l.ffn_norm) + l.q_a.bytes() + bytes_of(l.q_norm) +
                     l.q_b.bytes() + l.kv_a.bytes() + bytes_of(l.kv_norm) + l.o.bytes() + bytes_of(l.ffn) +
                     l.router.bytes() + bytes_of(l.router_bias);
  for (const PackedMatrix& m : l.absorb) sum += m.bytes();
  for (const PackedMatrix& m : l.value_up) sum += m.bytes();
  for (const Ffn& expert : l.experts) sum += bytes_of(expert);
  return sum;
}

}  // namespace

Embedding::Embedding(std::vector<float> rows, std::int32_t hidden, WeightType type) : hidden_{hidden} {
  if (finer(type) == WeightType::fp32) {
    floats_ = std::move(rows);
    return;
  }
  halves_.reserve(rows.size());
  for (const float value : rows) halves_.push_back(kernels::cpu::to_bf16(value));
}

void Embedding::copy_row(std::int64_t token, float* to) const {
  const auto at = token * hidden_;
  if (!floats_.empty()) {
    std::copy_n(floats_.data() + at, hidden_, to);
    return;
  }
  for (std::int32_t i = 0; i < hidden_; ++i)
    to[i] = kernels::cpu::from_bf16(halves_[static_cast<std::size_t>(at + i)]);
}

std::int64_t Embedding::bytes() const {
  return bytes_of(floats_) + static_cast<std::int64_t>(halves_.size() * sizeof(std::uint16_t));
}

DecoderWeights::DecoderWeights(const profiles::ModelProfile& profile, const WeightSource& source,
                               WeightType type_in, bool with_mtp)
    : type{type_in},
      embedding{source.matrix("embedding", profile.vocab, profile.hidden,
                              std::sqrt(static_cast<double>(profile.hidden))),
                profile.hidden, type_in},
      final_norm{source.norm("final_norm", profile.hidden)} {
  const Loader loader{profile, source, type};
  for (std::int32_t i = 0; i < profile.layers; ++i) layers.push_back(loader.layer(i));
  head = loader.projection("head", profile.vocab, profile.hidden, kHeadGain);
  if (with_mtp) mtp = loader.mtp();
}

std::int64_t DecoderWeights::bytes() const {
  std::int64_t sum = embedding.bytes() + bytes_of(final_norm) + head.bytes();
  for (const Layer& l : layers) sum += bytes_of(l);
  if (mtp) {
    sum += bytes_of(mtp->embedding_norm) + bytes_of(mtp->hidden_norm) + mtp->join.bytes() +
           bytes_of(mtp->layer) + bytes_of(mtp->norm);
  }
  return sum;
}

}  // namespace dsbench::engine
