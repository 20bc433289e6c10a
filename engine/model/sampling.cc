#include "engine/model/sampling.h"

#include <cmath>
#include <vector>

#include "core/rng.h"

namespace dsbench::engine {

TokenId sample_token(std::span<const float> logits, float temperature, std::uint64_t seed,
                     std::int32_t position) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  if (!(temperature > 0)) return static_cast<TokenId>(best);

  std::vector<double> mass(logits.size());
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    mass[i] = std::exp((static_cast<double>(logits[i]) - static_cast<double>(logits[best])) /
                       static_cast<double>(temperature));
    total += mass[i];
  }
  const double at = Rng(seed, "sample", static_cast<std::uint64_t>(position)).uniform() * total;
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    sum += mass[i];
    if (at < sum) return static_cast<TokenId>(i);
  }
  return static_cast<TokenId>(best);  // only when rounding left `at` at the very end
}

}  // namespace dsbench::engine
