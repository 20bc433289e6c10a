#pragma once

#include <cstddef>
#include <span>
#include <vector>

// Where a series of results changed, seen from afar: not "slower than yesterday", but "since this run".
namespace dsbench::results::gate {

struct ChangePoint {
  std::size_t index = 0;         // the first run of the new level
  double before = 0, after = 0;  // means of the segments on both sides
  double p = 1;                  // Student's t between these segments
};

struct ChangePointSettings {
  std::size_t window = 50;  // runs that are looked at together; windows overlap by half
  double p = 0.001;
  double least_change = 0;  // |after ÷ before − 1| below it is no change
};

// E-divisive (Matteson and James 2014): within a window the split with the largest energy distance between
// its two sides, and again within each side while the split is significant. As Apache Otava does,
// significance is Student's t between the two sides in place of permutations, with ten times `p` at first,
// and each change that is left must then hold at `p` between its neighbouring changes; the weakest goes
// first. Deterministic.
[[nodiscard]] std::vector<ChangePoint> change_points(std::span<const double> series,
                                                     const ChangePointSettings& settings = {});

}  // namespace dsbench::results::gate
