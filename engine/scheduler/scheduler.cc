#include "engine/scheduler/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/rng.h"
#include "engine/executors/draft_law.h"

namespace dsbench::engine {

Result<void> check_config(const SchedulerConfig& config) {
  const auto at_least_one = [](std::string_view name, std::int64_t value) -> Result<void> {
    if (value >= 1) return {};
    return fail(ErrorKind::usage, "scheduler: {} is {}; it must be at least 1", name, value);
  };
  DSBENCH_CHECK(at_least_one("block_size", config.block_size));
  DSBENCH_CHECK(at_least_one("blocks", config.blocks));
  DSBENCH_CHECK(at_least_one("max_running", config.max_running));
  DSBENCH_CHECK(at_least_one("max_batched_tokens", config.max_batched_tokens));
  DSBENCH_CHECK(at_least_one("max_model_len", config.max_model_len));
  // A queue of none would refuse everything: every request passes through the queue on its way to its first
  // step.
  if (config.max_queued) DSBENCH_CHECK(at_least_one("max_queued", *config.max_queued));
  if (config.queue_timeout && *config.queue_timeout <= Nanos{0}) {
    return fail(ErrorKind::usage,
                "scheduler: queue_timeout is {} ns; it must be positive, or left out for none",
                config.queue_timeout->count());
  }
  if (!(config.kv.watermark >= 0 && config.kv.watermark < 1)) {
    return fail(ErrorKind::usage, "scheduler: kv_watermark is {}; it must be at least 0 and below 1",
                config.kv.watermark);
  }
  if (config.spec.drafts < 0 || config.spec.drafts > max_drafts) {
    return fail(ErrorKind::usage, "scheduler: spec_drafts is {}; it must be from 0 to {}", config.spec.drafts,
                max_drafts);
  }
  if (!(config.spec.acceptance >= 0 && config.spec.acceptance <= 1)) {
    return fail(ErrorKind::usage, "scheduler: spec_acceptance is {}; it must be from 0 to 1",
                config.spec.acceptance);
  }
  return check_overload(config.overload);
}

Scheduler::Scheduler(const SchedulerConfig& config)
    : config_{config},
      pool_{config.blocks, config.block_size, config.kv.prefix_cache, config.kv.prefix_hash_bits},
      pressure_{config.kv.policy},
      watermark_{static_cast<std::int32_t>(std::ceil(config.kv.watermark * config.blocks))},
      queue_{config.overload},
      admission_{config.overload, config.max_queued, config.max_running} {
  stats_.blocks_total = config.blocks;
}

// ---- in

Submitted Scheduler::add(GenerateRequest request, std::uint64_t tag, Nanos now) {
  Sequence fresh;
  fresh.prompt = static_cast<std::int32_t>(request.prompt.size());
  fresh.tokens = std::move(request.prompt);
  fresh.max_tokens = request.max_tokens;
  fresh.min_tokens = request.min_tokens;
  fresh.ignore_eos = request.ignore_eos;
  fresh.temperature = request.temperature;
  fresh.seed = request.seed;
  count_attempt(request.attempt);
  fresh.tag = tag;
  if (!request.account.empty()) fresh.caller.account = derive_seed(0, request.account);
  fresh.caller.priority = request.priority;
  const std::vector<TenantClass>& tenants = config_.overload.tenants;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    if (tenants[i].name == request.tenant) fresh.caller.tenant = static_cast<std::uint8_t>(i);
  }
  if (request.expiry) fresh.caller.expiry = *request.expiry;
  return admit_to_queue(std::move(fresh), now);
}

Submitted Scheduler::add_lengths(Lengths lengths, std::uint64_t tag, Nanos now) {
  Sequence fresh;
  fresh.prompt = lengths.prompt_tokens;
  fresh.max_tokens = lengths.output_tokens;
  fresh.lengths_only = true;
  fresh.ignore_eos = true;
  fresh.report_every = std::max(1, lengths.report_every);
  fresh.parts = std::move(lengths.parts);
  count_attempt(lengths.attempt);
  fresh.tag = tag;
  fresh.caller = lengths.caller;
  return admit_to_queue(std::move(fresh), now);
}

Submitted Scheduler::admit_to_queue(Sequence&& fresh, Nanos now) {
  if (fresh.prompt < 1 || fresh.max_tokens < 1) {
    return {SubmitStatus::too_long, 0,
            fmt::format("asked for {} prompt tokens and max_tokens {}; both must be at least 1", fresh.prompt,
                        fresh.max_tokens)};
  }
  const std::int32_t longest = longest_sequence(config_);
  if (std::int64_t{fresh.prompt} + fresh.max_tokens > longest) {
    return {
        SubmitStatus::too_long, 0,
        fmt::format(
            "asked for {} prompt tokens + {} max_tokens = {}; the longest sequence here is {} tokens ({})",
            fresh.prompt, fresh.max_tokens, std::int64_t{fresh.prompt} + fresh.max_tokens, longest,
            longest == config_.max_model_len ? "max_model_len" : "the whole KV block pool")};
  }
  assert(fresh.caller.tenant < std::max<std::size_t>(1, config_.overload.tenants.size()));
  if (auto refusal =
          admission_.enter(fresh.caller, fresh.prompt, fresh.max_tokens, load(fresh.caller.tenant), now)) {
    ++stats_.requests_refused;
    ++stats_.refused_by[static_cast<std::size_t>(refusal->cause)];
    return std::move(refusal->submitted);
  }
  if (fresh.caller.expiry == Nanos::max() && config_.overload.expire_after)
    fresh.caller.expiry = now + *config_.overload.expire_after;
  fresh.expires = fresh.caller.expiry != Nanos::max();
  if (fresh.expires) ++expiring_;
  // The spans of a step that is out survive this: moving a sequence leaves its tokens and blocks where they
  // are.
  static_assert(std::is_nothrow_move_constructible_v<Sequence>);
  Slot slot = static_cast<Slot>(slots_.size());
  if (free_slots_.empty()) {
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Sequence& s = slots_[slot];
  fresh.generation = s.generation + 1;
  fresh.blocks = std::move(s.blocks);  // empty, but it has room
  s = std::move(fresh);
  s.state = State::queued;
  s.known = s.prompt;
  s.report_at = 1;
  s.added = now;
  s.own = static_cast<std::uint64_t>(added_);
  queue_.push({.slot = slot,
               .prompt = s.prompt,
               .cost = s.prompt + s.max_tokens,
               .priority = s.caller.priority,
               .tenant = s.caller.tenant,
               .since = now});
  ++added_;
  count_gauges();
  return {SubmitStatus::accepted, id_of(slot), {}};
}

void Scheduler::count_attempt(std::int32_t attempt) {
  ++stats_.attempts;
  if (attempt > 0) ++stats_.retries;
}

// What the admission judges a caller of this class by.
AdmissionControl::Load Scheduler::load(std::uint8_t tenant) const {
  AdmissionControl::Load now;
  now.running = static_cast<std::int64_t>(running_.size() + preempted_.size());
  now.waiting = queue_.size();
  now.waiting_tokens = queue_.prompt_tokens();
  if (config_.overload.ttft_target) {
    const WaitingQueue::Ahead ahead = queue_.ahead_of(tenant);
    now.ahead = ahead.requests;
    now.backlog_tokens = ahead.prompt_tokens;
    for (const std::vector<Slot>* list : {&running_, &preempted_}) {
      for (const Slot slot : *list)
        now.backlog_tokens += std::max(0, slots_[slot].prompt - slots_[slot].computed);
    }
  }
  return now;
}

// ---- out

void Scheduler::emit(SequenceEvent::Kind kind, Slot slot, std::vector<SequenceEvent>& events) const {
  const Sequence& s = slots_[slot];
  SequenceEvent& event = events.emplace_back();
  event.kind = kind;
  event.prompt_tokens = s.prompt;
  event.output_tokens = s.known - s.prompt;
  event.cached_tokens = s.cached;
  event.sequence = id_of(slot);
  event.tag = s.tag;
}

// The caller takes the slot out of the list it is in.
void Scheduler::finish(Slot slot, FinishReason reason, std::vector<SequenceEvent>& events) {
  Sequence& s = slots_[slot];
  emit(SequenceEvent::Kind::finished, slot, events);
  events.back().reason = reason;
  ++stats_.requests_finished[static_cast<std::size_t>(reason)];
  if (reason == FinishReason::aborted || reason == FinishReason::queue_timeout ||
      reason == FinishReason::expired)
    stats_.abandoned_tokens += s.lost + s.computed - s.adopted;
  pool_.release(s.blocks);
  admission_.left(s.caller);
  if (s.expires) --expiring_;
  s.tokens = {};
  s.parts = nullptr;
  s.state = State::free;
  free_slots_.push_back(slot);
}

void Scheduler::cancel(SequenceId id, std::vector<SequenceEvent>& events) {
  const auto slot = static_cast<Slot>(id);
  if (slot >= slots_.size() || slots_[slot].state == State::free || id_of(slot) != id) return;
  Sequence& s = slots_[slot];
  if (s.in_step) {
    s.cancelled = true;
    return;
  }
  if (s.state == State::queued) queue_.erase(slot);
  if (s.state == State::running) std::erase(running_, slot);
  if (s.state == State::preempted) std::erase(preempted_, slot);
  finish(slot, FinishReason::aborted, events);
  count_gauges();
}

void Scheduler::expire(Nanos now, std::vector<SequenceEvent>& events) {
  now_ = now;
  for (const Slot slot : queue_.expire(now, config_.queue_timeout))
    finish(slot, FinishReason::queue_timeout, events);
  if (config_.overload.cancel_expired && expiring_ > 0) expire_answers(now, events);
  count_gauges();
}

void Scheduler::expire_answers(Nanos now, std::vector<SequenceEvent>& events) {
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    const Sequence& s = slots_[slot];
    if (s.state == State::free || s.in_step || s.caller.expiry > now) continue;
    if (s.state == State::queued) queue_.erase(slot);
    if (s.state == State::running) std::erase(running_, slot);
    if (s.state == State::preempted) std::erase(preempted_, slot);
    finish(slot, FinishReason::expired, events);
  }
}

// ---- the one rule

const StepBatch& Scheduler::schedule(std::vector<SequenceEvent>& events) {
  assert(!step_out());
  batch_.items.clear();
  batch_.prefill_tokens = batch_.decode_tokens = batch_.kv_tokens = 0;
  std::int32_t budget = config_.max_batched_tokens;
  if (!has_work()) pressure_.idle();
  make_room(budget);

  // What runs goes first, in order.
  for (const Slot slot : running_) {
    if (budget == 0) break;
    const Share share = share_of(slot, budget);
    Sequence& s = slots_[slot];
    [[maybe_unused]] const bool grown = pool_.grow(s.blocks, s.computed + share.tokens + share.drafts);
    assert(grown);
    add_share(share);
    budget -= share.tokens + share.drafts;
  }

  // Then who waits, in the queue's order, the preempted before the new. The head of the line blocks.
  // Nobody is let in by a step that has just thrown somebody out.
  admitted_ = 0;
  const std::int32_t most =
      std::min(config_.max_running, admission_.running_limit().value_or(config_.max_running));
  std::optional<std::int64_t> promised;
  while ((!victims_ || running_.empty()) && budget > 0 && running_.size() < static_cast<std::size_t>(most)) {
    const std::optional<Slot> next = preempted_.empty() ? queue_.next() : preempted_.back();
    if (!next) break;
    const Slot head = *next;
    Sequence& s = slots_[head];
    if (!promised) promised = blocks_promised();
    const Admission admission = admit(s, budget, *promised);
    if (admission == Admission::has_to_wait) break;
    if (s.state == State::queued) {
      queue_.admit(head);
      ++admitted_;
      if (admission == Admission::admitted) emit(SequenceEvent::Kind::started, head, events);
    } else {
      preempted_.pop_back();
    }
    if (admission == Admission::can_never_run) {
      finish(head, FinishReason::failed, events);
      continue;
    }
    s.state = State::running;
    running_.push_back(head);
    const Share share = share_of(head, budget);
    add_share(share);
    budget -= share.tokens;
  }
  assert(step_out() || !has_work());  // never idle with work at hand
  count_gauges();
  return batch_;
}

// What a sequence computes in a step with so much left of its budget: known tokens, and with the last of them
// its drafts, but none beyond its end.
Scheduler::Share Scheduler::share_of(Slot slot, std::int32_t budget) const {
  const Sequence& s = slots_[slot];
  Share share;
  share.slot = slot;
  share.tokens = std::min(s.known - s.computed, budget);
  share.sample = s.computed + share.tokens == s.known;
  if (s.drafts > 0 && share.sample) {
    share.drafts = std::min(
        {static_cast<std::int32_t>(s.drafts), budget - share.tokens, s.prompt + s.max_tokens - s.known - 1});
  }
  return share;
}

void Scheduler::add_share(const Share& share) {
  Sequence& s = slots_[share.slot];
  s.in_step = true;
  const std::int32_t tokens = share.tokens + share.drafts;
  const bool decodes = share.tokens == 1 && share.sample && s.computed >= s.prompt;
  (decodes ? batch_.decode_tokens : batch_.prefill_tokens) += tokens;
  batch_.kv_tokens += s.computed + tokens;
  plan_.push_back(share);
  if (s.drafts > 0) s.drafts = 0;
  if (s.lengths_only) return;
  s.tokens.insert(s.tokens.end(), s.draft_tokens.begin(), s.draft_tokens.begin() + share.drafts);
  StepItem& item = batch_.items.emplace_back();
  item.sequence = id_of(share.slot);
  item.tokens = {s.tokens.data() + s.computed, static_cast<std::size_t>(tokens)};
  item.start = s.computed;
  item.blocks = s.blocks;
  item.sample = share.sample;
  item.temperature = s.temperature;
  item.seed = s.seed;
  item.drafts = share.drafts;
  item.before = {s.tokens.data(), static_cast<std::size_t>(s.computed)};
  if (!share.sample) item.next = s.tokens[static_cast<std::size_t>(s.computed + tokens)];
}

// Into the ledger: positions below `deepest` are paid for the second time. Rejected drafts were computed, and
// nothing is left of them.
void Scheduler::book(Sequence& s, const Share& share, std::int32_t accepted) {
  const std::int32_t end = s.computed + share.tokens;
  stats_.computed_tokens += share.tokens + share.drafts;
  if (s.computed < s.deepest) stats_.recomputed_tokens += std::min(end, s.deepest) - s.computed;
  if (s.computed < s.prompt)
    stats_.prompt_tokens += std::max(0, std::min(end, s.prompt) - std::max(s.computed, s.deepest));
  if (s.expires && now_ > s.caller.expiry) stats_.expired_tokens += share.tokens + share.drafts;
  if (share.drafts > 0) {
    stats_.draft_tokens += share.drafts;
    stats_.accepted_drafts += accepted;
    stats_.tried_drafts += std::min(accepted + 1, share.drafts);
    s.lost += share.drafts - accepted;
  }
  s.computed = end + accepted;
}

void Scheduler::step_took(Nanos time) {
  assert(step_out());
  if (!admission_.wants_steps()) return;
  admission_.step(
      time,
      {.prompt_tokens = batch_.prefill_tokens, .decode_tokens = batch_.decode_tokens, .admitted = admitted_},
      load());
}

void Scheduler::complete(std::span<const TokenId> sampled, std::vector<SequenceEvent>& events,
                         std::span<const DraftOutcome> drafts) {
  assert(step_out());
  assert(sampled.size() == batch_.items.size());
  assert(drafts.empty() || drafts.size() == sampled.size());
  bool any_finished = false;
  std::size_t item = 0;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    // A fleet's other replicas have had the cache since this step was scheduled; fetching ahead saves a large
    // one some 15 %.
    constexpr std::size_t ahead = 8;
    if (i + ahead < plan_.size()) __builtin_prefetch(&slots_[plan_[i + ahead].slot], 1);
    const Share& share = plan_[i];
    Sequence& s = slots_[share.slot];
    const TokenId token = s.lengths_only ? 0 : sampled[item];
    const DraftOutcome* outcome = nullptr;
    if (!s.lengths_only) {
      if (!drafts.empty()) outcome = &drafts[item];
      ++item;
    }
    std::int32_t accepted = 0;
    if (share.drafts > 0) {
      accepted = s.lengths_only       ? accepted_by_law(s, share.drafts)
                 : outcome != nullptr ? outcome->accepted
                                      : 0;
      accepted = std::clamp(accepted, 0, share.drafts);
    }
    s.in_step = false;
    book(s, share, accepted);
    if (pool_.prefixes() != nullptr) remember_prefix(s);
    if (s.cancelled) {
      finish(share.slot, FinishReason::aborted, events);
      any_finished = true;
    } else if (share.sample) {
      if (generate_all(share, accepted, token, events)) {
        any_finished = true;
      } else if (outcome != nullptr && outcome->proposed > 0) {
        s.drafts = static_cast<std::uint8_t>(std::min(outcome->proposed, max_drafts));
        s.draft_tokens = outcome->tokens;
      } else if (s.lengths_only && config_.spec.drafts > 0) {
        s.drafts = static_cast<std::uint8_t>(config_.spec.drafts);
      }
    }
  }
  if (any_finished) drop_finished();
  plan_.clear();
  ++stats_.steps;
  count_gauges();
}

// The drafts of a request of which only the lengths matter: a function of the request and the position.
std::int32_t Scheduler::accepted_by_law(const Sequence& s, std::int32_t drafts) const {
  std::int32_t accepted = 0;
  while (accepted < drafts &&
         draft_is_right(s.own, std::int64_t{s.known} + accepted, config_.spec.acceptance)) {
    ++accepted;
  }
  return accepted;
}

// The accepted drafts and their successor; true when one of them was the last token.
bool Scheduler::generate_all(const Share& share, std::int32_t accepted, TokenId token,
                             std::vector<SequenceEvent>& events) {
  Sequence& s = slots_[share.slot];
  std::array<TokenId, max_drafts> right{};
  if (share.drafts > 0 && !s.lengths_only) {
    std::copy_n(s.tokens.begin() + s.known, accepted, right.begin());
    s.tokens.resize(static_cast<std::size_t>(s.known));
  }
  for (std::int32_t i = 0; i < accepted; ++i) {
    if (generate(share.slot, right[static_cast<std::size_t>(i)], events)) return true;
  }
  return generate(share.slot, token, events);
}

bool Scheduler::is_eos(TokenId token) const {
  const std::vector<std::int32_t>& more = config_.more_eos_tokens;
  return token == config_.eos_token || std::find(more.begin(), more.end(), token) != more.end();
}

// One more known token; true when it was the last.
bool Scheduler::generate(Slot slot, TokenId token, std::vector<SequenceEvent>& events) {
  Sequence& s = slots_[slot];
  if (!s.lengths_only) s.tokens.push_back(token);
  ++s.known;
  ++stats_.generated_tokens;
  const std::int32_t generated = s.known - s.prompt;
  const bool ends = !s.ignore_eos && generated >= s.min_tokens && is_eos(token);
  const bool last = ends || generated == s.max_tokens;
  if (last || generated == s.report_at) {
    emit(SequenceEvent::Kind::token, slot, events);
    events.back().token = token;
    s.report_at = generated + s.report_every;
  }
  if (last) finish(slot, ends ? FinishReason::stop : FinishReason::length, events);
  return last;
}

void Scheduler::fail_step(std::vector<SequenceEvent>& events) {
  assert(step_out());
  for (const Share& share : plan_) {
    Sequence& s = slots_[share.slot];
    s.in_step = false;
    finish(share.slot, s.cancelled ? FinishReason::aborted : FinishReason::failed, events);
  }
  drop_finished();
  plan_.clear();
  ++stats_.steps;
  count_gauges();
}

void Scheduler::drop_finished() {
  std::erase_if(running_, [&](Slot slot) { return slots_[slot].state == State::free; });
}

void Scheduler::count_gauges() {
  stats_.running = static_cast<std::int64_t>(running_.size());
  stats_.waiting = queue_.size() + static_cast<std::int64_t>(preempted_.size());
  stats_.running_limit = admission_.running_limit();
  stats_.blocks_used = pool_.used();
  stats_.blocks_withheld = pool_.withheld();
  if (const PrefixCache* prefixes = pool_.prefixes()) stats_.blocks_cached = prefixes->idle();
}

// ---- for shutting down, and for tests

std::vector<SequenceId> Scheduler::unfinished() const {
  std::vector<SequenceId> ids;
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].state != State::free) ids.push_back(id_of(slot));
  }
  return ids;
}

std::string Scheduler::check() const {
  std::vector<const BlockTable*> tables;
  std::int64_t alive = 0;
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    const Sequence& s = slots_[slot];
    tables.push_back(&s.blocks);
    if (s.state == State::free) continue;
    ++alive;
    const auto covered = static_cast<std::int64_t>(s.blocks.size()) * config_.block_size;
    if (const std::int32_t stored = static_cast<std::int32_t>(s.tokens.size());
        !s.lengths_only && (s.in_step ? stored < s.known : stored != s.known))
      return fmt::format("slot {}: {} tokens are stored, {} known", slot, stored, s.known);
    if (s.state != State::running && !s.blocks.empty())
      return fmt::format("waiting sequence in slot {} holds blocks", slot);
    if (s.computed > covered)
      return fmt::format("slot {}: {} computed in blocks for {}", slot, s.computed, covered);
    if (s.computed >= s.known)
      return fmt::format("slot {}: {} computed of {} known", slot, s.computed, s.known);
    if (s.known - s.prompt >= s.max_tokens) return fmt::format("slot {}: went on after max_tokens", slot);
    if (s.known >= longest_sequence(config_))
      return fmt::format("slot {}: outgrew the longest sequence", slot);
  }
  if (auto broken = pool_.check(tables); !broken.empty()) return broken;
  if (!pressure_.preempts() && stats_.preemptions > 0) return "a policy that never preempts did";
  std::int64_t finished = 0;
  for (const std::int64_t n : stats_.requests_finished) finished += n;
  const auto listed = static_cast<std::int64_t>(running_.size() + preempted_.size()) + queue_.size();
  if (alive != listed) return fmt::format("{} sequences alive, {} in the lists", alive, listed);
  if (added_ != alive + finished)
    return fmt::format("{} added, {} alive + {} finished", added_, alive, finished);
  if (running_.size() > static_cast<std::size_t>(config_.max_running)) return "more running than max_running";
  // Only what is running can be preempted, and the preempted come back before anybody new.
  if (running_.size() + preempted_.size() > static_cast<std::size_t>(config_.max_running))
    return "admitted too many";
  if (config_.max_queued && queue_.size() > *config_.max_queued) return "more queued than max_queued";
  if (auto broken = queue_.check(); !broken.empty()) return broken;
  return {};
}

}  // namespace dsbench::engine
