#pragma once

#include <string>
#include <vector>

namespace dsbench::results::report {

enum class Scale { linear, log10 };
enum class AxisUnit {
  number,      // "1,500", "0.2"
  share,       // 0.5 is "50 %"
  duration,    // seconds, each tick with its unit: "200 ms", "5 s", "2 min"
  clock,       // seconds of a run: "0:30", "1:05:00"
  percentile,  // 1 ÷ (1 − share): 2 is "p50", 1,000 is "p99.9"
};

// Ticks at 1, 2 or 5 times a power of ten, from the first at or above `lo` to the last at or below `hi`; at
// most `at_most` of them (at least 2). A stretch without width is widened.
[[nodiscard]] std::vector<double> nice_ticks(double lo, double hi, int at_most);
// The same in steps that people read on a clock: 1, 2, 5, 10, 15, 30 s, 1, 2, 5 … min, 1, 2, 6 h …
[[nodiscard]] std::vector<double> clock_ticks(double lo, double hi, int at_most);
// 1, 2 and 5 in each decade where there is room, else 1 and 5, else the decades, else every second, third …
// decade; but two ticks at least, where the range has them. lo > 0.
[[nodiscard]] std::vector<double> log_ticks(double lo, double hi, int at_most);

// `step` is the distance between ticks: it decides how many decimals a number needs.
[[nodiscard]] std::string tick_label(double value, AxisUnit unit, double step);

struct AxisRange {
  double lo = 0, hi = 1;
};
// A range that begins and ends on ticks and holds [lo, hi].
[[nodiscard]] AxisRange nice_range(double lo, double hi, Scale scale, AxisUnit unit, int at_most);

}  // namespace dsbench::results::report
