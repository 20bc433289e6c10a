#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/units.h"
#include "engine/admission/admission_control.h"
#include "engine/engine_stats.h"
#include "engine/executors/executor.h"
#include "engine/kv/block_pool.h"
#include "engine/kv/content_hash.h"
#include "engine/request.h"
#include "engine/scheduler/kv_policy.h"
#include "engine/scheduler/scheduler_config.h"
#include "engine/scheduler/waiting_queue.h"

namespace dsbench::engine {

// What happened to a sequence; the tag is what its owner gave to add().
struct SequenceEvent {
  enum class Kind : std::uint8_t { started, token, finished };
  Kind kind = Kind::token;
  FinishReason reason = FinishReason::stop;  // of finished
  TokenId token = 0;                         // of token
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;  // so far
  std::int32_t cached_tokens = 0;  // of the prompt, found in the prefix cache when it was first admitted
  SequenceId sequence = 0;
  std::uint64_t tag = 0;
};

// A request of which only the lengths matter (virtual time): it generates exactly output_tokens, no token is
// stored, and it has no item in the batch, only its share of the batch's sums.
struct Lengths {
  std::int32_t prompt_tokens = 1;
  std::int32_t output_tokens = 1;
  // One token event for the first token, one for the last, and one for every so many in between.
  std::int32_t report_every = 1;
  // What the prompt consists of, for the prefix cache; null: nothing that anybody else's prompt has.
  std::shared_ptr<const PrefixParts> parts = nullptr;
  std::int32_t attempt = 0;
  Caller caller = {};
};

// Continuous batching by one rule: every step hands out tokens so that each sequence's computed tokens catch
// up with its known ones (prompt and generated). There is no prefill phase and no decode phase; chunked
// prefill and recomputing after a preemption fall out of the rule. In the manner of vLLM V1.
//
// A pure function of its state and inputs: no clock (`now` is passed in), no thread, no chance. One step at a
// time: schedule(), then complete() or fail_step(). The other calls may come between any two, also while a
// step is out.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);  // one that check_config() accepts

  [[nodiscard]] Submitted add(GenerateRequest request, std::uint64_t tag, Nanos now);
  [[nodiscard]] Submitted add_lengths(Lengths lengths, std::uint64_t tag, Nanos now);
  // Frees at once what is not part of the step that is out; what is part of it ends with that step. Unknown
  // ids are ignored.
  void cancel(SequenceId id, std::vector<SequenceEvent>& events);
  // Ends the requests that have waited for their first admission for too long, and those that have expired
  // where that is asked for; of these, what is part of a step that is out is left to the next call.
  void expire(Nanos now, std::vector<SequenceEvent>& events);

  // The next step; see step_out(). Its spans hold until the step is completed.
  [[nodiscard]] const StepBatch& schedule(std::vector<SequenceEvent>& events);
  // Whether schedule() found something to do that is not completed yet.
  [[nodiscard]] bool step_out() const { return !plan_.empty(); }
  // sampled[i] is the successor of items[i] where it asked for one, drafts[i] what became of its drafts; no
  // drafts at all: none was accepted, and there are none for the next step.
  void complete(std::span<const TokenId> sampled, std::vector<SequenceEvent>& events,
                std::span<const DraftOutcome> drafts = {});
  // How long the step that is out took: call it before complete(). Overload control measures by it.
  void step_took(Nanos time);
  // The executor could not run the step: its sequences end as failed, the others go on.
  void fail_step(std::vector<SequenceEvent>& events);

  // A cut of capacity: so many blocks may not be handed out until fewer are asked for; 0 gives all back. Free
  // blocks go at once; the next schedule() preempts for the others, unless the policy is never to preempt:
  // then they go as sequences end. At least one block stays. A sequence that is larger than what is left ends
  // as failed when its turn comes, so that those behind it go on.
  void withhold_blocks(std::int32_t blocks);
  // Forgets every prefix that is cached. What runs keeps its blocks.
  void drop_cache();

  [[nodiscard]] bool has_work() const {
    return !running_.empty() || !preempted_.empty() || queue_.size() > 0;
  }
  // Ids of everything unfinished, oldest slot first.
  [[nodiscard]] std::vector<SequenceId> unfinished() const;
  [[nodiscard]] const EngineStats& stats() const { return stats_; }
  [[nodiscard]] const SchedulerConfig& config() const { return config_; }

  // Says which law is broken, empty when none is: every block free or owned once; added = waiting + running +
  // finished; nothing computed that is not known; nothing known beyond what was asked. Looks at everything:
  // for tests, after every step.
  [[nodiscard]] std::string check() const;

 private:
  using Slot = std::uint32_t;
  enum class State : std::uint8_t { free, queued, running, preempted };

  // What every step touches comes first and fits a cache line: a simulated fleet steps through hundreds of
  // thousands of these.
  struct alignas(64) Sequence {
    State state = State::free;
    std::uint8_t drafts = 0;  // guesses for the next step
    bool in_step : 1 = false;
    bool cancelled : 1 = false;  // while in_step
    bool lengths_only : 1 = false;
    bool expires : 1 = false;
    std::int32_t known = 0;     // prompt + generated
    std::int32_t computed = 0;  // of the known ones, from the front
    std::int32_t deepest = 0;   // the most that a preemption threw away: below it, computing is recomputing
    std::int32_t prompt = 0;
    std::int32_t max_tokens = 0;
    std::int32_t report_at = 0;    // output tokens that make the next token event
    std::uint32_t generation = 0;  // of the slot; the upper half of the id
    BlockTable blocks;             // covers the computed positions, and those of the step that is out
    std::uint64_t tag = 0;

    std::vector<TokenId> tokens;  // the known ones, unless only lengths matter
    std::uint64_t seed = 0;
    Nanos added{0};
    std::int64_t lost = 0;  // computed and thrown away, by preemptions and as rejected drafts
    std::array<TokenId, max_drafts> draft_tokens{};
    // Of the prefix cache.
    PrefixCache::Content content = PrefixCache::root;  // of the last block that the cache knows
    std::int32_t contents = 0;                         // blocks that it knows, from the front
    std::int32_t adopted = 0;                          // of `computed`, found and not computed here
    std::int32_t cached = 0;                           // found at the first admission
    std::uint64_t own = 0;                             // what tells its text from all others'
    std::shared_ptr<const PrefixParts> parts;
    std::int32_t min_tokens = 0;
    std::int32_t report_every = 1;
    float temperature = 0;
    bool ignore_eos = false;
    Caller caller;
  };

  struct Share {  // of a step
    Slot slot = 0;
    std::int32_t tokens = 0;  // known ones
    std::int32_t drafts = 0;  // guesses behind them
    bool sample = false;
  };

  // Cached blocks that a sequence could begin with.
  struct Prefix {
    BlockTable blocks;
    std::int32_t idle = 0;  // of them: they count as free
    PrefixCache::Content content = PrefixCache::root;
  };

  [[nodiscard]] SequenceId id_of(Slot slot) const {
    return (SequenceId{slots_[slot].generation} << 32) | slot;
  }
  [[nodiscard]] Submitted admit_to_queue(Sequence&& fresh, Nanos now);
  void count_attempt(std::int32_t attempt);
  [[nodiscard]] AdmissionControl::Load load(std::uint8_t tenant = 0) const;
  void expire_answers(Nanos now, std::vector<SequenceEvent>& events);
  [[nodiscard]] static KvShare kv_share(const Sequence& s) {
    return {s.prompt, s.known, s.computed, s.max_tokens, static_cast<std::int32_t>(s.blocks.size())};
  }
  void make_room(std::int32_t budget);
  void preempt(std::size_t index);
  [[nodiscard]] bool drop_drafts();
  [[nodiscard]] Share share_of(Slot slot, std::int32_t budget) const;
  [[nodiscard]] std::int64_t blocks_wanted(std::int32_t budget, std::int32_t steps_ahead) const;
  [[nodiscard]] std::int64_t blocks_promised() const;
  enum class Admission : std::uint8_t { admitted, has_to_wait, can_never_run };
  [[nodiscard]] Admission admit(Sequence& s, std::int32_t budget, std::int64_t& promised);
  void find_prefix(const Sequence& s);
  void remember_prefix(Sequence& s);
  void add_share(const Share& share);
  void book(Sequence& s, const Share& share, std::int32_t accepted);
  [[nodiscard]] bool is_eos(TokenId token) const;
  [[nodiscard]] std::int32_t accepted_by_law(const Sequence& s, std::int32_t drafts) const;
  [[nodiscard]] bool generate_all(const Share& share, std::int32_t accepted, TokenId token,
                                  std::vector<SequenceEvent>& events);
  [[nodiscard]] bool generate(Slot slot, TokenId token, std::vector<SequenceEvent>& events);
  void finish(Slot slot, FinishReason reason, std::vector<SequenceEvent>& events);
  void emit(SequenceEvent::Kind kind, Slot slot, std::vector<SequenceEvent>& events) const;
  void drop_finished();
  void count_gauges();

  SchedulerConfig config_;
  BlockPool pool_;
  KvPressure pressure_;
  std::int32_t watermark_ = 0;   // blocks
  Nanos now_{0};                 // the latest that was passed in
  Prefix prefix_;                // of the sequence that asks to be admitted
  std::vector<KvShare> shares_;  // what the policy is shown of who runs
  std::vector<Sequence> slots_;
  std::vector<Slot> free_slots_;
  std::vector<Slot> running_;    // in order of admission
  std::vector<Slot> preempted_;  // a stack: the front of the waiting queue is its back
  WaitingQueue queue_;           // never admitted yet; waits behind preempted_
  AdmissionControl admission_;
  std::int64_t admitted_ = 0;  // for the step at hand, for the first time
  std::int64_t expiring_ = 0;  // unfinished requests that have an expiry
  StepBatch batch_;
  std::vector<Share> plan_;  // the step that is out, all of it
  bool victims_ = false;     // the step that was scheduled last preempted
  std::int64_t added_ = 0;
  EngineStats stats_;
};

}  // namespace dsbench::engine
