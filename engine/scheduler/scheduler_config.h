#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "engine/admission/overload_config.h"
#include "engine/scheduler/kv_policy.h"

namespace dsbench::engine {

// How the KV blocks are dealt with.
struct KvConfig {
  KvPolicy policy = KvPolicy::recompute_lifo;
  // Blocks, as a fraction of the pool, that admission leaves free while anything runs.
  double watermark = 0;
  // Admission wants room for all that a sequence has to compute, and not only for its first chunk.
  bool whole_sequence = false;
  bool prefix_cache = false;
  int prefix_hash_bits = 64;  // fewer only to test collisions
};

// Of requests of which only the lengths matter: drafts a step, and the chance of each that follows an
// accepted one to be accepted. Real requests get their drafts from the executor.
struct SpecConfig {
  std::int32_t drafts = 0;
  double acceptance = 0.7;
  // What the acceptance of all guesses was set to, where anybody set it: for /metrics and the step log, to
  // stand beside what is measured.
  std::optional<double> acceptance_set = std::nullopt;
};

struct SchedulerConfig {
  std::int32_t block_size = 16;  // tokens per KV block
  // In the pool. 4,096 tokens: some 60 chats of the tiny model, so that an overload presses on it as it does
  // in large engines.
  std::int32_t blocks = 256;
  std::int32_t max_running = 64;          // sequences in one step
  std::int32_t max_batched_tokens = 512;  // token budget of one step; longer prefills are chunked
  std::int32_t max_model_len = 4096;      // prompt + output of one sequence
  // Unbounded when absent, as vLLM long was.
  std::optional<std::int32_t>
      max_queued;                      // requests waiting for their first admission; above it submit refuses
  std::optional<Nanos> queue_timeout;  // a request that waits longer without being admitted ends
  std::int32_t eos_token = -1;         // -1: the model has none
  std::vector<std::int32_t> more_eos_tokens = {};  // that end an answer too

  KvConfig kv;
  SpecConfig spec;
  OverloadConfig overload;
};

// The longest prompt + max_tokens that a request may ask for: the model's context, or the whole block pool if
// that is smaller. A sequence within it can always run to its end alone, which is what rules a livelock out.
[[nodiscard]] constexpr std::int32_t longest_sequence(const SchedulerConfig& config) {
  const std::int64_t pool = std::int64_t{config.blocks} * config.block_size;
  return static_cast<std::int32_t>(std::min<std::int64_t>(config.max_model_len, pool));
}

// Refuses what no scheduler could run: a size below one, a timeout that is not positive.
[[nodiscard]] Result<void> check_config(const SchedulerConfig& config);

}  // namespace dsbench::engine
