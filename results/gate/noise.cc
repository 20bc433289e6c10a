#include "results/gate/noise.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <vector>

#include "core/rng.h"
#include "results/gate/rank_test.h"

namespace dsbench::results::gate {
namespace {

std::vector<double> log_residuals(std::span<const double> values) {
  std::vector<double> logs;
  for (const double v : values) {
    if (v > 0 && std::isfinite(v)) logs.push_back(std::log(v));
  }
  const double centre = median_of(logs);
  for (double& v : logs) v -= centre;
  return logs;
}

double spread_of(const std::vector<double>& residuals) {
  if (residuals.size() < 3) return 0;
  std::vector<double> away;
  for (const double r : residuals) away.push_back(std::abs(r));
  if (const double mad = median_of(away); mad > 0) return 1.4826 * mad;
  double mean = 0, squares = 0;
  for (const double r : residuals) mean += r / static_cast<double>(residuals.size());
  for (const double r : residuals) squares += (r - mean) * (r - mean);
  return std::sqrt(squares / static_cast<double>(residuals.size() - 1));
}

}  // namespace

double relative_spread(std::span<const double> values) {
  return spread_of(log_residuals(values));
}

double relative_spread(std::span<const double> a, std::span<const double> b) {
  std::vector<double> residuals = log_residuals(a);
  const std::vector<double> others = log_residuals(b);
  residuals.insert(residuals.end(), others.begin(), others.end());
  return spread_of(residuals);
}

double detectable_effect(std::size_t runs, double spread, double margin, double alpha) {
  if (smallest_p(runs, runs) >= alpha) return HUGE_VAL;
  constexpr double power_z = 0.8416;  // of 80 %
  const double of_mean = spread * std::sqrt(2 / static_cast<double>(runs));
  const double z = boost::math::quantile(boost::math::complement(boost::math::normal{}, alpha / 2));
  const double by_ranks = (z + power_z) * of_mean / std::sqrt(3 / M_PI);
  const double by_medians = std::log1p(margin) + power_z * 1.2533 * of_mean;
  return std::expm1(std::max(by_ranks, by_medians));
}

double noise_floor(std::span<const double> values, std::uint64_t seed) {
  if (values.size() < 4) return HUGE_VAL;
  std::vector<double> dealt{values.begin(), values.end()};
  const std::size_t half = dealt.size() / 2;
  Rng rng{seed, "gate-noise-floor"};
  std::vector<double> differences;
  for (int i = 0; i < 2000; ++i) {
    for (std::size_t k = dealt.size() - 1; k > 0; --k) std::swap(dealt[k], dealt[rng.below(k + 1)]);
    const std::span<const double> all{dealt};
    const double ratio = ratio_of(median_of(all.first(half)), median_of(all.subspan(half)));
    differences.push_back(std::max(ratio, ratio > 0 ? 1 / ratio : HUGE_VAL) - 1);
  }
  std::sort(differences.begin(), differences.end());
  return differences[differences.size() * 95 / 100];
}

}  // namespace dsbench::results::gate
