#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/result.h"
#include "engine/executors/executor.h"
#include "engine/kernels/kv_type.h"
#include "engine/kernels/weight_type.h"
#include "engine/model/weights.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

struct CpuExecutorConfig {
  int threads = 1;  // includes the thread that calls execute()
  int blocks = 256;
  int block_size = 16;   // tokens
  int ngram_drafts = 0;  // guesses a step by looking up the prompt; 0: none
  kernels::WeightType weights = kernels::WeightType::fp32;
  bool pin = false;  // each thread on a processor of its own; there must be as many
  int mtp_drafts =
      0;  // guesses a step by the model's MTP module, which the source must have; 0: it is not loaded
  kernels::KvType kv = kernels::KvType::fp32;
  // Asked at every step: see Decoder::skew_experts(); null: 1.
  std::shared_ptr<const std::atomic<double>> expert_skew = {};
};

// The executor that really computes: a decoder and its latent cache. Greedy output is a function of (profile,
// weights, prompt) alone. The source is done with when it returns.
//
// Refuses (ErrorKind::memory) with the bill when weights and cache do not fit into what memory is available,
// before allocating anything. What a server needs to know beside it (end-of-sequence token, vocabulary,
// context) is in the profile.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_cpu_executor(const profiles::ModelProfile& profile,
                                                                  const WeightSource& weights,
                                                                  const CpuExecutorConfig& config);

}  // namespace dsbench::engine
