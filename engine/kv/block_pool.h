#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/kv/prefix_cache.h"

namespace dsbench::engine {

// A sequence's blocks in order of position: position p lives in slot p % block_size of table[p / block_size].
using BlockTable = std::vector<std::int32_t>;

// A fixed array of KV blocks and the list of the free ones. It hands out numbers; the memory behind them is
// the executor's.
//
// With a prefix cache a block may be in several tables, and a block that is in none and holds a cached prefix
// is free like any other: it is handed out last, the one that has been idle for longest first.
class BlockPool {
 public:
  BlockPool(std::int32_t blocks, std::int32_t block_size, bool prefix_cache = false, int hash_bits = 64);

  // Makes `table` cover positions 0 … tokens-1. All or nothing: false, and nothing changed, when too few
  // blocks are free.
  [[nodiscard]] bool grow(BlockTable& table, std::int32_t tokens) {
    const auto covered = static_cast<std::int64_t>(table.size()) * block_size_;
    return tokens <= covered || take(table, tokens);  // most steps stay within the last block
  }
  // Takes all of the table's blocks back.
  void release(BlockTable& table);

  // A cut of capacity: so many blocks are to be out of use until fewer are asked for. What is free goes out
  // of use by settle(); the rest is owed.
  void withhold(std::int32_t blocks);
  // Takes up to `most` of the free blocks that are owed out of use.
  void settle(std::int64_t most);
  [[nodiscard]] std::int32_t owed() const { return withhold_ - static_cast<std::int32_t>(withheld_.size()); }
  [[nodiscard]] std::int32_t withheld() const { return static_cast<std::int32_t>(withheld_.size()); }

  // Null without a prefix cache.
  [[nodiscard]] PrefixCache* prefixes() { return prefixes_ ? &*prefixes_ : nullptr; }
  [[nodiscard]] const PrefixCache* prefixes() const { return prefixes_ ? &*prefixes_ : nullptr; }
  // Appends a block that holds a cached prefix, whoever else uses it.
  void share(BlockTable& table, std::int32_t block);
  void drop_prefixes();

  [[nodiscard]] std::int32_t total() const { return total_; }
  // What is left of them after the cut that was asked for.
  [[nodiscard]] std::int32_t usable() const { return total_ - withhold_; }
  [[nodiscard]] std::int32_t free() const {
    return static_cast<std::int32_t>(free_.size()) + (prefixes_ ? prefixes_->idle() : 0);
  }
  [[nodiscard]] std::int32_t used() const { return total_ - free() - withheld(); }
  [[nodiscard]] std::int32_t block_size() const { return block_size_; }
  [[nodiscard]] std::int32_t blocks_for(std::int32_t tokens) const {
    return static_cast<std::int32_t>((std::int64_t{tokens} + block_size_ - 1) / block_size_);
  }

  // Conservation: each block is free, idle, withheld or in `tables`, which are all there are; in exactly one
  // of them without a prefix cache, and with one in as many as were counted. Says what is broken; empty when
  // nothing is. Looks at every block: for tests.
  [[nodiscard]] std::string check(std::span<const BlockTable* const> tables) const;

 private:
  [[nodiscard]] bool take(BlockTable& table, std::int32_t tokens);
  [[nodiscard]] std::int32_t take_one();

  std::int32_t total_;
  std::int32_t block_size_;
  std::vector<std::int32_t> free_;  // a stack: what was freed last is warm, and goes out first
  std::int32_t withhold_ = 0;       // asked to be out of use
  std::vector<std::int32_t> withheld_;
  std::optional<PrefixCache> prefixes_;
  std::vector<std::int32_t> users_;  // by block: tables that have it; empty without a prefix cache
};

}  // namespace dsbench::engine
