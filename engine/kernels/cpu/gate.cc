#include "engine/kernels/cpu/gate.h"

#include <array>
#include <cassert>
#include <limits>

#include "engine/kernels/ref/pointwise.h"

namespace dsbench::engine::kernels::cpu {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// Index of the largest; the lowest index wins a tie.
std::size_t largest(std::span<const float> values) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}

// The best of every few values, so that taking the best out again and again does not look at all of them each
// time.
class Tournament {
 public:
  explicit Tournament(std::span<float> values) : values_{values} {
    for (std::size_t part = 0; part * kPart < values.size(); ++part) play(part);
  }
  // Index of the largest, which is then masked; the lowest index wins a tie.
  std::size_t take() {
    const std::size_t parts = (values_.size() + kPart - 1) / kPart;
    const std::size_t part = largest(std::span(best_).first(parts));
    const std::size_t at = part * kPart + winner_[part];
    values_[at] = kMasked;
    play(part);
    return at;
  }

 private:
  static constexpr std::size_t kPart = 16;
  void play(std::size_t part) {
    const std::size_t begin = part * kPart;
    const std::size_t end = begin + kPart < values_.size() ? begin + kPart : values_.size();
    winner_[part] = largest(values_.subspan(begin, end - begin));
    best_[part] = values_[begin + winner_[part]];
  }

  std::span<float> values_;
  std::array<float, 64> best_{};  // of 1024 experts
  std::array<std::size_t, 64> winner_{};
};

}  // namespace

void gate(const KernelTable& kernels, const GateConfig& config, std::span<float> logits,
          std::span<const float> bias, std::span<float> scratch, std::span<std::int32_t> experts,
          std::span<float> weights) {
  const std::size_t count = logits.size();
  const std::size_t groups = static_cast<std::size_t>(config.groups);
  const std::size_t group_size = count / groups;
  assert(scratch.size() >= count + groups);
  if (config.scoring == Scoring::sigmoid) {
    kernels.sigmoid(logits.data(), static_cast<std::int32_t>(count));
  } else if (config.scoring == Scoring::sqrt_softplus) {
    for (float& x : logits) x = ref::sqrt_softplus(x);
  } else {
    kernels.softmax(logits.data(), static_cast<std::int32_t>(count));
  }
  const std::span<const float> scores = logits;
  const std::span<float> biased = scratch.first(count);
  for (std::size_t e = 0; e < count; ++e) biased[e] = bias.empty() ? scores[e] : scores[e] + bias[e];

  const bool whole_vectors = group_size % kPanel == 0;
  if (groups > 1) {
    const std::span<float> group_scores = scratch.subspan(count, groups);
    if (whole_vectors) {
      kernels.group_scores(biased.data(), config.groups, static_cast<std::int32_t>(group_size), !bias.empty(),
                           group_scores.data());
    }
    for (std::size_t g = 0; g < groups && !whole_vectors; ++g) {
      float first = kMasked;
      float second = kMasked;
      for (const float b : biased.subspan(g * group_size, group_size)) {
        if (b > first) {
          second = first;
          first = b;
        } else if (b > second) {
          second = b;
        }
      }
      group_scores[g] = bias.empty() || group_size == 1 ? first : first + second;
    }
    // What is refused is what is left after the kept ones have been taken out.
    for (std::int32_t kept = 0; kept < config.kept_groups; ++kept)
      group_scores[largest(group_scores)] = kMasked;
    for (std::size_t g = 0; g < groups; ++g) {
      if (group_scores[g] == kMasked) continue;
      for (float& b : biased.subspan(g * group_size, group_size)) b = kMasked;
    }
  }
  if (whole_vectors) {
    kernels.take_largest(biased.data(), config.experts, static_cast<std::int32_t>(experts.size()), experts.data());
  } else {
    Tournament tournament(biased);
    for (std::int32_t& expert : experts) expert = static_cast<std::int32_t>(tournament.take());
  }
  float sum = 0;
  for (std::size_t i = 0; i < experts.size(); ++i) {
    weights[i] = scores[static_cast<std::size_t>(experts[i])];
    sum += weights[i];
  }
  const float scale = static_cast<float>(config.routed_scale);
  for (float& weight : weights) weight = (config.renormalise ? weight / sum : weight) * scale;
}

}  // namespace dsbench::engine::kernels::cpu
