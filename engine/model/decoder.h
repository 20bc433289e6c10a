#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/executors/executor.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "engine/model/latent_cache.h"
#include "engine/model/weights.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

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
          kernels::WeightType type = kernels::WeightType::fp32);
  ~Decoder();

  [[nodiscard]] const profiles::ModelProfile& profile() const;
  [[nodiscard]] kernels::WeightType weight_type() const;
  // Weights that the last forward() had to read: each matrix once, and of the experts those that somebody
  // chose.
  [[nodiscard]] std::int64_t bytes_read() const;
  // What the weights take.
  [[nodiscard]] std::int64_t weight_bytes() const;

  // Computes the items and leaves their latents in the cache. `logits` becomes [items that sample, vocab], in
  // the order of the items. In the last layer only what leads to logits is computed beyond the latents. One
  // call at a time.
  void forward(const StepBatch& batch, LatentCache& cache, kernels::cpu::ThreadPool& pool,
               std::vector<float>& logits);

  // Of the last forward(): rows of the busiest expert over the mean of all experts, the mean over the MoE
  // layers; 0 when no row came to an expert.
  [[nodiscard]] double expert_imbalance() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dsbench::engine
