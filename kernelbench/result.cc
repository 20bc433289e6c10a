#include "kernelbench/result.h"

#include <algorithm>

namespace dsbench::kernelbench {

double CellResult::seconds() const {
  if (repetitions_s.empty()) return 0;
  std::vector<double> sorted = repetitions_s;
  std::sort(sorted.begin(), sorted.end());
  return quantile_of_sorted(sorted, 0.5);
}

double CellResult::percent_of_roofline() const {
  const double t = seconds();
  return roofline && t > 0 ? 100 * roofline->seconds / t : 0;
}

Roofline roofline_of(const Work& work, const Ceilings& ceilings) {
  Roofline roof{.seconds = ceilings.launch_floor_s, .bound = "launch"};
  const double bandwidth = std::max(ceilings.copy_bytes_per_s, ceilings.read_bytes_per_s);
  if (bandwidth > 0 && work.bytes / bandwidth > roof.seconds) roof = {work.bytes / bandwidth, "memory"};
  for (const Ceilings::Peak& peak : ceilings.peaks) {
    if (peak.unit == work.unit && peak.flops_per_s > 0 && work.flops / peak.flops_per_s > roof.seconds)
      roof = {work.flops / peak.flops_per_s, "compute"};
  }
  return roof;
}

}  // namespace dsbench::kernelbench
