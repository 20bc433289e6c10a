#include "engine/model/weights.h"

#include <fmt/format.h>

#include <cmath>

#include "core/rng.h"

namespace dsbench::engine {

std::vector<float> DrawnWeights::uniform(std::string_view name, std::int64_t n, double low,
                                         double high) const {
  Rng rng(seed_, name);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = static_cast<float>(low + (high - low) * rng.uniform());
  return values;
}

std::vector<float> DrawnWeights::matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                        double gain) const {
  const double bound =
      gain * std::sqrt(3.0 / static_cast<double>(k));  // a uniform on ±√3·σ has standard deviation σ
  return uniform(name, n * k, -bound, bound);
}

std::vector<float> DrawnWeights::norm(std::string_view name, std::int64_t n) const {
  return uniform(name, n, 0.8, 1.2);
}

std::vector<float> DrawnWeights::correction_bias(std::string_view name, std::int64_t n) const {
  return uniform(name, n, -0.6, -0.4);
}

std::string DrawnWeights::describe() const {
  return fmt::format("seed {}", seed_);
}

}  // namespace dsbench::engine
