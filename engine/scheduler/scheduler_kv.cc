#include <algorithm>
#include <cassert>
#include <cstddef>

#include "engine/scheduler/scheduler.h"

// The scheduler's part that deals in KV blocks: who is admitted to them, who gives them back, who finds them
// again.
namespace dsbench::engine {
namespace {

// The block's tokens, or in virtual time what identifies them.
template <class Sequence>
PrefixCache::Key block_key(const Sequence& s, std::int32_t block, std::int32_t block_size) {
  const std::int32_t begin = block * block_size;
  if (s.lengths_only) {
    const std::span<const PrefixPart> parts = s.parts ? std::span{*s.parts} : std::span<const PrefixPart>{};
    return {hash_parts(parts, s.own, begin, begin + block_size), {}};
  }
  const std::span<const TokenId> tokens =
      std::span{s.tokens}.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(block_size));
  return {hash_tokens(tokens), tokens};
}

}  // namespace

// ---- giving back

// Preempts until what the step's running sequences need, and what is owed to a cut, is free. Drafts go before
// anybody does.
void Scheduler::make_room(std::int32_t budget) {
  victims_ = false;
  // A step's sequences take at most one block more than its tokens fill.
  const auto most = static_cast<std::int64_t>(running_.size()) + pool_.blocks_for(budget);
  if (pressure_.preempts() && (pool_.owed() > 0 || pool_.free() < most)) {
    while (!running_.empty()) {
      // The last one only has to get on: what it needs in the end may be all there is.
      const std::int32_t ahead = victims_ && running_.size() > 1 ? pressure_.steps_ahead() : 0;
      if (blocks_wanted(budget, ahead) + pool_.owed() <= pool_.free()) break;
      if (drop_drafts()) continue;
      shares_.clear();
      for (const Slot slot : running_) shares_.push_back(kv_share(slots_[slot]));
      preempt(pressure_.victim(shares_));
      victims_ = true;
    }
  }
  if (pool_.owed() > 0) pool_.settle(std::max<std::int64_t>(0, pool_.free() - blocks_promised()));
  shares_.clear();
  if (victims_) {
    for (const Slot slot : running_) shares_.push_back(kv_share(slots_[slot]));
  }
  if (!running_.empty() || victims_) pressure_.scheduled(shares_, victims_);
}

// Blocks that the step takes, and so many steps more.
std::int64_t Scheduler::blocks_wanted(std::int32_t budget, std::int32_t steps_ahead) const {
  std::int64_t wanted = 0;
  for (const Slot slot : running_) {
    if (budget == 0 && steps_ahead == 0) break;
    const Sequence& s = slots_[slot];
    const Share share = share_of(slot, budget);
    const std::int32_t end = std::min(s.computed + share.tokens + share.drafts + steps_ahead,
                                      std::max(s.prompt + s.max_tokens - 1, s.known));
    wanted += std::max(0, pool_.blocks_for(end) - static_cast<std::int32_t>(s.blocks.size()));
    budget -= share.tokens + share.drafts;
  }
  return wanted;
}

bool Scheduler::drop_drafts() {
  bool any = false;
  for (const Slot slot : running_) {
    any = any || slots_[slot].drafts > 0;
    slots_[slot].drafts = 0;
  }
  return any;
}

void Scheduler::preempt(std::size_t index) {
  const Slot slot = running_[index];
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  Sequence& s = slots_[slot];
  pool_.release(s.blocks);
  s.deepest = std::max(s.deepest, s.computed);
  s.lost += s.computed - s.adopted;
  s.computed = s.adopted = 0;
  s.content = PrefixCache::root;
  s.contents = 0;
  s.state = State::preempted;
  preempted_.push_back(slot);
  ++stats_.preemptions;
}

void Scheduler::withhold_blocks(std::int32_t blocks) {
  pool_.withhold(std::clamp(blocks, 0, pool_.total() - 1));
  if (pool_.owed() > 0) pool_.settle(std::max<std::int64_t>(0, pool_.free() - blocks_promised()));
  count_gauges();
}

// ---- being admitted

// Free blocks that running sequences are counted on to take yet.
std::int64_t Scheduler::blocks_promised() const {
  if (!pressure_.looks_ahead()) return 0;
  std::int64_t promised = 0;
  for (const Slot slot : running_) {
    const Sequence& s = slots_[slot];
    promised += std::max(
        0, pool_.blocks_for(pressure_.expected(kv_share(s))) - static_cast<std::int32_t>(s.blocks.size()));
  }
  return promised;
}

// Gives a sequence that waits its first blocks, if there is room for it by the policy's reckoning. Whoever is
// alone is let in with room for his first step: nobody is kept waiting for what nobody uses.
Scheduler::Admission Scheduler::admit(Sequence& s, std::int32_t budget, std::int64_t& promised) {
  const KvShare view = kv_share(s);
  if (pool_.blocks_for(pressure_.least(view)) > pool_.usable()) return Admission::can_never_run;
  prefix_.blocks.clear();
  prefix_.idle = 0;
  prefix_.content = PrefixCache::root;
  if (pool_.prefixes() != nullptr) find_prefix(s);
  const auto found = static_cast<std::int32_t>(prefix_.blocks.size());
  const std::int32_t cached = found * pool_.block_size();
  const std::int32_t first = std::min(s.known, cached + budget);
  std::int32_t asked = first;
  std::int64_t room = pool_.free() - pool_.owed();
  if (!running_.empty()) {
    asked = std::max(first, pressure_.asked(view, first));
    if (config_.kv.whole_sequence) asked = std::max(asked, s.known);
    room -= watermark_ + promised;
  }
  if (pool_.blocks_for(asked) - found + prefix_.idle > room) return Admission::has_to_wait;

  for (const std::int32_t block : prefix_.blocks) pool_.share(s.blocks, block);
  s.contents = found;
  s.content = prefix_.content;
  s.computed = s.adopted = cached;
  [[maybe_unused]] const bool grown = pool_.grow(s.blocks, first);
  assert(grown);
  if (pool_.prefixes() != nullptr) {
    if (s.state == State::queued) {
      s.cached = std::min(cached, s.prompt);
      stats_.prefix_queries += s.prompt;
      stats_.prefix_hits += s.cached;
    } else {
      stats_.recompute_avoided_tokens += std::min(cached, s.deepest);
    }
  }
  if (pressure_.looks_ahead()) {
    promised += std::max(0, pool_.blocks_for(pressure_.asked(kv_share(s), first)) -
                                static_cast<std::int32_t>(s.blocks.size()));
  }
  return Admission::admitted;
}

// ---- finding again

// The last known token is computed in any case, because its successor is wanted.
void Scheduler::find_prefix(const Sequence& s) {
  const PrefixCache& cache = *pool_.prefixes();
  const std::int32_t most = (s.known - 1) / pool_.block_size();
  for (std::int32_t block = 0; block < most; ++block) {
    const auto hit = cache.find(prefix_.content, block_key(s, block, pool_.block_size()));
    if (!hit) return;
    prefix_.blocks.push_back(hit->block);
    prefix_.content = hit->content;
    if (cache.is_idle(hit->block)) ++prefix_.idle;
  }
}

// Blocks that are full now can be found from now on.
void Scheduler::remember_prefix(Sequence& s) {
  if (s.content == PrefixCache::unknown) return;
  PrefixCache& cache = *pool_.prefixes();
  for (; (s.contents + 1) * pool_.block_size() <= s.computed; ++s.contents) {
    s.content = cache.add(s.blocks[static_cast<std::size_t>(s.contents)], s.content,
                          block_key(s, s.contents, pool_.block_size()));
  }
}

// What runs has lost the beginning of its chain, and adds nothing to it until it is admitted again.
void Scheduler::drop_cache() {
  pool_.drop_prefixes();
  for (const Slot slot : running_) slots_[slot].content = PrefixCache::unknown;
  count_gauges();
}

}  // namespace dsbench::engine
