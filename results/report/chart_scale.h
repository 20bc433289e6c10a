#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "results/report/svg_chart.h"

// From the values of a chart to its axes: ranges, ticks, pixels. Used by the renderer alone.
namespace dsbench::results::report {

class Mapping {
 public:
  Mapping(Scale scale, AxisRange range, double from, double to) : scale_{scale}, from_{from}, to_{to} {
    lo_ = warp(range.lo);
    hi_ = warp(range.hi);
  }
  [[nodiscard]] double operator()(double v) const {
    return from_ + (warp(v) - lo_) / (hi_ - lo_) * (to_ - from_);
  }

 private:
  [[nodiscard]] double warp(double v) const {
    return scale_ == Scale::log10 ? std::log10(std::max(v, 1e-12)) : v;
  }
  Scale scale_;
  double from_, to_;
  double lo_ = 0, hi_ = 1;
};

// Every finite value of one axis.
template <class Visit>
void each_point(const Chart& chart, Visit visit) {
  for (const ChartLine& line : chart.lines) {
    for (const ChartPoint& p : line.points) visit(p);
    for (const ChartPoint& p : line.scattered) visit(p);
  }
}

[[nodiscard]] int x_tick_count(const ChartSize& size);
[[nodiscard]] int y_tick_count(const ChartSize& size);
[[nodiscard]] AxisRange y_range(const Chart& chart, const ChartSize& size);
[[nodiscard]] std::vector<double> ticks_of(const ChartAxis& axis, AxisRange range, int at_most);
[[nodiscard]] double step_of(const std::vector<double>& ticks);

}  // namespace dsbench::results::report
