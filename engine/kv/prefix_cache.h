#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace dsbench::engine {

// Which blocks hold which prefixes. A content is a full block's tokens behind another content (or behind
// nothing, `root`), so a chain of contents is a prefix. Found by hash and then compared, tokens with tokens
// and parent with parent: a collision costs a comparison and never gives a wrong block.
//
// Two blocks may hold the same content (two requests computed it at the same time): both stay, because a
// block table is only ever appended to. Blocks that nobody uses are idle, and are given up in the order in
// which they became so; whoever releases a sequence back to front gives its tail up first, as vLLM does.
class PrefixCache {
 public:
  using Content = std::uint64_t;  // never used again for another
  static constexpr Content root = 0;
  static constexpr Content unknown = ~Content{0};  // nothing can be found behind it

  // What a block holds. Without tokens (virtual time) the hash alone tells contents apart.
  struct Key {
    std::uint64_t hash = 0;
    std::span<const std::int32_t> tokens;
  };
  struct Hit {
    std::int32_t block = 0;
    Content content = root;
  };

  // Of the hash only so many bits are used: tests make collisions.
  explicit PrefixCache(std::int32_t blocks, int hash_bits = 64);

  [[nodiscard]] std::optional<Hit> find(Content parent, const Key& key) const;
  // The block, which is in use and holds nothing that is known yet, holds `key` behind `parent`.
  Content add(std::int32_t block, Content parent, const Key& key);

  [[nodiscard]] bool holds(std::int32_t block) const { return at(block).node != none; }
  [[nodiscard]] bool is_idle(std::int32_t block) const { return at(block).idle; }
  // Of a block that holds something.
  void set_idle(std::int32_t block);
  void set_busy(std::int32_t block);
  [[nodiscard]] std::int32_t idle() const { return idle_; }
  // Gives up the block that has been idle for longest; there must be one.
  [[nodiscard]] std::int32_t evict();
  // Forgets the contents of all blocks, idle or not. Empties the list of the idle ones first, into `freed`.
  void drop(std::vector<std::int32_t>& freed);

 private:
  using Index = std::int32_t;
  static constexpr Index none = -1;

  struct Node {
    Content content = root, parent = root;
    std::uint64_t slot = 0;  // key in nodes_by_slot_
    std::uint64_t hash = 0;
    std::vector<std::int32_t> tokens;
    Index first_block = none;
    Index next = none;  // with the same slot
  };
  struct Block {
    Index node = none;
    Index next_same = none;  // another block with the same content
    Index idle_before = none, idle_after = none;
    bool idle = false;
  };

  [[nodiscard]] const Block& at(std::int32_t block) const { return blocks_[static_cast<std::size_t>(block)]; }
  [[nodiscard]] Block& at(std::int32_t block) { return blocks_[static_cast<std::size_t>(block)]; }
  [[nodiscard]] Index find_node(Content parent, const Key& key) const;
  [[nodiscard]] std::uint64_t slot_of(Content parent, std::uint64_t hash) const;
  void forget(std::int32_t block);

  std::uint64_t mask_;
  std::vector<Block> blocks_;
  std::vector<Node> nodes_;
  std::vector<Index> free_nodes_;
  std::unordered_map<std::uint64_t, Index> by_slot_;
  Content contents_ = root;  // given out so far
  Index oldest_ = none, newest_ = none;
  std::int32_t idle_ = 0;
};

}  // namespace dsbench::engine
