#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernelbench/device.h"

namespace dsbench::kernelbench {

// What a set of timed samples says. Seconds.
struct SampleStats {
  double median = 0;
  double p10 = 0;
  double p90 = 0;
  double mad = 0;       // median absolute deviation from the median
  double clock_hz = 0;  // median; 0: not known
  std::int64_t samples = 0;
  std::int64_t dropped = 0;  // taken while the clock was below 90 % of its median: throttled, or the time of
                             // somebody else's program
  [[nodiscard]] bool throttled() const { return dropped * 5 > samples + dropped; }
  // Of the median: 1.2533·1.4826·MAD/√n, as for a normal law; relative to it.
  [[nodiscard]] double relative_error() const;
};

// The value at share q of a sorted series, interpolated (Hyndman and Fan's type 7). The series is not empty.
[[nodiscard]] double quantile_of_sorted(std::span<const double> sorted, double q);

// Drops the throttled samples, then describes the rest. No samples: zeros.
[[nodiscard]] SampleStats describe(std::span<const Sample> samples);

}  // namespace dsbench::kernelbench
