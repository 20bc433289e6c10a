#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

// How much runs of the same thing differ, and what can be seen through that.
namespace dsbench::results::gate {

// The spread of values about their median, as a share: 1.4826 × the median absolute deviation of the logs,
// the standard deviation of the bulk where one in ten is spoiled. Where more than half are equal, the
// standard deviation of the logs instead. Values that are 0 or infinite are left out. 0 for fewer than 3.
[[nodiscard]] double relative_spread(std::span<const double> values);
// Of two sides, each about its own median.
[[nodiscard]] double relative_spread(std::span<const double> a, std::span<const double> b);

// The smallest true change, as a share, that the gate calls with a probability of 80 % when `runs` a side
// spread by `spread` (normal on logs): the larger of what the rank test needs at level `alpha` (its
// efficiency beside the t-test being 3/π) and what puts the ratio of medians (standard error 1.2533 × spread
// × √(2/n)) beyond `margin`. Infinity where so few runs cannot give a p below alpha.
[[nodiscard]] double detectable_effect(std::size_t runs, double spread, double margin, double alpha);

// By how much the medians of two halves of runs of one and the same thing differ, |ratio − 1|, at most, in 95
// % of 2,000 ways to deal them (seeded): a margin below it calls noise a change. Fewer than 4 values:
// infinity.
[[nodiscard]] double noise_floor(std::span<const double> values, std::uint64_t seed);

}  // namespace dsbench::results::gate
