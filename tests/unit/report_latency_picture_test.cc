#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "results/report/latency_picture.h"

namespace dsbench::results::report {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

HdrInterval interval(const char* tag, Nanos start, std::vector<Nanos> values, std::int64_t failed = 0) {
  HdrInterval i{.tag = tag, .start = start, .length = 1s, .histogram = {}};
  for (const Nanos v : values) i.histogram.record(v);
  i.histogram.record_infinite(failed);
  return i;
}

TEST(LatencyPicture, CountsEveryRequestOnceInItsColumnAndRow) {
  std::vector<HdrInterval> log;
  log.push_back(interval("ttft;0-a", 0s, {10ms, 10ms, 1s}));
  log.push_back(interval("ttft;0-a", 3s, {100ms}, 2));
  log.push_back(interval("ttft_service;0-a", 3s, {50ms}));
  log.push_back(interval("e2e;0-a", 9s, {5s}));
  const LatencyPicture p = picture_of(log);
  ASSERT_EQ(p.columns.size(), 4U);
  EXPECT_EQ(p.bin_s, 1);
  std::int64_t sum = 0;
  for (const auto& column : p.columns) {
    for (const std::int64_t n : column) sum += n;
  }
  EXPECT_EQ(sum, 4);
  EXPECT_EQ(p.failed[3], 2);
  EXPECT_EQ(p.columns[0].front(), 2);
  EXPECT_EQ(p.columns[0].back(), 1);
}

TEST(LatencyPicture, StaysSmallForADay) {
  std::vector<HdrInterval> log;
  for (int s = 0; s < 86400; s += 60)
    log.push_back(interval("ttft;0-a", std::chrono::seconds{s}, {Nanos{10ms} + Nanos{s * 1000}, 2s},
                           s % 7 == 0 ? 1 : 0));
  const LatencyPicture p = picture_of(log);
  EXPECT_LE(p.columns.size(), 120U);
  EXPECT_LT(render_heat_map(p, "h").size(), 50'000U);
  // The narrow one draws the same cells once more.
  EXPECT_THAT(render_heat_map(p, "h"), HasSubstr("<g id=\"h-cells\">"));
  EXPECT_THAT(render_heat_map(p, "h", narrow_chart), HasSubstr("<use href=\"#h-cells\"/>"));
  EXPECT_LT(render_heat_map(p, "h", narrow_chart).size(), 10'000U);
}

TEST(LatencyPicture, IsEmptyWithoutTtft) {
  EXPECT_TRUE(picture_of({}).empty());
  const std::vector<HdrInterval> log{interval("e2e;0-a", 0s, {1s})};
  EXPECT_TRUE(picture_of(log).empty());
}

TEST(LatencyPicture, DrawsTheSpectrumOnlyAsFarAsTheSamplesCarry) {
  std::vector<Nanos> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(Nanos{i * 1'000'000});
  const std::vector<HdrInterval> log{interval("ttft;0-a", 0s, values)};
  const LatencyPicture p = picture_of(log);
  ASSERT_FALSE(p.spectra[0].points.empty());
  // 1,000 samples carry p99 (662 are needed), not p99.9 (6,636).
  EXPECT_GE(p.spectra[0].points.back().first, 99);
  EXPECT_LT(p.spectra[0].points.back().first, 300);
  const Chart chart = spectrum_chart(p, "s");
  ASSERT_EQ(chart.lines.size(), 1U);
  EXPECT_THAT(render_svg(chart, wide_chart), HasSubstr("<svg"));
  EXPECT_THAT(render_heat_map(p, "h"), HasSubstr("role=\"img\""));
}

}  // namespace
}  // namespace dsbench::results::report
