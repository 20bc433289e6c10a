#pragma once

#include <span>
#include <vector>

#include "core/units.h"

namespace dsbench::loadgen {

// The offered rate over time as straight lines. Each bin has as many arrivals as were counted in it: the
// height at a bin's edge lies between its neighbours' means, and the height in its middle makes up for the
// rest.
class RateCurve {
 public:
  struct Point {
    double at_s = 0, rate = 0;
  };
  // Bins of `width`; what is left of the length at the end joins the last bin when it is shorter than half a
  // one. `length` must be above nought.
  [[nodiscard]] static RateCurve fit(std::span<const Nanos> due, Nanos length, Nanos width);
  // A count is the rate and an accident, and a schedule drawn from the curve has accidents of its own. Given
  // the coefficient of variation of the (rescaled) gaps, counts are drawn towards the mean of their
  // neighbours by as much as accidents explain of their differences.
  [[nodiscard]] static RateCurve fit_calm(std::span<const Nanos> due, Nanos length, Nanos width, double cv);
  // The narrowest round width that leaves at least 100 arrivals in the mean bin and at most 150 bins.
  [[nodiscard]] static Nanos good_width(std::size_t arrivals, Nanos length);

  [[nodiscard]] const std::vector<Point>& points() const { return points_; }
  [[nodiscard]] Nanos width() const { return width_; }
  // The integral of the rate from 0 to t; t must not decrease from call to call of one Mass.
  class Mass {
   public:
    explicit Mass(const RateCurve& curve) : curve_{curve} {}
    [[nodiscard]] double until(double t_s);

   private:
    const RateCurve& curve_;
    std::size_t at_ = 0;
    double before_ = 0;
  };

 private:
  static RateCurve through(std::vector<double> edges, const std::vector<double>& rates, Nanos width);
  std::vector<Point> points_;
  Nanos width_{0};
};

// The coefficient of variation of the gaps measured by the integral of the rate over them (so that hours of
// little traffic do not pass for burstiness), and as they are. At least one arrival; sorted.
[[nodiscard]] double rescaled_cv(std::span<const Nanos> due, const RateCurve& curve);
[[nodiscard]] double raw_cv(std::span<const Nanos> due);

}  // namespace dsbench::loadgen
