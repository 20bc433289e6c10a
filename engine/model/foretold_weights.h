#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/weights.h"

namespace dsbench::engine {

// Drawn weights of a model that its MTP module foretells as often as is asked, by construction, with the
// model verifying every guess for itself.
//
// Random weights cannot be foretold: what they say is a hash of the context. So a part of the vocabulary is
// made to have a fixed successor. All tokens but the excepted ones stand in a drawn ring, and of these a
// drawn share, the acceptance, is foretold: to the head's row of such a token's successor in the ring the
// token's own embedding is added, as often as it takes to outvote all else. A token's embedding is still in
// the residual stream where the head reads it, so behind a foretold token the model says its successor,
// whatever came before; behind any other it says what the random network makes of the context, as ever. Of
// the module's weights only the join is made: it hands the embedding of the newest token through and adds a
// random view of the model's output, so that behind a foretold token the module reads the same row of the
// head first, and behind any other something of its own, which is right about as often as chance has it (1 in
// the vocabulary; some more where both see the same embedding).
//
// A jump out of an unforetold token lands anywhere in the ring, so the chance that a guess behind right ones
// is right is the share, for the first guess and for the later ones. The ring has no short loops to be caught
// in, unless the share is 1.
class ForetoldWeights final : public WeightSource {
 public:
  // `excepted`: tokens that stay out of the ring, as those that end an answer.
  // A model of many layers has embeddings that are the longer for it, or nothing would be left of them at the
  // head.
  ForetoldWeights(std::uint64_t seed, double acceptance, std::int32_t layers,
                  std::vector<std::int32_t> excepted);

  [[nodiscard]] std::vector<float> matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                          double gain) const override;
  [[nodiscard]] std::vector<float> norm(std::string_view name, std::int64_t n) const override;
  [[nodiscard]] std::vector<float> correction_bias(std::string_view name, std::int64_t n) const override;
  [[nodiscard]] std::string describe() const override;

  // The fixed successor of each token; -1: none.
  [[nodiscard]] std::vector<std::int32_t> successors(std::int64_t vocab) const;

 private:
  std::uint64_t seed_;
  double acceptance_;
  double embedding_gain_;
  std::vector<std::int32_t> excepted_;
  DrawnWeights drawn_;
};

}  // namespace dsbench::engine
