#include "engine/kv/prefix_cache.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <utility>

#include "engine/kv/content_hash.h"

namespace dsbench::engine {

PrefixCache::PrefixCache(std::int32_t blocks, int hash_bits)
    : mask_{hash_bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << hash_bits) - 1},
      blocks_(static_cast<std::size_t>(blocks)) {}

std::uint64_t PrefixCache::slot_of(Content parent, std::uint64_t hash) const {
  return mix(parent, hash) & mask_;
}

PrefixCache::Index PrefixCache::find_node(Content parent, const Key& key) const {
  const auto it = by_slot_.find(slot_of(parent, key.hash));
  for (Index i = it == by_slot_.end() ? none : it->second; i != none;
       i = nodes_[static_cast<std::size_t>(i)].next) {
    const Node& node = nodes_[static_cast<std::size_t>(i)];
    if (node.parent == parent && node.hash == key.hash && std::ranges::equal(node.tokens, key.tokens))
      return i;
  }
  return none;
}

std::optional<PrefixCache::Hit> PrefixCache::find(Content parent, const Key& key) const {
  const Index i = find_node(parent, key);
  if (i == none) return std::nullopt;
  const Node& node = nodes_[static_cast<std::size_t>(i)];
  return Hit{node.first_block, node.content};
}

PrefixCache::Content PrefixCache::add(std::int32_t block, Content parent, const Key& key) {
  assert(!holds(block));
  Index i = find_node(parent, key);
  if (i == none) {
    i = static_cast<Index>(nodes_.size());
    if (free_nodes_.empty()) {
      nodes_.emplace_back();
    } else {
      i = free_nodes_.back();
      free_nodes_.pop_back();
    }
    Node& node = nodes_[static_cast<std::size_t>(i)];
    node.content = ++contents_;
    node.parent = parent;
    node.slot = slot_of(parent, key.hash);
    node.hash = key.hash;
    node.tokens.assign(key.tokens.begin(), key.tokens.end());
    node.first_block = none;
    const auto [it, fresh] = by_slot_.try_emplace(node.slot, i);
    node.next = fresh ? none : std::exchange(it->second, i);
  }
  Node& node = nodes_[static_cast<std::size_t>(i)];
  Block& b = at(block);
  b.node = i;
  // Behind the first: what was found once is found again.
  if (node.first_block == none) {
    b.next_same = none;
    node.first_block = block;
  } else {
    b.next_same = std::exchange(at(node.first_block).next_same, block);
  }
  return node.content;
}

void PrefixCache::set_idle(std::int32_t block) {
  Block& b = at(block);
  assert(b.node != none && !b.idle);
  b.idle = true;
  b.idle_before = newest_;
  b.idle_after = none;
  (newest_ == none ? oldest_ : at(newest_).idle_after) = block;
  newest_ = block;
  ++idle_;
}

void PrefixCache::set_busy(std::int32_t block) {
  Block& b = at(block);
  assert(b.idle);
  b.idle = false;
  (b.idle_before == none ? oldest_ : at(b.idle_before).idle_after) = b.idle_after;
  (b.idle_after == none ? newest_ : at(b.idle_after).idle_before) = b.idle_before;
  --idle_;
}

void PrefixCache::forget(std::int32_t block) {
  Block& b = at(block);
  Node& node = nodes_[static_cast<std::size_t>(b.node)];
  Index* link = &node.first_block;
  while (*link != block) link = &at(*link).next_same;
  *link = b.next_same;
  if (node.first_block == none) {
    const auto it = by_slot_.find(node.slot);
    Index* with_slot = &it->second;
    while (*with_slot != b.node) with_slot = &nodes_[static_cast<std::size_t>(*with_slot)].next;
    *with_slot = node.next;
    if (it->second == none) by_slot_.erase(it);
    free_nodes_.push_back(b.node);
  }
  b.node = b.next_same = none;
}

std::int32_t PrefixCache::evict() {
  const std::int32_t block = oldest_;
  assert(block != none);
  set_busy(block);
  forget(block);
  return block;
}

void PrefixCache::drop(std::vector<std::int32_t>& freed) {
  while (idle_ > 0) freed.push_back(evict());
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    if (blocks_[b].node != none) forget(static_cast<std::int32_t>(b));
  }
}

}  // namespace dsbench::engine
