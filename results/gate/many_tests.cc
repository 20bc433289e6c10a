#include "results/gate/many_tests.h"

#include <algorithm>
#include <array>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>

namespace dsbench::results::gate {

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return p[i] < p[j]; });
  std::vector<double> adjusted(p.size());
  double floor = 0;  // a larger p is never adjusted below a smaller one
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    floor = std::max(floor, std::min(1.0, p[order[rank]] * static_cast<double>(p.size() - rank)));
    adjusted[order[rank]] = floor;
  }
  return adjusted;
}

std::string_view to_word(Spending spending) {
  return spending == Spending::pocock ? "pocock" : "obrien-fleming";
}

Result<std::vector<double>> split_alpha(double alpha, std::size_t looks, Spending spending) {
  if (looks <= 1) return std::vector<double>{alpha};
  if (looks > 3) return fail(ErrorKind::usage, "{} looks; accepted are at most 3", looks);
  struct Row {
    double alpha;
    std::array<double, 2> pocock, obrien_fleming;  // critical value for 2 and 3 looks
  };
  static constexpr std::array<Row, 3> table{{{0.10, {1.875, 1.992}, {1.678, 1.710}},
                                             {0.05, {2.178, 2.289}, {1.977, 2.004}},
                                             {0.01, {2.772, 2.873}, {2.580, 2.595}}}};
  for (const Row& row : table) {
    if (std::abs(row.alpha - alpha) > 1e-12) continue;
    std::vector<double> split;
    for (std::size_t k = 1; k <= looks; ++k) {
      const double z = spending == Spending::pocock
                           ? row.pocock[looks - 2]
                           : row.obrien_fleming[looks - 2] *
                                 std::sqrt(static_cast<double>(looks) / static_cast<double>(k));
      split.push_back(2 * boost::math::cdf(boost::math::complement(boost::math::normal{}, z)));
    }
    return split;
  }
  return fail(
      ErrorKind::usage,
      "an error level of {} has no table of {} looks; accepted are 0.1, 0.05 and 0.01, or any with one "
      "look (as many --max-runs as --runs)",
      alpha, looks);
}

}  // namespace dsbench::results::gate
