#include "results/gate/change_points.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

namespace dsbench::results::gate {
namespace {

double mean_of(std::span<const double> x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

// Two-sided, pooled variance. A jump between two flat stretches is as sure as can be.
double t_test(std::span<const double> a, std::span<const double> b) {
  if (a.size() + b.size() < 3 || a.empty() || b.empty()) return 1;
  const double ma = mean_of(a), mb = mean_of(b);
  double squares = 0;
  for (const double v : a) squares += (v - ma) * (v - ma);
  for (const double v : b) squares += (v - mb) * (v - mb);
  const double degrees = static_cast<double>(a.size() + b.size()) - 2;
  const double error =
      std::sqrt(squares / degrees * (1 / static_cast<double>(a.size()) + 1 / static_cast<double>(b.size())));
  // Nothing but rounding on both sides.
  const double tiny = 1e-12 * (std::abs(ma) + std::abs(mb));
  if (error <= tiny) return std::abs(ma - mb) <= tiny ? 1 : 0;
  const double t = std::abs(ma - mb) / error;
  return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t{degrees}, t));
}

// The split of x[from, to) with the largest scaled energy distance, as the first index of its right side.
std::size_t best_split(std::span<const double> x, std::size_t from, std::size_t to) {
  const std::size_t n = to - from;
  // Sums of |difference| of each value to all left and to all right of a split, moved along with it.
  double within_left = 0, within_right = 0, across = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i + 1; j < n; ++j) within_right += std::abs(x[from + i] - x[from + j]);
  }
  double best = -1;
  std::size_t split = from + 1;
  for (std::size_t k = 1; k < n; ++k) {
    const double moved = x[from + k - 1];
    double to_left = 0, to_right = 0;
    for (std::size_t i = 0; i + 1 < k; ++i) to_left += std::abs(moved - x[from + i]);
    for (std::size_t j = k; j < n; ++j) to_right += std::abs(moved - x[from + j]);
    within_right -= to_right;
    within_left += to_left;
    across += to_right - to_left;
    const auto l = static_cast<double>(k), r = static_cast<double>(n - k);
    const double left = k > 1 ? within_left / (l * (l - 1) / 2) : 0;
    const double right = n - k > 1 ? within_right / (r * (r - 1) / 2) : 0;
    const double energy = l * r / (l + r) * (2 * across / (l * r) - left - right);
    if (energy > best) {
      best = energy;
      split = from + k;
    }
  }
  return split;
}

void divide(std::span<const double> x, std::size_t from, std::size_t to, double p,
            std::vector<std::size_t>& found) {
  if (to - from < 4) return;
  const std::size_t split = best_split(x, from, to);
  if (t_test(x.subspan(from, split - from), x.subspan(split, to - split)) > p) return;
  found.push_back(split);
  divide(x, from, split, p, found);
  divide(x, split, to, p, found);
}

}  // namespace

std::vector<ChangePoint> change_points(std::span<const double> series, const ChangePointSettings& settings) {
  const std::size_t n = series.size();
  std::vector<std::size_t> candidates;
  const double weak = std::min(0.5, settings.p * 10);
  const std::size_t window = std::max<std::size_t>(4, settings.window),
                    step = std::max<std::size_t>(1, window / 2);
  for (std::size_t from = 0; from < n; from += step) {
    divide(series, from, std::min(n, from + window), weak, candidates);
    if (from + window >= n) break;
  }
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());

  // Each between its neighbours; the weakest that does not hold goes, and its neighbours are asked again.
  std::vector<ChangePoint> points;
  while (true) {
    points.clear();
    std::size_t weakest = candidates.size();
    double weakest_p = settings.p;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const std::size_t from = i == 0 ? 0 : candidates[i - 1],
                        to = i + 1 == candidates.size() ? n : candidates[i + 1], at = candidates[i];
      const auto before = series.subspan(from, at - from), after = series.subspan(at, to - at);
      ChangePoint point{at, mean_of(before), mean_of(after), t_test(before, after)};
      const bool small =
          point.before != 0 && std::abs(point.after / point.before - 1) < settings.least_change;
      const double p = small ? 1 : point.p;
      if (p > weakest_p) {
        weakest_p = p;
        weakest = i;
      }
      points.push_back(point);
    }
    if (weakest == candidates.size()) return points;
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(weakest));
  }
}

}  // namespace dsbench::results::gate
