#include "engine/kernels/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dsbench::engine::kernels {
namespace {

double magnitude(const RopeConfig& config, double coefficient) {
  return config.yarn ? 0.1 * coefficient * std::log(config.factor) + 1 : 1;
}

// Index (not rounded) of the pair that turns this many times over the original context.
double pair_of_turns(const RopeConfig& config, double turns) {
  return config.dim * std::log(config.original_context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(config.theta));
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& config) {
  std::vector<double> frequencies(static_cast<std::size_t>(config.dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(config.theta, -2.0 * static_cast<double>(i) / config.dim);
  }
  if (!config.yarn) return frequencies;
  const double low = std::max(std::floor(pair_of_turns(config, config.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair_of_turns(config, config.beta_slow)), config.dim - 1.0);
  if (low == high) high += 0.001;  // the ramp of the reference code: a step, not a division by zero
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double interpolated = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= (1 - interpolated) + interpolated / config.factor;
  }
  return frequencies;
}

double rope_amplitude(const RopeConfig& config) {
  return magnitude(config, config.mscale) / magnitude(config, config.mscale_all_dim);
}

double attention_scale(const RopeConfig& config, std::int32_t qk_dim) {
  const double m = magnitude(config, config.mscale_all_dim);
  return m * m / std::sqrt(static_cast<double>(qk_dim));
}

}  // namespace dsbench::engine::kernels
