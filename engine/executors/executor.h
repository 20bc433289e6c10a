#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::engine {

using TokenId = std::int32_t;
using SequenceId = std::uint64_t;

// One sequence's share of a step: compute `tokens`, which stand at positions start … start + tokens.size()
// − 1.
struct StepItem {
  SequenceId sequence = 0;
  std::span<const TokenId> tokens;
  std::int32_t start = 0;
  // Block table: position p lives in slot p % block_size of block blocks[p / block_size]. Covers all
  // positions of the item.
  std::span<const std::int32_t> blocks;
  bool sample = false;    // the last token of the item wants a successor
  float temperature = 0;  // 0 is greedy
  // Sampling is a function of (seed, position), so that a recomputed token is the same token.
  std::uint64_t seed = 0;
};

// One step: what the scheduler hands to an executor, and what the cost model charges for.
struct StepBatch {
  std::vector<StepItem> items;
  std::int64_t prefill_tokens = 0;  // tokens of items that compute more than one token, or compute prompt
  std::int64_t decode_tokens = 0;   // items that compute exactly their one newest generated token
  std::int64_t kv_tokens = 0;       // Σ over items of the context length after the step
};

// What a step costs and what it yields. Three of them: the CPU model (computes), the cost model under a real
// clock (sleeps), and the cost model in virtual time (only says how long). One thread at a time.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs the step. sampled[i] is the successor of items[i] where it asked for one; others are left alone.
  // sampled.size() == batch.items.size(). Returns how long the step took, by the executor's own notion of
  // time.
  virtual Result<Nanos> execute(const StepBatch& batch, std::span<TokenId> sampled) = 0;
  // For /v1/models, run files and bills: "tiny (cpu, fp32, seed 1)".
  [[nodiscard]] virtual std::string describe() const = 0;
};

}  // namespace dsbench::engine
