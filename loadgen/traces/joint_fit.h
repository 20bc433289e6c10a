#pragma once

#include <cstdint>
#include <vector>

namespace dsbench::loadgen {

struct LengthPair {
  std::int32_t prompt = 1, output = 1;
};

// Prompts uniform on [prompt_from, prompt_to]; outputs linear between equally probable quantiles. The form of
// a workload profile's "lengths".
struct LengthBin {
  std::int32_t prompt_from = 1, prompt_to = 1;
  double weight = 1;
  std::vector<double> output_quantiles;  // at 0, 1/n, …, 1
};

// Bins of the prompt length and the outputs' quantiles in each. Bins are split where the distribution in them
// differs most from a uniform one, until it differs by less than 0.3 % of the requests and of the mean
// everywhere, or there are `most_bins`. The outputs' mean in each bin is kept: the last quantile gives way,
// not the mean. Needs at least one pair.
[[nodiscard]] std::vector<LengthBin> fit_joint(std::vector<LengthPair> pairs, std::size_t most_bins);

}  // namespace dsbench::loadgen
