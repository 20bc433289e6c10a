#include "results/report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "results/report/words.h"

namespace dsbench::results::report {
namespace {

void widen(double& lo, double& hi) {
  if (hi > lo) return;
  const double half = lo == 0 ? 0.5 : std::abs(lo) * 0.5;
  lo -= half;
  hi += half;
}

double nice_step(double width, int at_most) {
  const double raw = width / std::max(1, at_most - 1);
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double k : {1.0, 2.0, 5.0}) {
    if (k * power >= raw * (1 - 1e-9)) return k * power;
  }
  return 10 * power;
}

double clock_step(double width, int at_most) {
  static constexpr std::array<double, 20> steps{1,     2,     5,     10,    15,     30,    60,
                                                120,   300,   600,   900,   1800,   3600,  7200,
                                                10800, 21600, 43200, 86400, 172800, 604800};
  const double raw = width / std::max(1, at_most - 1);
  if (raw < 1) return std::max(nice_step(width, at_most), 0.001);
  for (const double s : steps) {
    if (s >= raw * (1 - 1e-9)) return s;
  }
  return std::ceil(raw / steps.back()) * steps.back();
}

std::vector<double> multiples(double lo, double hi, double step) {
  std::vector<double> ticks;
  const double first = std::ceil(lo / step - 1e-9);
  const double last = std::floor(hi / step + 1e-9);
  for (double k = first; k <= last; ++k) ticks.push_back(k == 0 ? 0.0 : k * step);
  return ticks;
}

// The smallest step may still give one tick too many when neither end is on a tick.
template <class Step>
std::vector<double> spread(double lo, double hi, int at_most, Step step_for) {
  widen(lo, hi);
  for (int n = std::max(2, at_most);; --n) {
    std::vector<double> ticks = multiples(lo, hi, step_for(hi - lo, n));
    if (static_cast<int>(ticks.size()) <= std::max(2, at_most) || n <= 2) return ticks;
  }
}

}  // namespace

std::vector<double> nice_ticks(double lo, double hi, int at_most) {
  return spread(lo, hi, at_most, nice_step);
}
std::vector<double> clock_ticks(double lo, double hi, int at_most) {
  return spread(lo, hi, at_most, clock_step);
}

std::vector<double> log_ticks(double lo, double hi, int at_most) {
  const auto collect = [&](std::span<const double> in_decade, int every) {
    std::vector<double> ticks;
    const int first = static_cast<int>(std::floor(std::log10(lo) + 1e-9));
    const int last = static_cast<int>(std::ceil(std::log10(hi) - 1e-9));
    for (int d = first; d <= last; ++d) {
      if ((d - first) % every != 0) continue;
      for (const double k : in_decade) {
        const double v = k * std::pow(10.0, d);
        if (v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9)) ticks.push_back(v);
      }
    }
    return ticks;
  };
  static constexpr std::array<double, 3> fine{1, 2, 5};
  static constexpr std::array<double, 2> half{1, 5};
  static constexpr std::array<double, 1> whole{1};
  const auto room = static_cast<std::size_t>(std::max(2, at_most));
  std::vector<double> ticks = collect(fine, 1);
  if (ticks.size() > room) {
    std::vector<double> fewer = collect(half, 1);
    if (fewer.size() >= 2) ticks = std::move(fewer);
  }
  for (int every = 1; ticks.size() > room; ++every) {
    std::vector<double> fewer = collect(whole, every);
    if (fewer.size() < 2) break;  // one tick tells no scale
    ticks = std::move(fewer);
  }
  return ticks;
}

std::string tick_label(double value, AxisUnit unit, double step) {
  switch (unit) {
    case AxisUnit::share:
      return fmt::format("{:.{}f} %", value * 100, step < 0.00999 ? 1 : 0);
    case AxisUnit::duration: {
      const double a = std::abs(value);
      const auto short_number = [](double v) { return fmt::format("{:.3g}", v); };
      if (a == 0) return "0";
      if (a < 0.9995e-3) return short_number(value * 1e6) + " µs";
      if (a < 0.9995) return short_number(value * 1e3) + " ms";
      if (a < 999.5) return short_number(value) + " s";
      if (a < 7200) return short_number(value / 60) + " min";
      return short_number(value / 3600) + " h";
    }
    case AxisUnit::percentile:
      return value <= 1 ? "p0" : fmt::format("p{:.6g}", 100 - 100 / value);
    case AxisUnit::clock: {
      if (step < 1) return fmt::format("{:.3g} s", value);
      const auto s = static_cast<long long>(std::llround(std::abs(value)));
      const char* sign = value < 0 ? "−" : "";
      if (s >= 3600) return fmt::format("{}{}:{:02d}:{:02d}", sign, s / 3600, s / 60 % 60, s % 60);
      return fmt::format("{}{}:{:02d}", sign, s / 60, s % 60);
    }
    case AxisUnit::number:
      break;
  }
  const int decimals = step > 0 && step < 1 ? static_cast<int>(std::ceil(-std::log10(step) - 1e-9)) : 0;
  if (decimals > 0) return fmt::format("{:.{}f}", value, decimals);
  return count_text(std::llround(value));
}

AxisRange nice_range(double lo, double hi, Scale scale, AxisUnit unit, int at_most) {
  if (scale == Scale::log10) {
    const auto down = [](double v) {
      const double power = std::pow(10, std::floor(std::log10(v) + 1e-9));
      for (const double k : {5.0, 2.0}) {
        if (v >= k * power * (1 - 1e-9)) return k * power;
      }
      return power;
    };
    const auto up = [](double v) {
      const double power = std::pow(10, std::floor(std::log10(v) + 1e-9));
      for (const double k : {1.0, 2.0, 5.0}) {
        if (v <= k * power * (1 + 1e-9)) return k * power;
      }
      return 10 * power;
    };
    AxisRange range{down(lo), up(hi)};
    if (range.hi / range.lo < 9.99)
      range = {down(range.lo * 0.4), up(range.hi * 2)};  // at least about a decade
    return range;
  }
  widen(lo, hi);
  const double step = unit == AxisUnit::clock ? clock_step(hi - lo, at_most) : nice_step(hi - lo, at_most);
  return {std::floor(lo / step + 1e-9) * step, std::ceil(hi / step - 1e-9) * step};
}

}  // namespace dsbench::results::report
