#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// Byte-level byte-pair encoding: a vocabulary, and which neighbours become one token, the most important
// first.
class Bpe {
 public:
  using Id = std::int32_t;

  // `vocabulary` and `merges` in the characters of byte_level.h. Every byte must have a token, and every
  // merge and its result too.
  [[nodiscard]] static Result<Bpe> make(std::vector<std::pair<std::string, Id>> vocabulary,
                                        const std::vector<std::pair<std::string, std::string>>& merges,
                                        bool ignore_merges);

  // Appends the tokens of one piece of text. In time O(n log n): pieces can be as long as the text.
  void encode(std::string_view piece, std::vector<Id>& out) const;

 private:
  struct Merge {
    std::int32_t rank = 0;
    Id id = 0;
  };
  static std::uint64_t key(Id left, Id right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }
  std::unordered_map<std::string, Id> whole_;  // bytes → token; only to ignore merges
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::vector<Id> of_byte_;  // [256]
  bool ignore_merges_ = false;
};

}  // namespace dsbench::profiles
