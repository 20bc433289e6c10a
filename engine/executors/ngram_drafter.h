#pragma once

#include <cstdint>
#include <span>

#include "engine/executors/executor.h"

namespace dsbench::engine {

// Guesses by looking up the prompt, as vLLM's `ngram` speculation does: what followed the last time that the
// newest few tokens stood there. The longest match counts, from `longest` tokens down to `shortest`, and of
// these the latest. Costs a look through the sequence and no model; right as often as texts repeat
// themselves.
class NgramDrafter {
 public:
  static constexpr std::int32_t longest = 4;
  static constexpr std::int32_t shortest = 2;

  // Guesses what follows `before` and then `newest`, at most `most` tokens. Returns how many.
  [[nodiscard]] static std::int32_t propose(std::span<const TokenId> before, std::span<const TokenId> newest,
                                            std::int32_t most, std::span<TokenId, max_drafts> guesses);
};

}  // namespace dsbench::engine
