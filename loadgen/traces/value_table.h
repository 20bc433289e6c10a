#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace dsbench::loadgen {

// A distribution over values with given weights; drawn by its inverse CDF.
class ValueTable {
 public:
  // From "{45: 0.0097, 46: 0.0117}", a Python dict. Weights need not add up to one.
  [[nodiscard]] static Result<ValueTable> parse(std::string_view python_dict);
  // Values and their weights, neither below 0.
  [[nodiscard]] static ValueTable of(std::vector<std::pair<double, double>> weighted);
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] double at(double u) const;  // u in [0, 1)
  [[nodiscard]] double mean() const;

 private:
  std::vector<double> values_, cumulative_;
};

}  // namespace dsbench::loadgen
