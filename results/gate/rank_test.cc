#include "results/gate/rank_test.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

namespace dsbench::results::gate {
namespace {

double normal_upper_tail(double z) {
  return boost::math::cdf(boost::math::complement(boost::math::normal{}, z));
}

struct Pooled {
  std::vector<std::uint32_t>
      doubled_ranks;    // 2 × mid-rank, whole numbers also with ties; of a's values first
  double tie_term = 0;  // Σ (t³ − t) over groups of t equal values
};

Pooled rank(std::span<const double> a, std::span<const double> b) {
  const std::size_t n = a.size() + b.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto value = [&](std::size_t i) { return i < a.size() ? a[i] : b[i - a.size()]; };
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return value(i) < value(j); });
  Pooled pooled;
  pooled.doubled_ranks.resize(n);
  for (std::size_t from = 0; from < n;) {
    std::size_t to = from + 1;
    while (to < n && value(order[to]) == value(order[from])) ++to;
    // Ranks from + 1 … to; twice their mean.
    for (std::size_t i = from; i < to; ++i)
      pooled.doubled_ranks[order[i]] = static_cast<std::uint32_t>(from + 1 + to);
    const auto t = static_cast<double>(to - from);
    pooled.tie_term += t * t * t - t;
    from = to;
  }
  return pooled;
}

// How many of the ways to choose k of the ranks have each sum. Counts of up to C(60, 30) = 1.2e17 as doubles:
// the sums of a thousand of them are exact to some 1e-13, far below any p that is asked for.
std::vector<double> sums_of_choices(std::span<const std::uint32_t> ranks, std::size_t k) {
  std::vector<std::uint32_t> largest{ranks.begin(), ranks.end()};
  std::sort(largest.begin(), largest.end(), std::greater<>{});
  const std::size_t most =
      std::accumulate(largest.begin(), largest.begin() + static_cast<std::ptrdiff_t>(k), std::size_t{0});
  std::vector<std::vector<double>> ways(k + 1, std::vector<double>(most + 1, 0.0));
  ways[0][0] = 1;
  for (const std::uint32_t r : ranks) {
    for (std::size_t j = k; j >= 1; --j) {
      for (std::size_t s = most; s >= r; --s) ways[j][s] += ways[j - 1][s - r];
    }
  }
  return ways[k];
}

double exact_p(const Pooled& pooled, std::size_t b_size, std::uint64_t doubled_sum) {
  const std::vector<double> ways = sums_of_choices(pooled.doubled_ranks, b_size);
  const auto n = pooled.doubled_ranks.size();
  // Twice the mean of the doubled rank sum is whole: b (n + 1) × 2 ÷ 2.
  const auto mean = static_cast<std::int64_t>(b_size * (n + 1));
  const std::int64_t seen = std::abs(static_cast<std::int64_t>(doubled_sum) - mean);
  double all = 0, as_far = 0;
  for (std::size_t s = 0; s < ways.size(); ++s) {
    all += ways[s];
    if (std::abs(static_cast<std::int64_t>(s) - mean) >= seen) as_far += ways[s];
  }
  return std::min(1.0, as_far / all);
}

std::vector<double> make_cumulative_u(std::size_t m, std::size_t n) {
  std::vector<std::uint32_t> ranks(m + n);
  std::iota(ranks.begin(), ranks.end(), 1U);
  const std::vector<double> ways = sums_of_choices(ranks, n);
  const std::size_t least = n * (n + 1) / 2;
  std::vector<double> cumulative;
  double sum = 0;
  const double all = std::accumulate(ways.begin(), ways.end(), 0.0);
  for (std::size_t u = 0; u <= m * n; ++u) {
    sum += ways[least + u];
    cumulative.push_back(sum / all);
  }
  return cumulative;
}

// P(U ≤ u) for u = 0, 1, … of two sides without ties; kept, for a gate asks for the same sizes again and
// again.
const std::vector<double>& cumulative_u(std::size_t m, std::size_t n) {
  thread_local std::map<std::pair<std::size_t, std::size_t>, std::vector<double>> kept;
  auto& found = kept[{m, n}];
  if (found.empty()) found = make_cumulative_u(m, n);
  return found;
}

// The mean on a log scale.
double between(double low, double high) {
  if (low == high) return low;
  if (low == 0 && std::isinf(high)) return 1;
  return std::sqrt(low) * std::sqrt(high);
}

}  // namespace

RankTest mann_whitney(std::span<const double> a, std::span<const double> b) {
  RankTest test;
  if (a.empty() || b.empty()) return test;
  const Pooled pooled = rank(a, b);
  const auto doubled_sum =
      std::accumulate(pooled.doubled_ranks.begin() + static_cast<std::ptrdiff_t>(a.size()),
                      pooled.doubled_ranks.end(), std::uint64_t{0});
  const auto m = static_cast<double>(a.size()), n = static_cast<double>(b.size());
  test.u = static_cast<double>(doubled_sum) / 2 - n * (n + 1) / 2;
  if (a.size() <= exact_up_to && b.size() <= exact_up_to) {
    if (pooled.tie_term > 0) {
      test.p = exact_p(pooled, b.size(), doubled_sum);
    } else {
      // Without ties U is whole and its distribution symmetric.
      const auto& cumulative = cumulative_u(a.size(), b.size());
      test.p = std::min(1.0, 2 * cumulative[static_cast<std::size_t>(std::min(test.u, m * n - test.u))]);
    }
    return test;
  }
  test.exact = false;
  const double all = m + n;
  const double variance = m * n / 12 * (all + 1 - pooled.tie_term / (all * (all - 1)));
  if (variance <= 0) return test;
  const double off = std::max(0.0, std::abs(test.u - m * n / 2) - 0.5);
  test.p = std::min(1.0, 2 * normal_upper_tail(off / std::sqrt(variance)));
  return test;
}

double smallest_p(std::size_t a, std::size_t b) {
  if (a == 0 || b == 0) return 1;
  double ways = 1;  // C(a + b, b)
  for (std::size_t i = 1; i <= b; ++i) ways *= static_cast<double>(a + i) / static_cast<double>(i);
  return std::min(1.0, 2 / ways);
}

double ratio_of(double b, double a) {
  if (a == b) return 1;
  if (a == 0 || std::isinf(b)) return HUGE_VAL;
  return b / a;  // 0 for an infinite a
}

double median_of(std::span<const double> values) {
  if (values.empty()) return 0;
  std::vector<double> sorted{values.begin(), values.end()};
  std::sort(sorted.begin(), sorted.end());
  const std::size_t middle = sorted.size() / 2;
  if (sorted.size() % 2 == 1) return sorted[middle];
  return sorted[middle - 1] == sorted[middle] ? sorted[middle] : sorted[middle - 1] / 2 + sorted[middle] / 2;
}

RatioInterval hodges_lehmann(std::span<const double> a, std::span<const double> b, double confidence) {
  RatioInterval interval;
  if (a.empty() || b.empty()) return interval;
  std::vector<double> ratios;
  ratios.reserve(a.size() * b.size());
  for (const double x : a) {
    for (const double y : b) ratios.push_back(ratio_of(y, x));
  }
  std::sort(ratios.begin(), ratios.end());
  const std::size_t count = ratios.size();
  interval.ratio = count % 2 == 1 ? ratios[count / 2] : between(ratios[count / 2 - 1], ratios[count / 2]);

  // The interval leaves out so many ratios at each end as U can fall short of with half the error.
  const double half_error = (1 - confidence) / 2;
  std::size_t leave_out = 0;
  if (a.size() <= exact_up_to && b.size() <= exact_up_to) {
    const std::vector<double>& cumulative = cumulative_u(a.size(), b.size());
    while (leave_out < cumulative.size() && cumulative[leave_out] <= half_error) ++leave_out;
    if (leave_out == 0) return interval;
    --leave_out;
  } else {
    const auto m = static_cast<double>(a.size()), n = static_cast<double>(b.size());
    const double z = boost::math::quantile(boost::math::complement(boost::math::normal{}, half_error));
    const double rank = m * n / 2 - 0.5 - z * std::sqrt(m * n * (m + n + 1) / 12);
    if (rank < 0) return interval;
    leave_out = static_cast<std::size_t>(rank);
  }
  interval.lower = ratios[leave_out];
  interval.upper = ratios[count - 1 - leave_out];
  return interval;
}

}  // namespace dsbench::results::gate
