#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "kernelbench/op.h"

// How long the contexts of a batch are.
namespace dsbench::kernelbench {

[[nodiscard]] WordSpec lengths_word();
// That a list has one length for each of `rows`, none negative and none above `most` (0: any).
[[nodiscard]] Result<void> check_lengths(const Problem& problem, std::int64_t rows, std::int64_t most);

struct LengthLaw {
  std::int64_t rows = 0;
  std::int64_t constant = 0;  // lengths = constant
  double mean = 0;            // lengths = normal
  double deviation = 0;
  std::int64_t least = 1;
  std::int64_t most = 0;
};
// Adversarial problems get, by turns, one less than the constant, none, one, and anything, in place of a law.
[[nodiscard]] std::vector<std::int64_t> make_lengths(const Problem& problem, const LengthLaw& law);

}  // namespace dsbench::kernelbench
