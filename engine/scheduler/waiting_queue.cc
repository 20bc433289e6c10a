#include "engine/scheduler/waiting_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace dsbench::engine {

WaitingQueue::WaitingQueue(const OverloadConfig& config)
    : order_{config.order}, codel_target_{config.codel_target}, standing_after_{config.standing} {
  for (const TenantClass& tenant : config.tenants) {
    Class& c = classes_.emplace_back();
    c.rank = tenant.rank;
    c.weight = tenant.weight;
  }
  if (classes_.empty()) classes_.emplace_back();
}

WaitingQueue::Key WaitingQueue::key_of(const Node& node) const {
  const std::int32_t first = order_ == QueueOrder::shortest_prompt ? node.entry.prompt : node.entry.priority;
  return {first, node.number, node.entry.slot};
}

void WaitingQueue::push(const Entry& entry) {
  assert(entry.tenant < classes_.size());
  if (entry.slot >= nodes_.size()) nodes_.resize(entry.slot + 1);
  Node& node = nodes_[entry.slot];
  assert(!node.in);
  Class& c = classes_[entry.tenant];
  if (size_ == 0) filled_at_ = entry.since;
  // A class that had nobody waiting has not saved up a claim on the past.
  if (c.head == none) c.virtual_time = std::max(c.virtual_time, system_time_);
  node.entry = entry;
  node.number = ++arrivals_;
  node.in = true;
  node.following = none;
  node.previous = c.tail;
  (c.tail == none ? c.head : nodes_[c.tail].following) = entry.slot;
  c.tail = entry.slot;
  if (indexed()) c.index.insert(key_of(node));
  ++size_;
  prompt_tokens_ += entry.prompt;
  ++c.waiting.requests;
  c.waiting.prompt_tokens += entry.prompt;
}

void WaitingQueue::erase(Slot slot) {
  Node& node = nodes_[slot];
  assert(node.in);
  Class& c = classes_[node.entry.tenant];
  if (indexed()) c.index.erase(key_of(node));
  (node.previous == none ? c.head : nodes_[node.previous].following) = node.following;
  (node.following == none ? c.tail : nodes_[node.following].previous) = node.previous;
  node.in = false;
  --size_;
  prompt_tokens_ -= node.entry.prompt;
  --c.waiting.requests;
  c.waiting.prompt_tokens -= node.entry.prompt;
  if (size_ == 0) standing_ = false;
}

void WaitingQueue::admit(Slot slot) {
  const Entry& entry = nodes_[slot].entry;
  Class& c = classes_[entry.tenant];
  system_time_ = c.virtual_time;
  c.virtual_time += static_cast<double>(entry.cost) / c.weight;
  erase(slot);
}

const WaitingQueue::Class* WaitingQueue::chosen_class() const {
  const Class* best = nullptr;
  for (const Class& c : classes_) {
    if (c.head == none) continue;
    if (best == nullptr || c.rank < best->rank ||
        (c.rank == best->rank && c.virtual_time < best->virtual_time)) {
      best = &c;
    }
  }
  return best;
}

std::optional<WaitingQueue::Slot> WaitingQueue::next() const {
  const Class* const c = chosen_class();
  if (c == nullptr) return std::nullopt;
  switch (order_) {
    case QueueOrder::shortest_prompt:
    case QueueOrder::priority:
      return std::get<Slot>(*c->index.begin());
    case QueueOrder::adaptive_lifo:
      return standing_ ? c->tail : c->head;
    case QueueOrder::fcfs:
      break;
  }
  return c->head;
}

std::vector<WaitingQueue::Slot> WaitingQueue::expire(Nanos now, std::optional<Nanos> timeout) {
  standing_ = size_ > 0 && now - filled_at_ > standing_after_;
  std::optional<Nanos> longest = timeout;
  if (standing_ && codel_target_) longest = longest ? std::min(*longest, *codel_target_) : *codel_target_;
  std::vector<Slot> out;
  if (!longest) return out;
  for (Class& c : classes_) {
    while (c.head != none && now - nodes_[c.head].entry.since > *longest) {
      out.push_back(c.head);
      erase(c.head);
    }
  }
  return out;
}

WaitingQueue::Ahead WaitingQueue::ahead_of(std::uint8_t tenant) const {
  Ahead ahead;
  for (const Class& c : classes_) {
    if (c.rank > classes_[tenant].rank) continue;
    ahead.requests += c.waiting.requests;
    ahead.prompt_tokens += c.waiting.prompt_tokens;
  }
  return ahead;
}

std::string WaitingQueue::check() const {
  std::int64_t linked = 0, tokens = 0;
  for (const Class& c : classes_) {
    std::int64_t here = 0;
    for (Slot slot = c.head; slot != none; slot = nodes_[slot].following) {
      const Node& node = nodes_[slot];
      if (!node.in) return fmt::format("slot {} is linked and not in the queue", slot);
      if (node.previous != none && nodes_[node.previous].number > node.number)
        return fmt::format("slot {} stands before one that came earlier", slot);
      if (indexed() && !c.index.contains(key_of(node)))
        return fmt::format("slot {} is not in the index", slot);
      ++here;
      tokens += node.entry.prompt;
    }
    if (indexed() && static_cast<std::int64_t>(c.index.size()) != here) return "the index holds others";
    linked += here;
  }
  if (linked != size_) return fmt::format("{} linked in the queue, {} counted", linked, size_);
  if (tokens != prompt_tokens_)
    return fmt::format("{} prompt tokens in the queue, {} counted", tokens, prompt_tokens_);
  return {};
}

}  // namespace dsbench::engine
