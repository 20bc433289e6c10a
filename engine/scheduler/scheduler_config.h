#pragma once

#include <cstdint>
#include <optional>

#include "core/units.h"

namespace dsbench::engine {

struct SchedulerConfig {
  std::int32_t block_size = 16;           // tokens per KV block
  std::int32_t blocks = 1024;             // in the pool
  std::int32_t max_running = 64;          // sequences in one step
  std::int32_t max_batched_tokens = 512;  // token budget of one step; longer prefills are chunked
  std::int32_t max_model_len = 4096;      // prompt + output of one sequence
  // Unbounded when absent, as vLLM long was.
  std::optional<std::int32_t> max_queued;   // requests waiting for their first admission; above it submit refuses
  std::optional<Nanos> queue_timeout;       // a request that waits longer without being admitted ends
  std::int32_t eos_token = -1;              // -1: the model has none
};

}  // namespace dsbench::engine
