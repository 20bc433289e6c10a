#include "engine/executors/ngram_drafter.h"

#include <algorithm>

namespace dsbench::engine {

std::int32_t NgramDrafter::propose(std::span<const TokenId> before, std::span<const TokenId> newest,
                                   std::int32_t most, std::span<TokenId, max_drafts> guesses) {
  const auto size = static_cast<std::int32_t>(before.size() + newest.size());
  const auto at = [&](std::int32_t i) {
    const auto index = static_cast<std::size_t>(i);
    return index < before.size() ? before[index] : newest[index - before.size()];
  };
  // How many tokens that end at `end` are those that end the sequence.
  const auto match = [&](std::int32_t end) {
    std::int32_t n = 0;
    while (n < longest && n < end && at(end - 1 - n) == at(size - 1 - n)) ++n;
    return n;
  };
  std::int32_t best = 0;
  std::int32_t from = 0;
  for (std::int32_t end = size - 1; end > 0 && best < longest; --end) {
    if (const std::int32_t n = match(end); n > best) {
      best = n;
      from = end;
    }
  }
  if (best < shortest) return 0;
  const std::int32_t count = std::min({most, max_drafts, size - from});
  for (std::int32_t i = 0; i < count; ++i) guesses[static_cast<std::size_t>(i)] = at(from + i);
  return count;
}

}  // namespace dsbench::engine
