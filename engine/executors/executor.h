#pragma once

#include <array>
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
  // The last so many of `tokens` are guesses at what comes next, to be verified. With any, `sample` is set.
  std::int32_t drafts = 0;
  std::span<const TokenId> before = {};  // the sequence's tokens at positions 0 … start − 1
  // The known token behind the last of `tokens`, which is for a later step to compute; -1: that one is what
  // the item samples.
  TokenId next = -1;
};

// One step: what the scheduler hands to an executor, and what the cost model charges for.
struct StepBatch {
  std::vector<StepItem> items;
  std::int64_t prefill_tokens = 0;  // tokens of items that compute more than one token, or compute prompt
  std::int64_t decode_tokens =
      0;                       // items that compute exactly their one newest generated token; its drafts too
  std::int64_t kv_tokens = 0;  // Σ over items of the context length after the step
};

constexpr std::int32_t max_drafts = 4;

// What became of an item's drafts, and what the executor guesses to follow the item's successor.
struct DraftOutcome {
  std::int32_t accepted = 0;  // of its drafts, from the front; its successor follows the last accepted one
  std::int32_t proposed = 0;
  std::array<TokenId, max_drafts> tokens{};
};

// What an executor knows of its last step beside its duration.
struct StepReport {
  std::vector<DraftOutcome> drafts;  // of each item; empty: nothing was verified or proposed
  // Rows of the busiest expert over the mean of all experts, the mean over the MoE layers; 0: not known.
  double expert_imbalance = 0;
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
  [[nodiscard]] virtual const StepReport& report() const {
    static const StepReport nothing;
    return nothing;
  }
  // For /v1/models, run files and bills: "tiny (cpu, fp32, seed 1)".
  [[nodiscard]] virtual std::string describe() const = 0;
};

}  // namespace dsbench::engine
