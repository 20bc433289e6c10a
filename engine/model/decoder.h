#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/executors/executor.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "engine/model/latent_cache.h"
#include "engine/model/weights.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

// What a step has settled for one of its items, so that what follows can be guessed.
struct SettledItem {
  std::int32_t right = 0;   // of its tokens, from the front: all but the drafts that turned out wrong
  TokenId next = -1;        // the token behind those; -1: nobody knows it yet
  std::int32_t wanted = 0;  // guesses at what follows `next`
};

// A decoder of the DeepSeek-V2/V3 family on the CPU: weights from a source in fp32, bf16 or int8,
// activations in fp32, attention absorbed, straight on the paged latent cache.
//
// A token's results depend on the tokens before it in its own sequence and on nothing else: the same bits
// whatever else is in the step, however the prompt was cut into chunks, in whatever blocks, on any number of
// threads (see kernel_table.h).
class Decoder {
 public:
  // The profile must have passed check_model_profile(). Takes a moment and all the memory of the bill; the
  // source is done with when it returns.
  Decoder(const profiles::ModelProfile& profile, const WeightSource& weights,
          const kernels::cpu::KernelTable& kernels = kernels::cpu::kernels(),
          kernels::WeightType type = kernels::WeightType::fp32, bool with_mtp = false);
  ~Decoder();

  [[nodiscard]] const profiles::ModelProfile& profile() const;
  [[nodiscard]] kernels::WeightType weight_type() const;
  // Weights that the last forward() had to read: each matrix once, and of the experts those that somebody
  // chose.
  [[nodiscard]] std::int64_t bytes_read() const;
  // What the weights take.
  [[nodiscard]] std::int64_t weight_bytes() const;

  // Computes the items and leaves their latents in the cache. `logits` becomes [rows that are wanted, vocab]:
  // of each item that samples its last known token's and its drafts', in order. In the last layer only what
  // leads to logits is computed beyond the latents, unless there is an MTP module to read the rest. One call
  // at a time.
  void forward(const StepBatch& batch, LatentCache& cache, kernels::cpu::ThreadPool& pool,
               std::vector<float>& logits);

  // Lets the MTP module guess behind the step that forward() has just computed, and leaves its latents of the
  // settled tokens in the layer behind the model's own (so the cache needs one more). outcomes[i].proposed
  // and .tokens are set where guesses are wanted; a guess beyond the first needs a slot in the item's blocks,
  // and is not made where that is missing.
  void draft(const StepBatch& batch, std::span<const SettledItem> settled, LatentCache& cache,
             kernels::cpu::ThreadPool& pool, std::span<DraftOutcome> outcomes);

  // From now on every token chooses its experts among so few that the busiest has `factor` times the mean
  // load or more; 1: as the gates have it.
  void skew_experts(double factor);

  // Of the last forward(): rows of the busiest expert over the mean of all experts, the mean over the MoE
  // layers; 0 when no row came to an expert.
  [[nodiscard]] double expert_imbalance() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dsbench::engine
