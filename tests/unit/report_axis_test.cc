#include "results/report/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dsbench::results::report {
namespace {

using testing::DoubleNear;
using testing::Pointwise;

std::vector<std::string> labels(const std::vector<double>& ticks, AxisUnit unit) {
  std::vector<std::string> out;
  for (const double t : ticks) out.push_back(tick_label(t, unit, ticks.size() > 1 ? ticks[1] - ticks[0] : 1));
  return out;
}

TEST(Axis, NiceTicksAreOneTwoOrFiveTimesAPowerOfTen) {
  struct Case {
    double lo, hi;
    int at_most;
    std::vector<double> ticks;
  };
  const Case cases[] = {
      {0, 1, 6, {0, 0.2, 0.4, 0.6, 0.8, 1}},
      {0, 270, 7, {0, 50, 100, 150, 200, 250}},
      {0, 270, 4, {0, 100, 200}},
      {3, 9, 5, {4, 6, 8}},
      {-10, 10, 5, {-10, -5, 0, 5, 10}},
      {0, 0.003, 4, {0, 0.001, 0.002, 0.003}},
      {0, 360000, 5, {0, 100000, 200000, 300000}},
      {7, 7, 5, {4, 6, 8, 10}},
  };
  for (const Case& c : cases) {
    const std::vector<double> ticks = nice_ticks(c.lo, c.hi, c.at_most);
    EXPECT_THAT(ticks, Pointwise(DoubleNear(1e-9), c.ticks)) << c.lo << " … " << c.hi;
    EXPECT_LE(ticks.size(), static_cast<std::size_t>(c.at_most));
  }
}

TEST(Axis, ClockTicksFallOnRoundTimes) {
  EXPECT_THAT(labels(clock_ticks(0, 60, 5), AxisUnit::clock),
              testing::ElementsAre("0:00", "0:15", "0:30", "0:45", "1:00"));
  EXPECT_THAT(labels(clock_ticks(0, 10800, 4), AxisUnit::clock),
              testing::ElementsAre("0:00", "1:00:00", "2:00:00", "3:00:00"));
  EXPECT_THAT(labels(clock_ticks(-60, 60, 3), AxisUnit::clock),
              testing::ElementsAre("−1:00", "0:00", "1:00"));
}

TEST(Axis, LogTicksThinOutButKeepTwo) {
  EXPECT_THAT(log_ticks(0.1, 10, 8), Pointwise(DoubleNear(1e-9), {0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0}));
  EXPECT_THAT(log_ticks(0.1, 10, 5), Pointwise(DoubleNear(1e-9), {0.1, 0.5, 1.0, 5.0, 10.0}));
  EXPECT_THAT(log_ticks(0.001, 100, 6), Pointwise(DoubleNear(1e-9), {0.001, 0.01, 0.1, 1.0, 10.0, 100.0}));
  EXPECT_THAT(log_ticks(0.02, 0.2, 2), Pointwise(DoubleNear(1e-9), {0.05, 0.1}));
}

TEST(Axis, LabelsCarryTheirUnit) {
  EXPECT_EQ(tick_label(0.25, AxisUnit::share, 0.25), "25 %");
  EXPECT_EQ(tick_label(0.995, AxisUnit::share, 0.005), "99.5 %");
  EXPECT_EQ(tick_label(0.02, AxisUnit::duration, 1), "20 ms");
  EXPECT_EQ(tick_label(5, AxisUnit::duration, 1), "5 s");
  EXPECT_EQ(tick_label(12000, AxisUnit::number, 2000), "12,000");
  EXPECT_EQ(tick_label(0.2, AxisUnit::number, 0.2), "0.2");
  EXPECT_EQ(tick_label(0.25, AxisUnit::clock, 0.25), "0.25 s");
}

TEST(Axis, RangesEndOnTicksAndHoldTheData) {
  const AxisRange linear = nice_range(0, 273, Scale::linear, AxisUnit::number, 7);
  EXPECT_DOUBLE_EQ(linear.lo, 0);
  EXPECT_DOUBLE_EQ(linear.hi, 300);
  const AxisRange log = nice_range(0.07, 8.5, Scale::log10, AxisUnit::duration, 5);
  EXPECT_DOUBLE_EQ(log.lo, 0.05);
  EXPECT_DOUBLE_EQ(log.hi, 10);
  const AxisRange flat = nice_range(0.5, 0.5, Scale::log10, AxisUnit::duration, 5);
  EXPECT_LE(flat.lo, 0.5);
  EXPECT_GE(flat.hi / flat.lo, 5);
}

}  // namespace
}  // namespace dsbench::results::report
