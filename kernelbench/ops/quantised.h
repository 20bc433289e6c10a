#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernelbench/tensor.h"

namespace dsbench::kernelbench {

// How a row of numbers is rounded to codes with scales max(amax, least)/most.
struct QuantisedGate {
  std::int64_t group = 128;  // values that share a scale
  double tolerance = 1e-6;   // relative error of a scale, and of a value before it is rounded
  double least = 0;
  double most = 127;
};

// What is wrong with the codes and scales of a row that should hold `want`; empty: nothing. A code must be
// the nearest to want/scale, with the kernel's own (right) scale; within the tolerance of a tie either will
// do.
[[nodiscard]] std::string check_quantised_row(const std::vector<double>& want, std::int64_t row,
                                              const HostTensor& codes, const HostTensor& scales,
                                              const QuantisedGate& gate);

}  // namespace dsbench::kernelbench
