#include "engine/kv/block_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace dsbench::engine {

BlockPool::BlockPool(std::int32_t blocks, std::int32_t block_size) : total_{blocks}, block_size_{block_size} {
  free_.reserve(static_cast<std::size_t>(blocks));
  for (std::int32_t b = blocks; b > 0; --b) free_.push_back(b - 1);
}

bool BlockPool::take(BlockTable& table, std::int32_t tokens) {
  const auto block_size = static_cast<std::size_t>(block_size_);
  const std::size_t missing = (static_cast<std::size_t>(tokens) + block_size - 1) / block_size - table.size();
  if (missing > free_.size()) return false;
  for (std::size_t i = 0; i < missing; ++i) {
    table.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void BlockPool::release(BlockTable& table) {
  free_.insert(free_.end(), table.rbegin(), table.rend());
  table.clear();
}

void BlockPool::withhold(std::int32_t blocks) {
  withhold_ = blocks;
  while (owed() < 0) {
    free_.push_back(withheld_.back());
    withheld_.pop_back();
  }
}

void BlockPool::settle(std::int32_t most) {
  for (std::int32_t n = std::min({owed(), free(), most}); n > 0; --n) {
    withheld_.push_back(free_.back());
    free_.pop_back();
  }
}

std::string BlockPool::check(std::span<const BlockTable* const> tables) const {
  std::vector<std::int32_t> owners(static_cast<std::size_t>(total_), 0);
  for (const std::int32_t b : free_) ++owners.at(static_cast<std::size_t>(b));
  for (const std::int32_t b : withheld_) ++owners.at(static_cast<std::size_t>(b));
  for (const BlockTable* table : tables) {
    for (const std::int32_t b : *table) ++owners.at(static_cast<std::size_t>(b));
  }
  for (std::size_t b = 0; b < owners.size(); ++b) {
    if (owners[b] != 1) return fmt::format("block {} has {} owners; exactly one is right", b, owners[b]);
  }
  return {};
}

}  // namespace dsbench::engine
