#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {

// What the prompts of a trace begin with, numbered: a piece's number stands for it and all before it, and
// equal beginnings have equal numbers. Counted once, so that what looks for common beginnings keeps what it
// knows of each in an array, instead of asking a table of millions of hashes again and again.
//
// Fewer than 2^32 pieces: more of them would not fit into memory beside their hashes.
class PromptIndex {
 public:
  explicit PromptIndex(const Trace& trace);

  // One more than the greatest number. Numbers begin at 1, in the order in which they are met.
  [[nodiscard]] std::size_t numbers() const { return numbers_; }
  // Of the row's pieces, the prompt's own end included.
  [[nodiscard]] std::span<const std::uint32_t> of(std::size_t row) const {
    return std::span{all_}.subspan(begin_[row], begin_[row + 1] - begin_[row]);
  }
  // Of the row's hashed blocks that the prompt fills.
  [[nodiscard]] std::span<const std::uint32_t> whole_blocks(std::size_t row) const;
  // The row's pieces, each with its number for its chain.
  void pieces(std::size_t row, std::vector<PromptPiece>& pieces) const;

 private:
  const Trace& trace_;
  std::vector<std::uint32_t> all_;
  std::vector<std::uint64_t> begin_;  // of each row in all_, and the end
  std::size_t numbers_ = 1;
};

}  // namespace dsbench::loadgen
