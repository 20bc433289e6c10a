#include "engine/model/foretold_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/rng.h"

namespace dsbench::engine {
namespace {

// Of a foretold token's embedding, as a unit vector, in the head's row of its successor. The rest of the row
// is kHeadGain long, so this is what decides; more would let these rows answer each other's embeddings.
constexpr double kForetoldGain = 12;
// How much of the module's input is a random view of the model's output, beside 1 of the embedding.
constexpr double kViewGain = 1;
// Each layer adds about as much to the residual stream as the next: up to so many, embeddings of length 1 (in
// root mean square) are heard over them; with more they grow as the sum of the others does.
constexpr double kLayersOfOne = 6;

void shuffle(std::vector<std::int32_t>& values, Rng rng) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[rng.below(i)]);
}

}  // namespace

ForetoldWeights::ForetoldWeights(std::uint64_t seed, double acceptance, std::int32_t layers,
                                 std::vector<std::int32_t> excepted)
    : seed_{seed},
      acceptance_{acceptance},
      embedding_gain_{std::max(1.0, std::sqrt(layers / kLayersOfOne))},
      excepted_{std::move(excepted)},
      drawn_{seed} {}

std::vector<std::int32_t> ForetoldWeights::successors(std::int64_t vocab) const {
  std::vector<std::int32_t> ring(static_cast<std::size_t>(vocab));
  std::iota(ring.begin(), ring.end(), 0);
  std::erase_if(ring, [&](std::int32_t t) {
    return std::find(excepted_.begin(), excepted_.end(), t) != excepted_.end();
  });
  shuffle(ring, Rng{seed_, "mtp.ring"});
  std::vector<std::int32_t> places(ring.size());
  std::iota(places.begin(), places.end(), 0);
  shuffle(places, Rng{seed_, "mtp.foretold"});
  places.resize(static_cast<std::size_t>(std::lround(acceptance_ * static_cast<double>(ring.size()))));
  std::vector<std::int32_t> successor(static_cast<std::size_t>(vocab), -1);
  for (const std::int32_t at : places) {
    const auto place = static_cast<std::size_t>(at);
    successor[static_cast<std::size_t>(ring[place])] = ring[(place + 1) % ring.size()];
  }
  return successor;
}

std::vector<float> ForetoldWeights::matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                           double gain) const {
  if (name.ends_with(".mtp_join")) {
    std::vector<float> join = drawn_.matrix(name, n, k, std::sqrt(2.0) * kViewGain);
    for (std::int64_t row = 0; row < n; ++row) {
      const auto at = join.begin() + row * k;
      std::fill_n(at, n, 0.0F);
      at[row] = 1;
    }
    return join;
  }
  std::vector<float> w = drawn_.matrix(name, n, k, name == "embedding" ? gain * embedding_gain_ : gain);
  if (name != "head") return w;
  const std::vector<float> embedding = drawn_.matrix("embedding", n, k, std::sqrt(static_cast<double>(k)));
  const std::vector<std::int32_t> successor = successors(n);
  const double share = kForetoldGain / std::sqrt(static_cast<double>(k));  // embeddings are √k long
  for (std::size_t token = 0; token < successor.size(); ++token) {
    if (successor[token] < 0) continue;
    const float* from = embedding.data() + static_cast<std::int64_t>(token) * k;
    float* to = w.data() + std::int64_t{successor[token]} * k;
    for (std::int64_t i = 0; i < k; ++i) to[i] += static_cast<float>(share * static_cast<double>(from[i]));
  }
  return w;
}

std::vector<float> ForetoldWeights::norm(std::string_view name, std::int64_t n) const {
  return drawn_.norm(name, n);
}

std::vector<float> ForetoldWeights::correction_bias(std::string_view name, std::int64_t n) const {
  return drawn_.correction_bias(name, n);
}

std::string ForetoldWeights::describe() const {
  return fmt::format("{}, foretold with {:g}", drawn_.describe(), acceptance_);
}

}  // namespace dsbench::engine
