#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/units.h"
#include "engine/admission/refusal_cause.h"
#include "engine/request.h"

namespace dsbench::engine {

// A snapshot. Counters run from the engine's start.
//
// The ledger of token compute: every computed token is counted once in computed_tokens. Of these,
// recomputed_tokens had been computed before and were thrown away by a preemption (recompute tax = recomputed
// / computed), and abandoned_tokens belong to requests that were later cancelled (they are booked at the
// moment of the cancel, all of that request's at once).
struct EngineStats {
  std::int64_t running = 0;
  std::int64_t waiting = 0;  // preempted ones included
  // How many may run now, where that is adaptive.
  std::optional<std::int64_t> running_limit;
  std::int64_t blocks_total = 0;
  std::int64_t blocks_used = 0;
  std::int64_t blocks_withheld = 0;  // out of use by a cut of capacity
  std::int64_t steps = 0;
  std::int64_t preemptions = 0;
  std::int64_t requests_finished[kFinishReasons] = {};  // by FinishReason
  std::int64_t requests_refused = 0;                    // not let in, for whatever cause but the length
  std::int64_t refused_by[kRefusalCauses] = {};         // by RefusalCause
  std::int64_t prompt_tokens = 0;                       // computed for the first time
  std::int64_t generated_tokens = 0;                    // handed to listeners
  std::int64_t recomputed_tokens = 0;                   // computed again after a preemption
  std::int64_t computed_tokens = 0;                     // all token compute: prefill + decode + recompute
  std::int64_t abandoned_tokens = 0;  // token compute spent on requests that were then cancelled
  std::int64_t expired_tokens = 0;    // token compute after the moment when the answer was of no use
  std::int64_t attempts = 0;          // requests that came, refused ones included …
  std::int64_t retries = 0;           // … and those of them that were not the caller's first attempt
  // Of the prefix cache, in tokens: asked for and found by requests at their first admission.
  std::int64_t prefix_queries = 0;
  std::int64_t prefix_hits = 0;
  std::int64_t recompute_avoided_tokens = 0;  // that a preempted sequence found again
  std::int64_t blocks_cached = 0;             // that hold a prefix and nobody uses: they count as free
  std::int64_t draft_tokens = 0;              // guesses that were verified …
  std::int64_t accepted_drafts = 0;           // … and turned out right
  // Of the verified guesses those that stood behind right ones only: accepted ÷ these is the chance that a
  // guess is right, which is what an acceptance is set to.
  std::int64_t tried_drafts = 0;
  std::optional<double> acceptance_set = std::nullopt;  // see SpecConfig
  // Sum over the steps that routed to experts of: rows of the busiest expert ÷ mean of all.
  double expert_imbalance = 0;
  std::int64_t expert_steps = 0;
  Nanos busy{0};  // time inside steps

  EngineStats& operator+=(const EngineStats& other) {
    running += other.running;
    waiting += other.waiting;
    blocks_total += other.blocks_total;
    blocks_used += other.blocks_used;
    blocks_withheld += other.blocks_withheld;
    steps += other.steps;
    preemptions += other.preemptions;
    for (std::size_t i = 0; i < kFinishReasons; ++i) requests_finished[i] += other.requests_finished[i];
    requests_refused += other.requests_refused;
    for (std::size_t i = 0; i < kRefusalCauses; ++i) refused_by[i] += other.refused_by[i];
    if (other.running_limit) running_limit = running_limit.value_or(0) + *other.running_limit;
    prompt_tokens += other.prompt_tokens;
    generated_tokens += other.generated_tokens;
    recomputed_tokens += other.recomputed_tokens;
    computed_tokens += other.computed_tokens;
    abandoned_tokens += other.abandoned_tokens;
    expired_tokens += other.expired_tokens;
    attempts += other.attempts;
    retries += other.retries;
    prefix_queries += other.prefix_queries;
    prefix_hits += other.prefix_hits;
    recompute_avoided_tokens += other.recompute_avoided_tokens;
    blocks_cached += other.blocks_cached;
    draft_tokens += other.draft_tokens;
    accepted_drafts += other.accepted_drafts;
    tried_drafts += other.tried_drafts;
    if (other.acceptance_set) acceptance_set = other.acceptance_set;
    expert_imbalance += other.expert_imbalance;
    expert_steps += other.expert_steps;
    busy += other.busy;
    return *this;
  }
};

}  // namespace dsbench::engine
