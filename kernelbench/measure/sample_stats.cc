#include "kernelbench/measure/sample_stats.h"

#include <algorithm>
#include <cmath>

namespace dsbench::kernelbench {
namespace {

constexpr double kThrottled = 0.9;  // of the median clock

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile_of_sorted(values, 0.5);
}

}  // namespace

double quantile_of_sorted(std::span<const double> sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const std::size_t below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double SampleStats::relative_error() const {
  if (samples == 0 || median <= 0) return 0;
  return 1.2533 * 1.4826 * mad / (median * std::sqrt(static_cast<double>(samples)));
}

SampleStats describe(std::span<const Sample> samples) {
  SampleStats stats;
  if (samples.empty()) return stats;
  std::vector<double> clocks;
  for (const Sample& s : samples) {
    if (s.clock_hz > 0) clocks.push_back(s.clock_hz);
  }
  if (!clocks.empty()) stats.clock_hz = median_of(clocks);
  std::vector<double> times;
  for (const Sample& s : samples) {
    if (s.clock_hz > 0 && s.clock_hz < kThrottled * stats.clock_hz) {
      ++stats.dropped;
    } else {
      times.push_back(s.seconds);
    }
  }
  std::sort(times.begin(), times.end());
  stats.samples = static_cast<std::int64_t>(times.size());
  stats.median = quantile_of_sorted(times, 0.5);
  stats.p10 = quantile_of_sorted(times, 0.1);
  stats.p90 = quantile_of_sorted(times, 0.9);
  std::vector<double> distances;
  distances.reserve(times.size());
  for (const double t : times) distances.push_back(std::abs(t - stats.median));
  stats.mad = median_of(std::move(distances));
  return stats;
}

}  // namespace dsbench::kernelbench
