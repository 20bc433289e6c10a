#include "results/gate/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/rng.h"
#include "results/gate/change_points.h"

namespace dsbench::results::gate {
namespace {

std::vector<double> steps(Rng& rng, std::initializer_list<std::pair<int, double>> levels, double noise) {
  std::vector<double> series;
  for (const auto& [runs, level] : levels) {
    for (int i = 0; i < runs; ++i) series.push_back(level * std::exp(noise * rng.normal()));
  }
  return series;
}

TEST(ChangePoints, known_steps_are_found_where_they_are) {
  // 5 % up after 40 runs, 8 % down after 90, 3 % up after 150, in noise of 1 %.
  int exact = 0, smallest = 0;
  constexpr int trials = 40;
  for (int t = 0; t < trials; ++t) {
    Rng rng{static_cast<std::uint64_t>(t), "change-points-test"};
    const auto series = steps(rng, {{40, 1.0}, {50, 1.05}, {60, 0.966}, {50, 0.995}}, 0.01);
    const auto points = change_points(series);
    ASSERT_GE(points.size(), 3U) << t;
    const auto near = [&](std::size_t where) {
      for (const ChangePoint& p : points) {
        if (p.index + 2 >= where && p.index <= where + 2) return true;
      }
      return false;
    };
    EXPECT_TRUE(near(40)) << t;
    EXPECT_TRUE(near(90)) << t;
    smallest += near(150);
    exact += points.size() == 3;
  }
  EXPECT_GE(smallest, trials * 9 / 10) << "three times the noise";
  EXPECT_GE(exact, trials * 8 / 10) << "and hardly any others";
}

TEST(ChangePoints, noise_has_none) {
  int series_with_any = 0;
  constexpr int trials = 200;
  for (int t = 0; t < trials; ++t) {
    Rng rng{static_cast<std::uint64_t>(t), "change-points-noise"};
    series_with_any += !change_points(steps(rng, {{50, 1.0}}, 0.02)).empty();
  }
  // The split is the best of 49, so that more than one in a thousand passes; measured 2.1 % of 2,000.
  EXPECT_LE(series_with_any, trials * 6 / 100);
  EXPECT_TRUE(change_points(std::vector<double>(100, 3.0)).empty());
  EXPECT_TRUE(change_points(std::vector<double>{}).empty());
  EXPECT_TRUE(change_points(std::vector<double>{1, 2}).empty());
}

TEST(ChangePoints, a_clean_step_is_as_sure_as_can_be) {
  std::vector<double> series(20, 1.0);
  for (std::size_t i = 10; i < 20; ++i) series[i] = 1.1;
  const auto points = change_points(series);
  ASSERT_EQ(points.size(), 1U);
  EXPECT_EQ(points[0].index, 10U);
  EXPECT_DOUBLE_EQ(points[0].before, 1.0);
  EXPECT_NEAR(points[0].after, 1.1, 1e-12);
  EXPECT_TRUE(change_points(series, {50, 0.001, 0.2}).empty()) << "smaller than what is asked for";
}

TEST(ChangePoints, one_spoiled_run_is_no_change) {
  Rng rng{9, "change-points-outlier"};
  auto series = steps(rng, {{60, 1.0}}, 0.01);
  series[30] *= 1.15;
  EXPECT_TRUE(change_points(series).empty());
}

HistoryRun line(const std::string& id, double ttft, const std::string& key = "k") {
  HistoryRun run;
  run.id = id;
  run.kind = "load";
  run.key = key;
  run.metrics["p50 ttft"] = {{"p50 ttft", Better::lower, Unit::seconds}, ttft};
  run.metrics["good_rate"] = {{"good_rate", Better::higher, Unit::per_second}, 1 / ttft};
  return run;
}

TEST(History, lines_read_back) {
  const std::string text = print_line(line("c1", 0.1)) + "\n" +
                           print_line(StateEvent{"c1", "*", ChangeState::accepted, "t", "on \"purpose\""});
  const auto history = parse_history(text, "h");
  ASSERT_TRUE(history) << history.error().message;
  ASSERT_EQ(history->runs.size(), 1U);
  EXPECT_EQ(history->runs[0].metrics.at("good_rate").first.better, Better::higher);
  EXPECT_DOUBLE_EQ(history->runs[0].metrics.at("p50 ttft").second, 0.1);
  ASSERT_EQ(history->events.size(), 1U);
  EXPECT_EQ(history->events[0].state, ChangeState::accepted);
  EXPECT_EQ(history->events[0].note, "on \"purpose\"");
  EXPECT_THAT(parse_history(text + "<<<<<<< HEAD\n", "h.jsonl").error().message,
              testing::StartsWith("h.jsonl line 4: not a line of a gate history: "));
  EXPECT_EQ(parse_history("{\"schema\":\"other/1\"}\n", "h").error().message,
            "h line 1: schema \"other/1\"; accepted: dsbench.history/1");
}

TEST(History, the_baseline_begins_after_the_last_change_and_states_are_explicit) {
  History history;
  for (int i = 0; i < 20; ++i)
    history.runs.push_back(line("a" + std::to_string(i), 0.100 + 0.0001 * (i % 3)));
  for (int i = 0; i < 20; ++i)
    history.runs.push_back(line("b" + std::to_string(i), 0.110 + 0.0001 * (i % 3)));
  history.runs.insert(history.runs.begin() + 5, line("elsewhere", 9, "another key"));
  auto series = series_of(history, {});
  ASSERT_EQ(series.size(), 2U);
  const Series& ttft = series[1];
  EXPECT_EQ(ttft.metric.name, "p50 ttft");
  EXPECT_EQ(ttft.values.size(), 40U) << "only what is comparable";
  ASSERT_EQ(ttft.changes.size(), 1U);
  EXPECT_EQ(ttft.changes[0].id, "b0");
  EXPECT_TRUE(ttft.changes[0].worse);
  EXPECT_TRUE(series[0].changes[0].worse) << "a lower rate is worse";
  EXPECT_EQ(ttft.baseline_from, 20U);
  ASSERT_NE(worst_open(series), nullptr);

  history.events.push_back({"b0", "p50 ttft", ChangeState::accepted, "", "meant"});
  series = series_of(history, {});
  EXPECT_EQ(series[1].changes[0].state, ChangeState::accepted);
  EXPECT_EQ(worst_open(series)->metric, "good_rate") << "only what was named is closed";
  history.events.push_back({"b0", "*", ChangeState::fixed, "", ""});
  series = series_of(history, {});
  EXPECT_EQ(series[1].changes[0].state, ChangeState::fixed) << "the last word counts";
  EXPECT_EQ(worst_open(series), nullptr);
}

}  // namespace
}  // namespace dsbench::results::gate
