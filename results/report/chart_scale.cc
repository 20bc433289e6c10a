#include "results/report/chart_scale.h"

#include <numeric>
#include <utility>

#include "results/report/escape.h"

namespace dsbench::results::report {
namespace {

AxisRange range_of(const ChartAxis& axis, std::vector<double> values, int ticks) {
  std::erase_if(values,
                [&](double v) { return !std::isfinite(v) || (axis.scale == Scale::log10 && v <= 0); });
  double lo = axis.scale == Scale::log10 ? 0.1 : 0;
  double hi = 1;
  if (!values.empty()) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    lo = *least;
    hi = *most;
  }
  if (axis.lo) lo = *axis.lo;
  if (axis.hi) hi = *axis.hi;
  if (axis.scale == Scale::linear && hi <= lo) hi = lo + 1;
  AxisRange range = nice_range(lo, hi, axis.scale, axis.unit, ticks);
  if (axis.lo) range.lo = *axis.lo;
  if (axis.hi) range.hi = *axis.hi;
  return range;
}

}  // namespace

int x_tick_count(const ChartSize& size) {
  return std::max(3, static_cast<int>(size.width / (size.font * 6.5)));
}
int y_tick_count(const ChartSize& size) {
  return std::max(3, static_cast<int>(size.plot_height / (size.font * 3.2)));
}

AxisRange y_range(const Chart& chart, const ChartSize& size) {
  std::vector<double> values;
  each_point(chart, [&](const ChartPoint& p) { values.push_back(p.y); });
  for (const ChartLevel& level : chart.levels) values.push_back(level.y);
  return range_of(chart.y, std::move(values), y_tick_count(size));
}

std::vector<double> ticks_of(const ChartAxis& axis, AxisRange range, int at_most) {
  if (axis.scale == Scale::log10) return log_ticks(range.lo, range.hi, at_most);
  if (axis.unit == AxisUnit::clock) return clock_ticks(range.lo, range.hi, at_most);
  return nice_ticks(range.lo, range.hi, at_most);
}

double step_of(const std::vector<double>& ticks) {
  return ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
}

AxisRange x_range(const Chart& chart, const ChartSize& size) {
  std::vector<double> values;
  each_point(chart, [&](const ChartPoint& p) { values.push_back(p.x); });
  for (const ChartMark& mark : chart.marks) values.push_back(mark.x);
  return range_of(chart.x, std::move(values), x_tick_count(size));
}

double text_width(std::string_view text, double font) {
  return static_cast<double>(code_points(text)) * font * 0.56;
}

std::vector<double> spread_labels(std::vector<double> centres, double height, double lo, double hi) {
  std::vector<std::size_t> order(centres.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return centres[a] < centres[b]; });
  double floor = lo + height / 2;
  for (const std::size_t i : order) {
    centres[i] = std::max(centres[i], floor);
    floor = centres[i] + height;
  }
  double ceiling = hi - height / 2;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    centres[*it] = std::min(centres[*it], ceiling);
    ceiling = centres[*it] - height;
  }
  return centres;
}

}  // namespace dsbench::results::report
