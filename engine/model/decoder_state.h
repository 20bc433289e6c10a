#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/kernels/cpu/gate.h"
#include "engine/model/activations.h"
#include "engine/model/decoder.h"
#include "engine/model/decoder_weights.h"

// What a decoder is made of, for its own files only: decoder.cc (a step), decoder_layer.cc (a layer),
// decoder_draft.cc (the module of multi-token prediction).
namespace dsbench::engine {

// One token of the step.
struct DecoderRow {
  std::int32_t item = 0;
  std::int32_t position = 0;
  std::int64_t slot = 0;      // in the pool of a layer
  std::int32_t rope_row = 0;  // whose cosines and sines are its own
};

// Part of a job of matrix products: some panels of c = a·wᵀ; with a second product of the same shape, c =
// silu(c)·c2.
struct ProductUnit {
  kernels::cpu::GemmArgs first;
  kernels::cpu::GemmArgs second;  // w null: none
};

struct Decoder::State {
  State(const profiles::ModelProfile& profile_in, const WeightSource& source,
        const kernels::cpu::KernelTable& kernels_in, kernels::WeightType type, bool with_mtp);

  void forward(const StepBatch& batch, LatentCache& cache, kernels::cpu::ThreadPool& pool,
               std::vector<float>& logits);
  void draft(const StepBatch& batch, std::span<const SettledItem> settled, LatentCache& cache,
             kernels::cpu::ThreadPool& pool, std::span<DraftOutcome> outcomes);

  // Of a step.
  void lay_out(const StepBatch& batch);
  void add_row(const StepItem& item, std::int32_t item_index, std::int32_t position, std::int32_t rope_row);
  void turn_row(std::int32_t rope_row, std::int32_t position);
  void keep_marked_rows();
  void note_expert_load();
  void skew_experts(double factor);

  // Of a layer: x += attention(h), x += ffn(norm(x)), h = next_norm(x); latents go to `layer_index` of the
  // cache. With `cut` only the marked rows go on behind their latents. False: none were left.
  bool run_layer(const Layer& layer, LatentCache& cache, std::int32_t layer_index, const StepBatch& batch,
                 kernels::cpu::ThreadPool& pool, bool cut, const std::vector<float>& next_norm);
  void attend(const Layer& layer, LatentCache& cache, std::int32_t layer_index, const StepBatch& batch,
              kernels::cpu::ThreadPool& pool, bool cut);
  void attend_unit(const Layer& layer, const LatentCache& cache, std::int32_t layer_index,
                   const StepBatch& batch, std::int32_t begin, std::int32_t end, int thread);
  void choose_experts(const Layer& layer, std::int32_t r);
  void feed_forward(const Layer& layer, kernels::cpu::ThreadPool& pool);
  void finish_gated(std::int32_t wide, bool moe, kernels::cpu::ThreadPool& pool);
  void add_product(const kernels::cpu::GemmArgs& first, const kernels::cpu::GemmArgs& second,
                   kernels::cpu::ThreadPool& pool);
  void run_products(kernels::cpu::ThreadPool& pool);
  // f(row, thread) for every row, at least `at_least` rows to a unit.
  template <class F>
  void for_rows(kernels::cpu::ThreadPool& pool, std::int32_t at_least, const F& f) {
    const std::int32_t share = std::max(at_least, rows() / (pool.threads() * 4) + 1);
    pool.run((rows() + share - 1) / share, [&](int unit, int thread) {
      const std::int32_t end = std::min((unit + 1) * share, rows());
      for (std::int32_t r = unit * share; r < end; ++r) f(r, thread);
    });
  }

  // Of a draft.
  void join(kernels::cpu::ThreadPool& pool);
  void guess(kernels::cpu::ThreadPool& pool);

  [[nodiscard]] std::int32_t rows() const { return static_cast<std::int32_t>(rows_.size()); }

  profiles::ModelProfile p;
  const kernels::cpu::KernelTable& kernels;
  DecoderWeights weights;
  kernels::GateConfig gate_config_;
  std::vector<double> frequencies;
  float rope_scale = 1;
  float scale = 1;
  double expert_skew_ = 1;       // see Decoder::skew_experts()
  std::vector<float> hot_bias_;  // [experts]; empty: none is hot
  std::vector<float> bias_;      // [experts]: with the layer's own

  // Of the current step. Rows are the tokens of the step; in the last layer, those that sample.
  std::vector<DecoderRow> rows_;
  std::vector<std::uint8_t> marked_;  // [rows]: what comes of this row is wanted
  std::int32_t block_size_ = 1;
  std::vector<ProductUnit> units_;
  std::int64_t bytes_read_ = 0;      // of weights, by this step
  kernels::cpu::FloatBuffer x_;      // residual stream [rows, hidden]
  Activations h_;                    // normalised input of a block [rows, hidden]
  kernels::cpu::FloatBuffer rope_;   // [all tokens, rope]: cosine, sine of each pair
  Activations q_latent_;             // [rows, q_lora]
  kernels::cpu::FloatBuffer kv_;     // [all tokens, kv_lora + rope]
  kernels::cpu::FloatBuffer q_;      // [rows, heads·(nope + rope)]
  Activations heads_;                // [rows, heads·v]
  kernels::cpu::FloatBuffer block_;  // what a block adds [rows, hidden]
  Activations gate_;                 // [rows, intermediate]
  kernels::cpu::FloatBuffer up_;
  kernels::cpu::FloatBuffer router_;     // [rows, experts]
  std::vector<std::int32_t> chosen_;     // [rows, top_k]
  std::vector<float> chosen_weight_;     // [rows, top_k]
  std::vector<std::int32_t> pair_of_;    // [rows, top_k]: place in the arrays below
  std::vector<std::int32_t> pair_row_;   // [rows·top_k], by expert
  std::vector<std::int32_t> expert_at_;  // [experts + 1]: first pair of each
  bool notes_load_ = true;               // the model's own layers do, the guessing module does not
  double expert_imbalance_ = 0;          // sum over the MoE layers of busiest ÷ mean
  std::int32_t expert_layers_ = 0;
  Activations pair_gate_;  // [rows·top_k, expert intermediate]
  kernels::cpu::FloatBuffer pair_up_;
  kernels::cpu::FloatBuffer pair_out_;              // [rows·top_k, hidden]
  std::vector<kernels::cpu::FloatBuffer> scratch_;  // per thread

  // Of the MTP module.
  kernels::cpu::FloatBuffer hidden_;    // [all tokens, hidden]: what the head reads
  std::vector<std::int32_t> item_row_;  // [items]: first row of each among all tokens
  Activations joined_;                  // [rows, 2·hidden]
  kernels::cpu::FloatBuffer carried_;   // [rows, hidden]: hidden_ of the rows that are guessed behind
  std::vector<TokenId> next_;           // [rows]: the token behind each
  std::vector<TokenId> guesses_;        // [rows]
  std::vector<float> draft_logits_;
};

}  // namespace dsbench::engine
