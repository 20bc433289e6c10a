#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "results/report/charts.h"
#include "results/report/curves.h"
#include "results/report/svg_chart.h"
#include "tests/fakes/sample_runs.h"
#include "tests/fakes/xml_check.h"

namespace dsbench::results::report {
namespace {

using testing::HasSubstr;
using testing::Not;

Chart small_chart() {
  Chart chart;
  chart.id = "c";
  chart.title = "A <small> chart";
  chart.description = "Two lines & a mark.";
  chart.x = {.title = "offered", .lo = 0.0, .hi = {}};
  chart.y = {.title = "good", .lo = 0.0, .hi = {}};
  ChartLine line{.label = "up",
                 .tone = "good",
                 .marker = Marker::circle,
                 .end_label = true,
                 .points = {},
                 .scattered = {}};
  line.points = {{10, 10, "step \"1\""}, {20, 19, ""}, {30, 5, ""}};
  chart.lines.push_back(line);
  ChartLine down{.label = "down",
                 .tone = "bad",
                 .dash = Dash::dashed,
                 .marker = Marker::square,
                 .hollow = true,
                 .arrows = true,
                 .points = {},
                 .scattered = {}};
  down.points = {{30, 5, ""}, {15, std::numeric_limits<double>::infinity(), ""}, {10, std::nan(""), ""}};
  chart.lines.push_back(down);
  chart.marks.push_back({20, "knee", "knee", Dash::dashed});
  chart.levels.push_back({12, "SLO", "bad"});
  chart.bands.push_back({5, 25, "hold", "hold"});
  chart.diagonal = true;
  return chart;
}

TEST(SvgChart, IsTheSameByteForByte) {
  const std::string svg = render_svg(small_chart(), {"wide", 400, 120, 12, true, true}) + "\n";
  std::ifstream file(std::string(DSBENCH_SOURCE_DIR) + "/tests/golden/report_chart.svg");
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(svg, golden.str()) << "when the change is meant, write this to tests/golden/report_chart.svg";
}

TEST(SvgChart, IsWellFormedAndSpeaksToScreenReaders) {
  for (const ChartSize& size : {wide_chart, narrow_chart}) {
    const std::string svg = render_svg(small_chart(), size);
    EXPECT_EQ(tests::xml_complaint(svg), "");
    EXPECT_THAT(svg, HasSubstr("role=\"img\""));
    EXPECT_THAT(svg, HasSubstr("A &lt;small&gt; chart</title>"));
    EXPECT_THAT(svg, HasSubstr("Two lines &amp; a mark.</desc>"));
    EXPECT_THAT(svg, HasSubstr(">∞</text>"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(SvgChart, StandsWithoutData) {
  Chart chart;
  chart.id = "empty";
  EXPECT_EQ(tests::xml_complaint(render_svg(chart, wide_chart)), "");
  chart.y.scale = Scale::log10;
  const std::string svg = render_svg(chart, narrow_chart);
  EXPECT_EQ(tests::xml_complaint(svg), "");
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(SvgChart, LabelsAreMovedApart) {
  EXPECT_THAT(spread_labels({50, 52, 120}, 10, 0, 200), testing::ElementsAre(50, 60, 120));
  EXPECT_THAT(spread_labels({98, 99}, 10, 0, 100), testing::ElementsAre(85, 95));
  EXPECT_THAT(spread_labels({40, 10}, 10, 0, 100), testing::ElementsAre(40, 10));
}

TEST(Curves, WayUpIsPooledAndWayDownFollowsTheLastHold) {
  const RunSummary run = tests::sample_run(tests::Sample::collapsed);
  const std::vector<const StageSummary*> up = rising(run);
  ASSERT_EQ(up.size(), 9U);
  EXPECT_TRUE(std::is_sorted(up.begin(), up.end(), [](auto* a, auto* b) { return a->offered < b->offered; }));
  EXPECT_EQ(pool(up).size(), 8U) << "180/s was measured twice";
  const std::vector<const StageSummary*> down = falling(run);
  ASSERT_EQ(down.size(), 6U);
  EXPECT_EQ(down.front()->kind, StageKind::hold);
  EXPECT_EQ(down.back()->kind, StageKind::recovery);
  EXPECT_TRUE(falling(tests::sample_run(tests::Sample::single_stage)).empty());
}

TEST(Curves, RecoveryCountsFromTheFirstStageBackAtTheKnee) {
  const RunSummary run = tests::sample_run(tests::Sample::bounded);
  const std::optional<RecoveryWindow> window = recovery_window(run);
  ASSERT_TRUE(window);
  const auto back = std::find_if(run.stages.begin(), run.stages.end(),
                                 [](const StageSummary& s) { return s.name == "descent 3"; });
  EXPECT_DOUBLE_EQ(window->trigger_end, to_seconds(back->start));
  ASSERT_TRUE(window->recovered_at);
  EXPECT_DOUBLE_EQ(*window->recovered_at, window->trigger_end + 6);
  EXPECT_FALSE(recovery_window(tests::sample_run(tests::Sample::many_stages)));
}

TEST(Curves, BinsKeepTheRatesAndTheWorst) {
  RunSummary run;
  for (int i = 0; i < 10; ++i) {
    TimelinePoint p;
    p.second = i;
    p.offered = i;
    p.in_flight = i == 3 ? 99 : 1;
    run.timeline.push_back(p);
  }
  const BinnedTimeline binned = bin_timeline(run, 3);
  EXPECT_EQ(binned.bin, 4);
  ASSERT_EQ(binned.bins.size(), 3U);
  EXPECT_DOUBLE_EQ(binned.bins[0].offered, (0 + 1 + 2 + 3) / 4.0);
  EXPECT_DOUBLE_EQ(binned.bins[0].in_flight, 99);
  EXPECT_DOUBLE_EQ(binned.bins[2].offered, (8 + 9) / 2.0) << "the last bin is shorter";
  EXPECT_TRUE(bin_timeline(RunSummary{}, 3).bins.empty());
}

}  // namespace
}  // namespace dsbench::results::report
