#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/executors/executor.h"
#include "engine/kernels/weight_type.h"
#include "engine/model/weights.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

template <class T>
struct ReferenceOutput {
  std::vector<T> logits;   // [tokens, vocab]: at every position
  std::vector<T> margins;  // [tokens]: the narrowest expert choice that this position's result rests on, its
                           // own or earlier
  // [tokens − 1, vocab], with an MTP module: what it says of position i + 2 from the tokens up to i + 1.
  std::vector<T> mtp_logits;
};

// The oracle of the engine: a whole sequence at once, in plain form, from engine/kernels/ref only, with
// weights of the same names. T is double for the truth, float for what rounding alone costs. Other types than
// fp32: weights rounded as the decoder keeps them, and for int8 the rows of activations as well, so that both
// compute on the same operands.
template <class T>
[[nodiscard]] ReferenceOutput<T> reference_forward(const profiles::ModelProfile& profile,
                                                   const WeightSource& source,
                                                   std::span<const TokenId> tokens,
                                                   kernels::WeightType type = kernels::WeightType::fp32,
                                                   bool with_mtp = false);

extern template ReferenceOutput<double> reference_forward<double>(const profiles::ModelProfile&,
                                                                  const WeightSource&,
                                                                  std::span<const TokenId>,
                                                                  kernels::WeightType, bool);
extern template ReferenceOutput<float> reference_forward<float>(const profiles::ModelProfile&,
                                                                const WeightSource&, std::span<const TokenId>,
                                                                kernels::WeightType, bool);

}  // namespace dsbench::engine
