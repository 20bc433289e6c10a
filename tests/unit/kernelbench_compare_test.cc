#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernelbench/report/compare.h"
#include "kernelbench/report/results_file.h"
#include "kernelbench/report/table.h"
#include "results/gate/judge.h"

namespace dsbench::kernelbench {
namespace {

using testing::HasSubstr;

Problem norm(std::int64_t tokens) {
  auto problem = problem_from_json(R"({"op":"rmsnorm","dtype":"f32","params":{"tokens":)" +
                                   std::to_string(tokens) + R"(,"hidden":64}})");
  EXPECT_TRUE(problem);
  return *problem;
}

// Nine repetitions of about `seconds`, ±0.2 %.
CellResult cell(double seconds, std::int64_t tokens = 4, double clock_hz = 2e9) {
  CellResult c;
  c.problem = norm(tokens);
  c.name = name_of(c.problem);
  c.kernel = {.name = "k", .op = "rmsnorm", .author = "test", .device = "cpu"};
  c.check.passed = true;
  c.check.rows_checked = c.check.rows = 4;
  c.work = {.flops = 1e6, .bytes = 1e6, .unit = "f32"};
  for (int i = -4; i <= 4; ++i) c.repetitions_s.push_back(seconds * (1 + 0.0005 * i));
  c.stats = {.median = seconds,
             .p10 = seconds * 0.999,
             .p90 = seconds * 1.001,
             .mad = seconds * 0.0005,
             .clock_hz = clock_hz,
             .samples = 90};
  return c;
}

KernelRun run_of(std::vector<CellResult> cells, double control = 1e-3) {
  KernelRun run;
  run.facts = {{"cpu_model", "here"}, {"threads", "2"}, {"compiler", "A"}};
  run.ceilings.copy_bytes_per_s = 10e9;
  run.ceilings.peaks = {{"f32", 1e12, "loop"}};
  run.cells = std::move(cells);
  CellResult copy = cell(control);
  copy.name = kControlName;
  copy.kernel = {.name = "copy", .op = "control", .author = "dsbench", .device = "cpu"};
  run.cells.push_back(copy);
  for (CellResult& c : run.cells) c.roofline = roofline_of(c.work, run.ceilings);
  return run;
}

ChangeRow judged(const CellResult& base, const CellResult& cand) {
  const auto c = compare(run_of({base}), run_of({cand}), {});
  EXPECT_TRUE(c) << c.error().message;
  EXPECT_TRUE(c->valid) << c->why;
  return c->rows.at(0);
}

TEST(Compare, IsSameWithinTheMarginHoweverSure) {
  const ChangeRow row = judged(cell(100e-6), cell(102e-6));
  EXPECT_EQ(row.change, Change::same);
  EXPECT_NEAR(row.ratio, 1.02, 1e-9);
  EXPECT_LT(row.p, 0.001);
}

TEST(Compare, IsSlowOrFastWithAllTheEvidence) {
  EXPECT_EQ(judged(cell(100e-6), cell(110e-6)).change, Change::slow);
  EXPECT_EQ(judged(cell(110e-6), cell(100e-6)).change, Change::fast);
}

TEST(Compare, HasAFloorBelowWhichNoDifferenceCounts) {
  EXPECT_EQ(judged(cell(1e-6), cell(1.2e-6)).change, Change::same);
}

TEST(Compare, IsAmbiguousWhenIntervalsOverlap) {
  CellResult wide = cell(110e-6);
  wide.stats.p10 = 90e-6;
  const ChangeRow row = judged(cell(100e-6), wide);
  EXPECT_EQ(row.change, Change::ambiguous);
  EXPECT_EQ(row.why, "the intervals from p10 to p90 overlap");
}

TEST(Compare, IsAmbiguousWhenTheClockExplainsIt) {
  const ChangeRow row = judged(cell(100e-6, 4, 2.0e9), cell(110e-6, 4, 1.82e9));
  EXPECT_EQ(row.change, Change::ambiguous);
  EXPECT_THAT(row.why, HasSubstr("not confirmed in cycles"));
}

TEST(Compare, IsAmbiguousWithTooFewRepetitions) {
  CellResult few = cell(110e-6);
  few.repetitions_s.resize(5);
  const ChangeRow row = judged(cell(100e-6), few);
  EXPECT_EQ(row.change, Change::ambiguous);
  EXPECT_EQ(row.why, "9 and 5 repetitions; 9 of each are needed");
}

TEST(Compare, CarriesStatesThatHaveNoTime) {
  CellResult wrong = cell(100e-6);
  wrong.state = CellState::incorrect;
  wrong.why = "row 3";
  EXPECT_EQ(judged(cell(100e-6), wrong).change, Change::incorrect);
  CellResult throttled = cell(100e-6);
  throttled.state = CellState::throttled;
  EXPECT_EQ(judged(cell(100e-6), throttled).change, Change::throttled);
  EXPECT_EQ(judged(throttled, cell(100e-6)).change, Change::throttled);
  CellResult none = cell(100e-6);
  none.state = CellState::unsupported;
  none.repetitions_s.clear();
  EXPECT_EQ(judged(cell(100e-6), none).change, Change::unsupported);
  EXPECT_EQ(judged(none, cell(100e-6)).change, Change::no_baseline);
  EXPECT_EQ(judged(cell(100e-6, 8), cell(100e-6, 4)).change, Change::no_baseline);
}

TEST(Compare, IsInvalidWhenTheControlMoved) {
  const auto c = compare(run_of({cell(1e-4)}, 1e-3), run_of({cell(1e-4)}, 1.02e-3), {});
  ASSERT_TRUE(c);
  EXPECT_FALSE(c->valid);
  EXPECT_THAT(c->why, HasSubstr("+2.0 %, more than the 1.0 %"));
  EXPECT_THAT(render_comparison(*c), HasSubstr("INVALID"));
}

TEST(Compare, RefusesAnotherMachineUnlessAllowedByName) {
  KernelRun other = run_of({cell(1e-4)});
  other.facts[0].second = "there";
  other.facts[2].second = "B";
  const auto refused = compare(run_of({cell(1e-4)}), other, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::usage);
  EXPECT_THAT(refused.error().message, HasSubstr("cpu_model: baseline here, candidate there"));
  EXPECT_THAT(refused.error().message, HasSubstr("compiler: baseline A, candidate B"));
  EXPECT_TRUE(compare(run_of({cell(1e-4)}), other, {.allowed = {"cpu_model", "compiler"}}));
}

TEST(MinRoofline, FindsWhatIsBelowAndRefusesALimitThatGuardsNothing) {
  KernelRun run = run_of({cell(400e-6)});  // 1 MB at 10 GB/s is 100 µs: 25 %
  const auto limits = parse_min_roofline(
      R"({"schema":"dsbench.min-roofline/1","limits":[{"cell":"rmsnorm/*","percent":20},{"cell":"*tokens=4*","percent":30}]})",
      "f");
  ASSERT_TRUE(limits) << limits.error().message;
  const auto below = check_min_roofline(run, *limits, "f");
  ASSERT_TRUE(below) << below.error().message;
  ASSERT_EQ(below->size(), 1U);
  EXPECT_NEAR(below->front().percent, 25, 0.01);
  EXPECT_EQ(below->front().limit, 30);

  const auto idle = check_min_roofline(run, {{"gemm/*", "*", 10}}, "f");
  ASSERT_FALSE(idle);
  EXPECT_THAT(idle.error().message, HasSubstr("names nothing in this run"));
  EXPECT_FALSE(parse_min_roofline(
      R"({"schema":"dsbench.min-roofline/1","limits":[{"cell":"a","percent":120}]})", "f"));
  EXPECT_FALSE(parse_min_roofline(
      R"({"schema":"dsbench.min-roofline/1","limits":[{"cell":"a","percent":20,"typo":1}]})", "f"));
  EXPECT_FALSE(parse_min_roofline("{}", "f"));
}

TEST(Pattern, StarStandsForAnything) {
  EXPECT_TRUE(results::gate::matches("*", ""));
  EXPECT_TRUE(results::gate::matches("gemm/*/f32", "gemm/m=1/n=2/f32"));
  EXPECT_FALSE(results::gate::matches("gemm/*/f32", "gemm/m=1/bf16"));
  EXPECT_TRUE(results::gate::matches("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(results::gate::matches("a*b*c", "aXbYbZ"));
  EXPECT_FALSE(results::gate::matches("abc", "abcd"));
}

TEST(ResultsFile, ComesBackAsItWas) {
  KernelRun run = run_of({cell(123e-6)});
  run.cells[0].baseline = "lib";
  run.cells[0].baseline_s = 100e-6;
  run.cells[0].routing = RoutingFacts{.experts = 8, .active = 5, .rows_median = 2, .rows_max = 4};
  run.cells[0].check.freivalds_sigma = 1.5;
  const auto back = parse_results(print_results(run, ""), "file");
  ASSERT_TRUE(back) << back.error().message;
  ASSERT_EQ(back->cells.size(), 2U);
  EXPECT_EQ(back->cells[0].name, run.cells[0].name);
  EXPECT_EQ(back->cells[0].repetitions_s, run.cells[0].repetitions_s);
  EXPECT_EQ(back->cells[0].baseline_s, 100e-6);
  EXPECT_EQ(back->cells[0].routing->active, 5);
  EXPECT_EQ(back->cells[0].check.freivalds_sigma, 1.5);
  EXPECT_EQ(back->facts.size(), 3U);
  EXPECT_EQ(back->ceilings.peaks[0].measured_by, "loop");
  EXPECT_EQ(render_table(*back), render_table(run));
}

TEST(ResultsFile, RefusesWhatIsNotOne) {
  EXPECT_THAT(parse_results("{}", "x.json").error().message,
              HasSubstr("x.json is no result of dsbench kernels"));
  EXPECT_THAT(parse_results(R"({"dsbench":{"schema":"dsbench.kernels/9"}})", "x.json").error().message,
              HasSubstr("dsbench.kernels/1"));
  EXPECT_FALSE(parse_results("not json", "x.json"));
}

TEST(Table, SaysWhyACellHasNoTime) {
  CellResult wrong = cell(1e-4);
  wrong.state = CellState::incorrect;
  wrong.why = "row 3 is off";
  wrong.repetitions_s.clear();
  const std::string text = render_table(run_of({wrong, cell(42e-6, 8)}));
  EXPECT_THAT(text, HasSubstr("incorrect: row 3 is off"));
  EXPECT_THAT(text, HasSubstr("42.0 µs"));
  EXPECT_EQ(format_seconds(1.5e-9), "1.50 ns");
  EXPECT_EQ(format_seconds(0.25), "250 ms");
}

}  // namespace
}  // namespace dsbench::kernelbench
