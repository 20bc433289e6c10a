#include <algorithm>

#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/model/decoder_state.h"

namespace dsbench::engine {

using kernels::cpu::FloatBuffer;
using kernels::cpu::GemmArgs;
using kernels::cpu::kPanel;
using kernels::cpu::ThreadPool;

namespace {

constexpr std::int32_t kAttentionRows = 8;  // rows that share one reading of the absorption matrices
constexpr std::int64_t kSmallestUnit = 1
                                       << 16;  // multiply-adds below which splitting costs more than it saves

std::int64_t rounded_up(std::int64_t n) {
  return (n + kPanel - 1) / kPanel * kPanel;
}

}  // namespace

// Cuts a product into units by its output columns, so that each weight is read once.
void Decoder::State::add_product(const GemmArgs& first, const GemmArgs& second, ThreadPool& pool) {
  if (first.m == 0) return;
  bytes_read_ += kernels::cpu::packed_bytes(first.type, first.n, first.k);
  if (second.w != nullptr) bytes_read_ += kernels::cpu::packed_bytes(second.type, second.n, second.k);
  std::int32_t at_once = first.panel_end;
  if (pool.threads() > 1) {
    const std::int64_t per_panel = std::int64_t{first.m} * first.k * kPanel;
    const std::int64_t share = first.panel_end / (pool.threads() * 4) + 1;
    at_once = static_cast<std::int32_t>(std::max(share, kSmallestUnit / per_panel + 1));
    at_once += at_once % 2;  // the kernels take panels in twos and more
  }
  for (std::int32_t begin = 0; begin < first.panel_end; begin += at_once) {
    ProductUnit unit{first, second};
    unit.first.panel_begin = unit.second.panel_begin = begin;
    unit.first.panel_end = unit.second.panel_end = std::min(begin + at_once, first.panel_end);
    units_.push_back(unit);
  }
}

void Decoder::State::run_products(ThreadPool& pool) {
  pool.run(static_cast<int>(units_.size()), [this](int index, int) {
    const ProductUnit& unit = units_[static_cast<std::size_t>(index)];
    kernels.gemm(unit.first);
    if (unit.second.w == nullptr) return;
    kernels.gemm(unit.second);
    const std::int32_t begin = unit.first.panel_begin * kPanel;
    const std::int32_t count = std::min(unit.first.panel_end * kPanel, unit.first.n) - begin;
    for (std::int64_t m = 0; m < unit.first.m; ++m) {
      kernels.swiglu(unit.first.c + m * unit.first.ldc + begin, unit.second.c + m * unit.second.ldc + begin,
                     count);
    }
  });
  units_.clear();
}

void Decoder::State::attend(const Layer& layer, LatentCache& cache, std::int32_t layer_index,
                            const StepBatch& batch, ThreadPool& pool, bool cut) {
  const std::int32_t width = p.latent_width();
  const std::int64_t q_out = std::int64_t{p.heads} * p.qk_dim();
  const auto float_eps = static_cast<float>(p.rms_eps);
  kv_.grow(std::int64_t{rows()} * width);
  q_latent_.shape(rows(), std::max(p.q_lora, 1), weights.type);
  q_.grow(std::int64_t{rows()} * q_out);
  heads_.shape(rows(), p.heads * p.v_dim, weights.type);
  block_.grow(std::int64_t{rows()} * p.hidden);

  const auto norm_query = [&](std::int32_t r) {
    float* q = q_latent_.row(r);
    kernels.rms_norm(q, layer.q_norm.data(), float_eps, p.q_lora, q);
    q_latent_.finish(kernels, r);
  };
  // Latents of all rows; queries of those that go on.
  const auto query_latent = [&] {
    if (p.q_lora > 0) add_product(layer.q_a.times(h_.from(0), rows(), q_latent_.row(0), p.q_lora), {}, pool);
  };
  add_product(layer.kv_a.times(h_.from(0), rows(), kv_.data(), width), {}, pool);
  if (!cut) query_latent();
  run_products(pool);
  for_rows(pool, 8, [&](std::int32_t r, int) {
    float* kv = kv_.data() + std::int64_t{r} * width;
    kernels.rms_norm(kv, layer.kv_norm.data(), float_eps, p.kv_lora, kv);
    const float* turn = rope_.data() + std::int64_t{rows_[static_cast<std::size_t>(r)].rope_row} * p.rope_dim;
    for (std::int32_t i = 0; i < p.rope_dim; i += 2) {
      const float a = kv[p.kv_lora + i];
      const float b = kv[p.kv_lora + i + 1];
      kv[p.kv_lora + i] = a * turn[i] - b * turn[i + 1];
      kv[p.kv_lora + i + 1] = a * turn[i + 1] + b * turn[i];
    }
    cache.write(kernels, layer_index, rows_[static_cast<std::size_t>(r)].slot, kv);
    if (!cut && p.q_lora > 0) norm_query(r);
  });
  if (cut) {
    keep_marked_rows();
    if (rows() == 0) return;
    query_latent();
    run_products(pool);
    if (p.q_lora > 0) {
      for (std::int32_t r = 0; r < rows(); ++r) norm_query(r);
    }
  }
  add_product(layer.q_b.times(p.q_lora > 0 ? q_latent_.from(0) : h_.from(0), rows(), q_.data(), q_out), {},
              pool);
  run_products(pool);

  const std::int32_t at_once = std::clamp(rows() / (pool.threads() * 2), 1, kAttentionRows);
  pool.run((rows() + at_once - 1) / at_once, [&](int unit, int thread) {
    attend_unit(layer, cache, layer_index, batch, unit * at_once, std::min((unit + 1) * at_once, rows()),
                thread);
  });
  for (const auto* halves : {&layer.absorb, &layer.value_up}) {
    for (const kernels::cpu::PackedMatrix& half : *halves) bytes_read_ += half.bytes();
  }
  add_product(layer.o.times(heads_.from(0), rows(), block_.data(), p.hidden), {}, pool);
  run_products(pool);
}

// Attention of the rows [begin, end): absorbs the keys into the queries, attends run by run (rows of one
// sequence that follow each other share their keys), and takes the values up.
void Decoder::State::attend_unit(const Layer& layer, const LatentCache& cache, std::int32_t layer_index,
                                 const StepBatch& batch, std::int32_t begin, std::int32_t end, int thread) {
  const kernels::KvLayout& layout = cache.layout();
  const std::int32_t width = p.latent_width();
  const std::int32_t count = end - begin;
  const std::int64_t q_out = std::int64_t{p.heads} * p.qk_dim();
  const std::int64_t query_floats = rounded_up(std::int64_t{kAttentionRows} * p.heads * width);
  const std::int64_t mixed_floats = rounded_up(std::int64_t{kAttentionRows} * p.heads * p.kv_lora);
  FloatBuffer& buffer = scratch_[static_cast<std::size_t>(thread)];
  buffer.grow(query_floats + mixed_floats +
              kernels::cpu::attention_scratch(kAttentionRows, p.heads, width, layout.type));
  float* query = buffer.data();         // [count, heads, width]
  float* mixed = query + query_floats;  // [count, heads, kv_lora]
  float* scratch = mixed + mixed_floats;
  const float* q = q_.data() + begin * q_out;

  for (std::int32_t head_index = 0; head_index < p.heads; ++head_index) {
    kernels.gemm(layer.absorb[static_cast<std::size_t>(head_index)].times(
        q + std::int64_t{head_index} * p.qk_dim(), q_out, count, query + std::int64_t{head_index} * width,
        std::int64_t{p.heads} * width));
  }
  for (std::int32_t r = 0; r < count; ++r) {
    const float* turn =
        rope_.data() + std::int64_t{rows_[static_cast<std::size_t>(begin + r)].rope_row} * p.rope_dim;
    for (std::int32_t head_index = 0; head_index < p.heads; ++head_index) {
      const float* from = q + r * q_out + std::int64_t{head_index} * p.qk_dim() + p.nope_dim;
      float* to = query + (std::int64_t{r} * p.heads + head_index) * width + p.kv_lora;
      for (std::int32_t i = 0; i < p.rope_dim; i += 2) {
        to[i] = from[i] * turn[i] - from[i + 1] * turn[i + 1];
        to[i + 1] = from[i] * turn[i + 1] + from[i + 1] * turn[i];
      }
    }
  }
  for (std::int32_t r = 0; r < count;) {
    const DecoderRow& first = rows_[static_cast<std::size_t>(begin + r)];
    std::int32_t run = 1;
    while (r + run < count && rows_[static_cast<std::size_t>(begin + r + run)].item == first.item) ++run;
    const StepItem& item = batch.items[static_cast<std::size_t>(first.item)];
    kernels.attention({.q = query + std::int64_t{r} * p.heads * width,
                       .out = mixed + std::int64_t{r} * p.heads * p.kv_lora,
                       .queries = run,
                       .heads = p.heads,
                       .kv_lora = p.kv_lora,
                       .width = width,
                       .first_position = first.position,
                       .scale = scale,
                       .cache = cache.layer(layer_index),
                       .blocks = item.blocks.data(),
                       .block_size = block_size_,
                       .scratch = scratch,
                       .kv_type = layout.type,
                       .slot_bytes = layout.slot_bytes,
                       .scales_at = layout.scales_at,
                       .rope_at = layout.rope_at});
    r += run;
  }
  for (std::int32_t head_index = 0; head_index < p.heads; ++head_index) {
    kernels.gemm(layer.value_up[static_cast<std::size_t>(head_index)].times(
        mixed + std::int64_t{head_index} * p.kv_lora, std::int64_t{p.heads} * p.kv_lora, count,
        heads_.row(begin) + std::int64_t{head_index} * p.v_dim, std::int64_t{p.heads} * p.v_dim));
  }
  for (std::int32_t r = begin; r < end; ++r) heads_.finish(kernels, r);
}

// Rounds what goes down to int8, where it is wanted: whole rows, which no unit of the products before has.
void Decoder::State::finish_gated(std::int32_t wide, bool moe, ThreadPool& pool) {
  if (weights.type != kernels::WeightType::int8) return;
  const std::int32_t plain = wide > 0 ? rows() : 0;
  const std::int32_t all = plain + (moe ? static_cast<std::int32_t>(pair_row_.size()) : 0);
  const std::int32_t share = std::max(8, all / (pool.threads() * 4) + 1);
  pool.run((all + share - 1) / share, [&](int unit, int) {
    for (std::int32_t i = unit * share; i < std::min((unit + 1) * share, all); ++i) {
      if (i < plain) {
        gate_.finish(kernels, i);
      } else {
        pair_gate_.finish(kernels, i - plain);
      }
    }
  });
}

// x += block(h), where h and, for MoE, the chosen experts are already there.
void Decoder::State::feed_forward(const Layer& layer, ThreadPool& pool) {
  const std::int32_t wide = layer.ffn.gate.n();  // 0: MoE without shared experts
  gate_.shape(rows(), std::max(wide, 1), weights.type);
  up_.grow(std::int64_t{rows()} * std::max(wide, 1));
  const bool moe = !layer.experts.empty();
  const std::int32_t top_k = p.moe.top_k;
  const std::int32_t narrow = p.moe.intermediate;
  const auto first_pair = [this](std::size_t expert) { return expert_at_[expert]; };
  const auto pairs_of = [this](std::size_t expert) { return expert_at_[expert + 1] - expert_at_[expert]; };
  if (moe) {
    // Sort the (row, expert) pairs by expert, so that an expert's weights are read once for all its rows.
    const std::size_t pairs = static_cast<std::size_t>(rows()) * static_cast<std::size_t>(top_k);
    expert_at_.assign(static_cast<std::size_t>(p.moe.experts) + 1, 0);
    for (std::size_t i = 0; i < pairs; ++i) ++expert_at_[static_cast<std::size_t>(chosen_[i]) + 1];
    for (std::size_t e = 0; e < static_cast<std::size_t>(p.moe.experts); ++e)
      expert_at_[e + 1] += expert_at_[e];
    note_expert_load();
    std::vector<std::int32_t> next(expert_at_.begin(), expert_at_.end() - 1);
    pair_of_.resize(pairs);
    pair_row_.resize(pairs);
    for (std::size_t i = 0; i < pairs; ++i) {
      const std::int32_t place = next[static_cast<std::size_t>(chosen_[i])]++;
      pair_of_[i] = place;
      pair_row_[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(i) / top_k;
    }
    pair_gate_.shape(static_cast<std::int64_t>(pairs), narrow, weights.type);
    pair_up_.grow(static_cast<std::int64_t>(pairs) * narrow);
    pair_out_.grow(static_cast<std::int64_t>(pairs) * p.hidden);
  }
  if (wide > 0) {
    add_product(layer.ffn.gate.times(h_.from(0), rows(), gate_.row(0), wide),
                layer.ffn.up.times(h_.from(0), rows(), up_.data(), wide), pool);
  }
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    if (pairs_of(e) == 0) continue;
    const std::int32_t first = first_pair(e);
    GemmArgs gate = layer.experts[e].gate.times(h_.from(0), pairs_of(e), pair_gate_.row(first), narrow);
    GemmArgs up = layer.experts[e].up.times(h_.from(0), pairs_of(e),
                                            pair_up_.data() + std::int64_t{first} * narrow, narrow);
    gate.rows = up.rows = pair_row_.data() + first_pair(e);
    add_product(gate, up, pool);
  }
  run_products(pool);
  finish_gated(wide, moe, pool);
  if (wide > 0) add_product(layer.ffn.down.times(gate_.from(0), rows(), block_.data(), p.hidden), {}, pool);
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    if (pairs_of(e) == 0) continue;
    add_product(
        layer.experts[e].down.times(pair_gate_.from(first_pair(e)), pairs_of(e),
                                    pair_out_.data() + std::int64_t{first_pair(e)} * p.hidden, p.hidden),
        {}, pool);
  }
  run_products(pool);
}

// The experts of one row, from its normalised input.
void Decoder::State::choose_experts(const Layer& layer, std::int32_t r) {
  const auto experts = static_cast<std::size_t>(p.moe.experts);
  const auto top_k = static_cast<std::size_t>(p.moe.top_k);
  float* scores = router_.data() + std::int64_t{r} * (2 * p.moe.experts + p.moe.groups);
  kernels.gemm(layer.router.times(h_.row(r), p.hidden, 1, scores, p.moe.experts));
  const std::size_t at = static_cast<std::size_t>(r) * top_k;
  kernels::cpu::gate(kernels, gate_config_, {scores, experts}, hot_bias_.empty() ? layer.router_bias : bias_,
                     {scores + experts, experts + static_cast<std::size_t>(p.moe.groups)},
                     {chosen_.data() + at, top_k}, {chosen_weight_.data() + at, top_k});
}

bool Decoder::State::run_layer(const Layer& layer, LatentCache& cache, std::int32_t layer_index,
                               const StepBatch& batch, ThreadPool& pool, bool cut,
                               const std::vector<float>& next_norm) {
  const auto eps = static_cast<float>(p.rms_eps);
  const std::int64_t hidden = p.hidden;
  const std::int32_t top_k = p.moe.top_k;
  attend(layer, cache, layer_index, batch, pool, cut);
  if (rows() == 0) return false;
  const bool moe = !layer.experts.empty();
  if (moe) {
    bytes_read_ += layer.router.bytes();
    const std::size_t pairs = static_cast<std::size_t>(rows()) * static_cast<std::size_t>(top_k);
    chosen_.resize(pairs);
    chosen_weight_.resize(pairs);
    router_.grow(std::int64_t{rows()} * (2 * p.moe.experts + p.moe.groups));
    if (!hot_bias_.empty()) {
      bias_ = hot_bias_;
      for (std::size_t e = 0; e < layer.router_bias.size(); ++e) bias_[e] += layer.router_bias[e];
    }
  }
  for_rows(pool, 4, [&](std::int32_t r, int) {
    float* x = x_.data() + r * hidden;
    const float* attended = block_.data() + r * hidden;
    for (std::int64_t j = 0; j < hidden; ++j) x[j] += attended[j];
    kernels.rms_norm(x, layer.ffn_norm.data(), eps, p.hidden, h_.row(r));
    h_.finish(kernels, r);
    if (moe) choose_experts(layer, r);
  });
  feed_forward(layer, pool);
  const bool whole = layer.ffn.gate.n() > 0;
  for_rows(pool, 4, [&](std::int32_t r, int) {
    float* x = x_.data() + r * hidden;
    if (whole) {
      const float* add = block_.data() + r * hidden;
      for (std::int64_t j = 0; j < hidden; ++j) x[j] += add[j];
    }
    for (std::int32_t e = 0; moe && e < top_k; ++e) {  // best first: an order of the row's own
      const std::size_t at =
          static_cast<std::size_t>(r) * static_cast<std::size_t>(top_k) + static_cast<std::size_t>(e);
      const float weight = chosen_weight_[at];
      const float* add = pair_out_.data() + std::int64_t{pair_of_[at]} * hidden;
      for (std::int64_t j = 0; j < hidden; ++j) x[j] += weight * add[j];
    }
    kernels.rms_norm(x, next_norm.data(), eps, p.hidden, h_.row(r));
    h_.finish(kernels, r);
  });
  return true;
}

}  // namespace dsbench::engine
