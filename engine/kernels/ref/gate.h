#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/kernels/gate_config.h"
#include "engine/kernels/ref/pointwise.h"

namespace dsbench::engine::kernels::ref {

template <class T>
struct GateChoice {
  std::vector<std::int32_t> experts;  // best first
  std::vector<T> weights;
  // How far the choice was from being another one: the smallest gap between a kept and a refused group, and
  // between a chosen and a refused expert. Rounding errors above this may choose differently.
  T margin = std::numeric_limits<T>::infinity();
};

// The first `k` of `values` in descending order; the lowest index wins a tie.
template <class T>
std::vector<std::int32_t> largest_indices(std::span<const T> values, std::size_t k) {
  std::vector<bool> taken(values.size(), false);
  std::vector<std::int32_t> chosen;
  while (chosen.size() < k) {
    std::size_t best = values.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!taken[i] && (best == values.size() || values[i] > values[best])) best = i;
    }
    taken[best] = true;
    chosen.push_back(static_cast<std::int32_t>(best));
  }
  return chosen;
}

// Chooses experts as DeepSeek does. The bias (empty for none) takes part in choosing only: groups are ranked
// by the sum of their two best biased scores (by their best score where there is no bias, as in V2), the
// groups not kept are masked with minus infinity (0 would beat a negative biased score), the best top_k of
// what is left are chosen, and their weights are the unbiased scores, renormalised if asked, times
// routed_scale.
template <class T>
GateChoice<T> gate(const GateConfig& config, std::span<const T> logits, std::span<const T> bias) {
  const std::size_t experts = logits.size();
  const std::size_t groups = static_cast<std::size_t>(config.groups);
  const std::size_t group_size = experts / groups;
  std::vector<T> scores(logits.begin(), logits.end());
  if (config.scoring == Scoring::sigmoid) {
    for (T& s : scores) s = sigmoid(s);
  } else if (config.scoring == Scoring::sqrt_softplus) {
    for (T& s : scores) s = sqrt_softplus(s);
  } else {
    softmax(std::span<T>(scores));
  }
  std::vector<T> biased = scores;
  for (std::size_t e = 0; e < bias.size(); ++e) biased[e] += bias[e];

  GateChoice<T> choice;
  const auto note_margin = [&choice](std::span<const T> values, std::size_t k) {
    const std::vector<std::int32_t> order = largest_indices(values, k < values.size() ? k + 1 : k);
    if (k >= values.size()) return;
    const T gap = values[static_cast<std::size_t>(order[k - 1])] - values[static_cast<std::size_t>(order[k])];
    if (gap < choice.margin) choice.margin = gap;
  };

  if (groups > 1) {
    std::vector<T> group_scores(groups);
    for (std::size_t g = 0; g < groups; ++g) {
      const std::span<const T> members(biased.data() + g * group_size, group_size);
      const std::vector<std::int32_t> best =
          largest_indices(members, !bias.empty() && group_size > 1 ? 2 : 1);
      for (const std::int32_t i : best) group_scores[g] += members[static_cast<std::size_t>(i)];
    }
    const std::size_t kept = static_cast<std::size_t>(config.kept_groups);
    std::vector<bool> keep(groups, false);
    for (const std::int32_t g : largest_indices(std::span<const T>(group_scores), kept))
      keep[static_cast<std::size_t>(g)] = true;
    note_margin(group_scores, kept);
    for (std::size_t e = 0; e < experts; ++e) {
      if (!keep[e / group_size]) biased[e] = -std::numeric_limits<T>::infinity();
    }
  }
  const std::size_t top_k = static_cast<std::size_t>(config.top_k);
  choice.experts = largest_indices(std::span<const T>(biased), top_k);
  note_margin(biased, top_k);

  T sum = 0;
  for (const std::int32_t e : choice.experts) sum += scores[static_cast<std::size_t>(e)];
  for (const std::int32_t e : choice.experts) {
    T weight = scores[static_cast<std::size_t>(e)];
    if (config.renormalise) weight /= sum;
    choice.weights.push_back(weight * static_cast<T>(config.routed_scale));
  }
  return choice;
}

}  // namespace dsbench::engine::kernels::ref
