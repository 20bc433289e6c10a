#include "loadgen/traces/prompt_index.h"

#include <algorithm>
#include <utility>

namespace dsbench::loadgen {
namespace {

// Numbers for chains, by open addressing.
class Numbers {
 public:
  Numbers() : slots_(1024) {}
  [[nodiscard]] std::uint32_t given() const { return given_; }
  // Places for so many more, which then do not move.
  void make_room(std::size_t more) {
    while ((given_ + more) * 2 > slots_.size()) grow();
  }
  void fetch(std::uint64_t chain) const { __builtin_prefetch(&slots_[chain & (slots_.size() - 1)]); }
  std::uint32_t of(std::uint64_t chain) {
    Slot& slot = slots_[place(chain)];
    if (slot.chain == 0) slot = {chain, ++given_};
    return slot.number;
  }

 private:
  struct Slot {
    std::uint64_t chain = 0;  // 0: none
    std::uint32_t number = 0;
  };
  [[nodiscard]] std::size_t place(std::uint64_t chain) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = chain & mask;
    while (slots_[at].chain != 0 && slots_[at].chain != chain) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.chain != 0) slots_[place(slot.chain)] = slot;
    }
  }
  std::vector<Slot> slots_;
  std::uint32_t given_ = 0;
};

}  // namespace

PromptIndex::PromptIndex(const Trace& trace) : trace_{trace} {
  all_.reserve(trace.hashes.size() + trace.size());
  begin_.reserve(trace.size() + 1);
  begin_.push_back(0);
  Numbers numbers;
  std::vector<PromptPiece> row;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    prompt_pieces(trace, i, row);
    numbers.make_room(row.size());
    // Nearly every look at a large table waits for memory: a row's looks wait together.
    for (const PromptPiece& piece : row) numbers.fetch(piece.chain);
    for (const PromptPiece& piece : row) all_.push_back(numbers.of(piece.chain));
    begin_.push_back(all_.size());
  }
  numbers_ = std::size_t{numbers.given()} + 1;
}

std::span<const std::uint32_t> PromptIndex::whole_blocks(std::size_t row) const {
  const auto hashes = trace_.hashes_of(row).size();
  if (hashes == 0) return {};
  const auto filled = static_cast<std::size_t>(trace_.rows[row].input_tokens / trace_.block_tokens);
  return of(row).first(std::min(hashes, filled));
}

void PromptIndex::pieces(std::size_t row, std::vector<PromptPiece>& pieces) const {
  pieces.clear();
  const auto hashes = trace_.hashes_of(row).size();
  std::int32_t left = trace_.rows[row].input_tokens;
  for (const std::uint32_t number : of(row)) {
    const std::int32_t tokens = pieces.size() < hashes ? std::min(left, trace_.block_tokens) : left;
    pieces.push_back({number, tokens});
    left -= tokens;
  }
}

}  // namespace dsbench::loadgen
