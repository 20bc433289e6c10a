#include "engine/kv/block_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace dsbench::engine {

BlockPool::BlockPool(std::int32_t blocks, std::int32_t block_size, bool prefix_cache, int hash_bits)
    : total_{blocks}, block_size_{block_size} {
  free_.reserve(static_cast<std::size_t>(blocks));
  for (std::int32_t b = blocks; b > 0; --b) free_.push_back(b - 1);
  if (!prefix_cache) return;
  prefixes_.emplace(blocks, hash_bits);
  users_.assign(static_cast<std::size_t>(blocks), 0);
}

std::int32_t BlockPool::take_one() {
  if (free_.empty()) return prefixes_->evict();
  const std::int32_t block = free_.back();
  free_.pop_back();
  return block;
}

bool BlockPool::take(BlockTable& table, std::int32_t tokens) {
  const std::int32_t missing = blocks_for(tokens) - static_cast<std::int32_t>(table.size());
  if (missing > free()) return false;
  for (std::int32_t i = 0; i < missing; ++i) {
    table.push_back(take_one());
    if (prefixes_) users_[static_cast<std::size_t>(table.back())] = 1;
  }
  return true;
}

void BlockPool::share(BlockTable& table, std::int32_t block) {
  if (users_[static_cast<std::size_t>(block)]++ == 0) prefixes_->set_busy(block);
  table.push_back(block);
}

void BlockPool::release(BlockTable& table) {
  if (!prefixes_) {
    free_.insert(free_.end(), table.rbegin(), table.rend());
    table.clear();
    return;
  }
  for (; !table.empty(); table.pop_back()) {
    const std::int32_t block = table.back();
    if (--users_[static_cast<std::size_t>(block)] > 0) continue;
    if (prefixes_->holds(block)) {
      prefixes_->set_idle(block);
    } else {
      free_.push_back(block);
    }
  }
}

void BlockPool::withhold(std::int32_t blocks) {
  withhold_ = blocks;
  while (owed() < 0) {
    free_.push_back(withheld_.back());
    withheld_.pop_back();
  }
}

void BlockPool::settle(std::int64_t most) {
  for (auto n = std::min<std::int64_t>({owed(), free(), most}); n > 0; --n) withheld_.push_back(take_one());
}

void BlockPool::drop_prefixes() {
  if (prefixes_) prefixes_->drop(free_);
}

std::string BlockPool::check(std::span<const BlockTable* const> tables) const {
  std::vector<std::int32_t> places(static_cast<std::size_t>(total_), 0);
  for (const std::int32_t b : free_) ++places.at(static_cast<std::size_t>(b));
  for (const std::int32_t b : withheld_) ++places.at(static_cast<std::size_t>(b));
  std::vector<std::int32_t> users(static_cast<std::size_t>(total_), 0);
  for (const BlockTable* table : tables) {
    for (const std::int32_t b : *table) ++users.at(static_cast<std::size_t>(b));
  }
  std::int32_t idle = 0;
  for (std::int32_t b = 0; b < total_; ++b) {
    const auto at = static_cast<std::size_t>(b);
    if (prefixes_) {
      if (prefixes_->is_idle(b)) {
        ++idle;
        ++places[at];
      }
      if (users[at] != users_[at])
        return fmt::format("block {} is in {} tables and counted in {}", b, users[at], users_[at]);
      if (places[at] > 0 && !prefixes_->is_idle(b) && prefixes_->holds(b))
        return fmt::format("block {} is free and holds a prefix", b);
      users[at] = std::min(users[at], 1);
    }
    if (const std::int32_t owners = places[at] + users[at]; owners != 1)
      return fmt::format("block {} has {} owners; exactly one is right", b, owners);
  }
  if (prefixes_ && idle != prefixes_->idle())
    return fmt::format("{} blocks are idle and {} are counted", idle, prefixes_->idle());
  return {};
}

}  // namespace dsbench::engine
