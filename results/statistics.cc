#include "results/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <vector>

namespace dsbench::results {
namespace {

constexpr double one_sided = 0.975;

double t_quantile(std::size_t degrees) {
  return boost::math::quantile(boost::math::students_t(static_cast<double>(degrees)), one_sided);
}

double mean_of(std::span<const double> x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

// Means of consecutive batches of equal length; what does not fill a batch is left out at the front, where
// the series is oldest.
std::vector<double> batch_means(std::span<const double> x) {
  const auto n = x.size();
  auto length = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  if (n / length < 4) length = std::max<std::size_t>(1, n / 4);
  const std::size_t batches = n / length;
  std::vector<double> means;
  for (std::size_t b = 0; b < batches; ++b) {
    means.push_back(mean_of(x.subspan(n - (batches - b) * length, length)));
  }
  return means;
}

struct MeanEstimate {
  double mean = 0;
  double variance = 0;  // of the mean
  std::size_t degrees = 0;
};

MeanEstimate estimate_mean(std::span<const double> x, double least_variance) {
  const std::vector<double> batches = batch_means(x);
  const double centre = mean_of(batches);
  double squares = 0;
  for (const double b : batches) squares += (b - centre) * (b - centre);
  const auto k = static_cast<double>(batches.size());
  return {mean_of(x), std::max(squares / (k - 1) / k, least_variance), batches.size() - 1};
}

// The variance of a count of one event over n seconds, as a rate.
double one_event(std::size_t seconds) {
  return 1.0 / (static_cast<double>(seconds) * static_cast<double>(seconds));
}

}  // namespace

double share_lower_bound(std::int64_t successes, std::int64_t trials, double confidence) {
  if (trials <= 0 || successes <= 0) return 0;
  const auto k = static_cast<double>(successes);
  const auto n = static_cast<double>(trials);
  return boost::math::ibeta_inv(k, n - k + 1, 1 - confidence);
}

double share_upper_bound(std::int64_t successes, std::int64_t trials, double confidence) {
  if (trials <= 0 || successes >= trials) return 1;
  const auto k = static_cast<double>(successes);
  const auto n = static_cast<double>(trials);
  return boost::math::ibeta_inv(k + 1, n - k, confidence);
}

std::int64_t trials_to_show(double share, double confidence) {
  // With n of n successes the lower bound is (1 − confidence)^(1/n).
  return static_cast<std::int64_t>(std::ceil(std::log(1 - confidence) / std::log(share)));
}

std::int64_t samples_needed(double q) {
  const double log_q = std::log(q);
  // P(no or one exceedance in n) = qⁿ + n (1 − q) qⁿ⁻¹, which falls with n.
  const auto enough = [&](double n) { return std::exp((n - 1) * log_q) * (q + n * (1 - q)) <= 0.01; };
  std::int64_t low = 1, high = 2;
  while (!enough(static_cast<double>(high))) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (enough(static_cast<double>(middle)) ? high : low) = middle;
  }
  return high;
}

std::optional<RatioEstimate> ratio_of_rates(std::span<const double> numerator,
                                            std::span<const double> denominator) {
  if (numerator.size() < 4 || denominator.size() < 4) return std::nullopt;
  const MeanEstimate x = estimate_mean(numerator, one_event(numerator.size()));
  const MeanEstimate y = estimate_mean(denominator, one_event(denominator.size()));
  if (y.mean <= 0) return std::nullopt;
  RatioEstimate estimate;
  estimate.ratio = x.mean / y.mean;
  // Fieller: the ratios r for which x − r·y is not significantly different from 0 are the roots of
  // (y² − t²·Vy) r² − 2xy r + (x² − t²·Vx) = 0. The fewer degrees of freedom of the two serve both.
  const double t = t_quantile(std::min(x.degrees, y.degrees));
  const double a = y.mean * y.mean - t * t * y.variance;
  const double c = x.mean * x.mean - t * t * x.variance;
  if (a <= 0)
    return estimate;  // the denominator is not significantly above 0: no upper bound, and 0 as the lower
  const double b = x.mean * y.mean;
  const double root = std::sqrt(std::max(0.0, b * b - a * c));
  estimate.lower = std::max(0.0, (b - root) / a);
  estimate.upper = (b + root) / a;
  return estimate;
}

std::optional<RatioEstimate> ratio_of_sums(std::span<const double> part, std::span<const double> whole) {
  const std::size_t n = std::min(part.size(), whole.size());
  if (n < 4) return std::nullopt;
  const double whole_mean = mean_of(whole.first(n));
  if (whole_mean <= 0) return std::nullopt;
  RatioEstimate estimate;
  estimate.ratio = mean_of(part.first(n)) / whole_mean;
  std::vector<double> residuals(n);
  for (std::size_t i = 0; i < n; ++i) residuals[i] = part[i] - estimate.ratio * whole[i];
  const MeanEstimate r = estimate_mean(residuals, one_event(n));
  const double margin = t_quantile(r.degrees) * std::sqrt(r.variance) / whole_mean;
  estimate.lower = std::max(0.0, estimate.ratio - margin);
  estimate.upper = estimate.ratio + margin;
  return estimate;
}

std::optional<TrendEstimate> trend(std::span<const double> series) {
  if (series.size() < 8) return std::nullopt;
  const std::vector<double> y = batch_means(series);
  const auto k = static_cast<double>(y.size());
  const double seconds_each = std::floor(static_cast<double>(series.size()) / k);
  const double x_mean = (k - 1) / 2, y_mean = mean_of(y);
  double xx = 0, xy = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double dx = static_cast<double>(i) - x_mean;
    xx += dx * dx;
    xy += dx * (y[i] - y_mean);
  }
  const double slope = xy / xx;
  double squares = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double residual = y[i] - y_mean - slope * (static_cast<double>(i) - x_mean);
    squares += residual * residual;
  }
  const double error = std::sqrt(squares / (k - 2) / xx) * t_quantile(y.size() - 2);
  return TrendEstimate{slope / seconds_each, (slope - error) / seconds_each, (slope + error) / seconds_each,
                       mean_of(series)};
}

std::size_t transient_length(std::span<const double> series) {
  const std::size_t n = series.size();
  if (n < 4) return 0;
  std::size_t best = 0;
  double best_score = 0;
  for (std::size_t d = 0; d <= n / 2; ++d) {
    const auto rest = series.subspan(d);
    const double centre = mean_of(rest);
    double squares = 0;
    for (const double v : rest) squares += (v - centre) * (v - centre);
    const auto m = static_cast<double>(rest.size());
    const double score = squares / (m * m);
    if (d == 0 || score < best_score) {
      best = d;
      best_score = score;
    }
  }
  return best;
}

}  // namespace dsbench::results
