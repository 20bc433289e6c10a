#pragma once

#include <cstdint>
#include <vector>

namespace dsbench::engine::kernels {

// Rotary position embedding, with or without YaRN's frequency stretching.
struct RopeConfig {
  std::int32_t dim = 0;  // even
  double theta = 10000;
  bool yarn = false;
  double factor = 1;
  double original_context = 4096;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 1;
};

// Radians per position of each of the dim/2 pairs.
//
// Plain: f_i = theta^(-2i/dim). YaRN (Peng et al. 2023, §3.2, as in DeepSeek-V3's reference inference): a
// pair that turns more than beta_fast times over the original context keeps f_i; one that turns less than
// beta_slow times gets f_i/factor; in between, a linear ramp over the pair's index. The pair that turns n
// times has index dim·ln(original/(2πn))/(2·ln theta).
[[nodiscard]] std::vector<double> rope_frequencies(const RopeConfig& config);

// What cosines and sines are multiplied with: m(mscale)/m(mscale_all_dim), m(c) = 0.1·c·ln(factor) + 1. 1 for
// V2 and V3.
[[nodiscard]] double rope_amplitude(const RopeConfig& config);

// The scale of attention scores: qk_dim^-0.5 · m(mscale_all_dim)².
[[nodiscard]] double attention_scale(const RopeConfig& config, std::int32_t qk_dim);

}  // namespace dsbench::engine::kernels
