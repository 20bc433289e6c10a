#include <algorithm>
#include <vector>

#include "kernelbench/cuda_probes.h"

namespace dsbench::kernelbench {

double clock_between(const ClockStamp* before, const ClockStamp* after, int processors) {
  std::vector<double> clocks;
  for (int i = 0; i < processors; ++i) {
    if (before[i].nanoseconds == 0 || after[i].nanoseconds <= before[i].nanoseconds ||
        after[i].cycles <= before[i].cycles)
      continue;
    clocks.push_back(static_cast<double>(after[i].cycles - before[i].cycles) /
                     (static_cast<double>(after[i].nanoseconds - before[i].nanoseconds) * 1e-9));
  }
  if (clocks.empty()) return 0;
  const auto middle = clocks.begin() + std::ssize(clocks) / 2;
  std::nth_element(clocks.begin(), middle, clocks.end());
  return *middle;
}

}  // namespace dsbench::kernelbench
