#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/rng.h"
#include "results/verdicts/collapse_verdict.h"
#include "results/verdicts/overall_verdict.h"
#include "results/verdicts/recovery_verdict.h"
#include "results/verdicts/step_verdict.h"

namespace dsbench::results {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(StepVerdict, table) {
  struct Row {
    std::int64_t good, offered;
    StepVerdict verdict;
  };
  for (const auto& [good, offered, verdict] : std::vector<Row>{
           {298, 298, StepVerdict::unclear},  // one too few to show 99 %
           {299, 299, StepVerdict::good},
           {472, 473, StepVerdict::good},  // one failure takes 473
           {471, 472, StepVerdict::unclear},
           {0, 1, StepVerdict::bad},
           {9, 10, StepVerdict::unclear},
           {970, 1000, StepVerdict::bad},
           {0, 0, StepVerdict::unclear},
           {990, 1000, StepVerdict::unclear},
       }) {
    EXPECT_EQ(judge_step(good, offered).verdict, verdict) << good << " of " << offered;
  }
}

// Seconds from `first` on, `due` a second, good as f says.
std::vector<SecondCounts> seconds(std::int64_t first, int n, std::int64_t due,
                                  const std::function<double(int)>& good_share) {
  std::vector<SecondCounts> all;
  for (int i = 0; i < n; ++i) {
    const auto good = static_cast<std::int64_t>(std::llround(static_cast<double>(due) * good_share(i)));
    all.push_back({first + i, due, good, due});
  }
  return all;
}

Collapse collapse_of(const std::vector<SecondCounts>& hold, std::int64_t peak_good = 100) {
  const auto peak = seconds(0, 10, peak_good, [](int i) { return i % 2 == 0 ? 1.0 : 0.98; });
  return judge_collapse({Rate::per_second(150), hold, peak});
}

TEST(CollapseVerdict, a_good_rate_that_stays_low_is_a_collapse) {
  const Collapse c =
      collapse_of(seconds(100, 30, 150, [](int i) { return i < 8 ? 0.6 : 0.1 + 0.02 * (i % 3); }));
  EXPECT_EQ(c.verdict, CollapseVerdict::collapsed);
  EXPECT_LT(*c.ratio_upper, 0.3) << "the first seconds, when the queue was filling, are left out";
  EXPECT_THAT(c.sentence, StartsWith("collapsed: at 150/s the good rate was "));
}

TEST(CollapseVerdict, a_service_that_sheds_does_not_collapse) {
  // 150 offered, 100 good: ratio 1.0 of the peak.
  const Collapse c = collapse_of(seconds(100, 30, 150, [](int i) { return 0.66 + 0.01 * (i % 2); }));
  EXPECT_EQ(c.verdict, CollapseVerdict::none);
  EXPECT_THAT(c.sentence, StartsWith("no collapse: at 150/s"));
  EXPECT_NEAR(*c.ratio, 1.0, 0.03);
}

TEST(CollapseVerdict, near_the_bound_is_undecided) {
  Rng rng{1, "collapse"};
  const Collapse c = collapse_of(seconds(100, 20, 150, [&](int) { return 0.533 + 0.1 * rng.normal(); }));
  EXPECT_EQ(c.verdict, CollapseVerdict::undecided);
  EXPECT_THAT(c.sentence, HasSubstr("0.80 lies inside"));
}

TEST(CollapseVerdict, still_falling_at_the_end_is_not_none) {
  const Collapse c =
      collapse_of(seconds(100, 40, 150, [](int i) { return i < 30 ? 0.66 : 0.66 - 0.066 * (i - 29); }));
  EXPECT_NE(c.verdict, CollapseVerdict::none);
}

TEST(CollapseVerdict, only_decided_seconds_count) {
  auto hold = seconds(100, 30, 150, [](int) { return 0.05; });
  for (std::size_t i = 24; i < hold.size(); ++i) hold[i].ended = 10;  // the end of the hold is still open
  EXPECT_EQ(collapse_of(hold).verdict, CollapseVerdict::collapsed);
  for (std::size_t i = 5; i < hold.size(); ++i) hold[i].ended = 10;
  const Collapse few = collapse_of(hold);
  EXPECT_EQ(few.verdict, CollapseVerdict::undecided);
  EXPECT_EQ(few.sentence,
            "undecided: of 30 seconds at 150/s only 5 are decided and past the transient, 8 are needed");
  // Requests that hang in the middle may yet turn out good: no collapse may be called on them.
  auto hanging = seconds(100, 30, 150, [](int) { return 0.05; });
  for (std::size_t i = 0; i + 1 < hanging.size(); ++i) hanging[i].ended = hanging[i].good;
  EXPECT_EQ(collapse_of(hanging).verdict, CollapseVerdict::undecided);
}

TEST(CollapseVerdict, without_a_peak_nothing_is_said) {
  const auto hold = seconds(0, 30, 150, [](int) { return 0.0; });
  const Collapse c = judge_collapse({Rate::per_second(150), hold, {}});
  EXPECT_EQ(c.verdict, CollapseVerdict::undecided);
  EXPECT_EQ(c.sentence,
            "undecided: the peak good rate rests on 0 decided seconds with 0 good requests, 4 seconds and "
            "one request are needed");
}

TEST(CollapseVerdict, a_true_ratio_of_0_8_is_seldom_called) {
  int called = 0;
  constexpr int turns = 400;
  for (int i = 0; i < turns; ++i) {
    Rng rng{3, "collapse", static_cast<std::uint64_t>(i)};
    const auto noisy = [&rng](double mean) {
      return [&rng, mean](int) { return std::max(0.0, mean + 0.06 * rng.normal()); };
    };
    const auto hold = seconds(100, 40, 150, noisy(80.0 / 150));
    const auto peak = seconds(0, 20, 100, noisy(1.0));
    if (judge_collapse({Rate::per_second(150), hold, peak}).verdict != CollapseVerdict::undecided) ++called;
  }
  RecordProperty("called_percent", 100 * called / turns);
  EXPECT_LE(called, turns * 9 / 100) << "two sides of 2.5 % each, and what cutting the transient adds";
}

TEST(CollapseVerdict, the_lowest_collapsed_load_is_on_the_way_up) {
  const auto stage = [](StageKind kind, double offered, double good) {
    StageSummary s;
    s.kind = kind;
    s.requests = 100;
    s.offered = Rate::per_second(offered);
    s.good_rate = Rate::per_second(good);
    return s;
  };
  const std::vector<StageSummary> stages{stage(StageKind::step, 50, 50), stage(StageKind::step, 100, 100),
                                         stage(StageKind::step, 120, 60), stage(StageKind::hold, 150, 10),
                                         stage(StageKind::descent, 90, 5)};
  EXPECT_EQ(lowest_collapsed_load(stages, Rate::per_second(100)), Rate::per_second(120));
  EXPECT_FALSE(lowest_collapsed_load(std::span{stages}.first(2), Rate::per_second(100)).has_value());
}

Recovery recovery_of(const std::vector<SecondCounts>& after, const std::function<double(int)>& in_flight,
                     Nanos min_hold = std::chrono::seconds{40}) {
  std::vector<double> flight;
  for (std::size_t i = 0; i < after.size(); ++i) flight.push_back(in_flight(static_cast<int>(i)));
  RecoveryRule rule;
  rule.min_hold = min_hold;
  const Nanos end = after.empty() ? Nanos{0} : Nanos{std::chrono::seconds{after.front().second}};
  return judge_recovery({Rate::per_second(20), end, after, flight}, rule);
}

TEST(RecoveryVerdict, the_first_instant_from_which_it_stays_good) {
  const auto after = seconds(200, 60, 20, [](int i) { return i < 12 ? 0.0 : 1.0; });
  const Recovery r = recovery_of(after, [](int i) { return std::max(5.0, 100 - 8.0 * i); });
  EXPECT_EQ(r.verdict, RecoveryVerdict::recovered);
  EXPECT_EQ(r.time, std::chrono::seconds{12});
  EXPECT_EQ(r.sentence, "recovered 12.0 s after the load was back at 20.0/s");
}

TEST(RecoveryVerdict, at_once) {
  const Recovery r = recovery_of(seconds(200, 20, 20, [](int) { return 1.0; }), [](int) { return 5.0; });
  EXPECT_EQ(r.verdict, RecoveryVerdict::recovered);
  EXPECT_EQ(r.time, Nanos{0});
}

TEST(RecoveryVerdict, a_relapse_moves_the_recovery_behind_it) {
  const auto after = seconds(200, 80, 20, [](int i) { return i < 10 || (i >= 25 && i < 45) ? 0.0 : 1.0; });
  const Recovery r = recovery_of(after, [](int) { return 50.0; });
  EXPECT_EQ(r.verdict, RecoveryVerdict::recovered);
  EXPECT_EQ(r.time, std::chrono::seconds{45});
}

TEST(RecoveryVerdict, a_single_bad_second_later_is_no_relapse) {
  const auto after = seconds(200, 60, 20, [](int i) { return i < 5 || i == 40 ? 0.5 : 1.0; });
  EXPECT_EQ(recovery_of(after, [](int) { return 5.0; }).time, std::chrono::seconds{5});
}

TEST(RecoveryVerdict, metastable_needs_a_low_share_a_long_hold_and_a_standing_queue) {
  const auto after = seconds(200, 60, 20, [](int i) { return 0.05 * (i % 3); });
  const auto standing = [](int i) { return 400.0 + 3 * (i % 5); };
  EXPECT_EQ(recovery_of(after, standing).verdict, RecoveryVerdict::metastable);
  EXPECT_THAT(recovery_of(after, standing).sentence,
              StartsWith("metastable: 60.0 s after the load was back at 20.0/s still 5.0 %"));
  const Recovery brief = recovery_of(after, standing, std::chrono::seconds{100});
  EXPECT_EQ(brief.verdict, RecoveryVerdict::undecided);
  EXPECT_THAT(brief.sentence, HasSubstr("must be held before it may be called metastable"));
  const Recovery draining = recovery_of(after, [](int i) { return 1000.0 - 12 * i; });
  EXPECT_EQ(draining.verdict, RecoveryVerdict::undecided);
  EXPECT_THAT(draining.sentence, HasSubstr("what is in flight falls by 12.0 requests a second"));
}

TEST(RecoveryVerdict, between_the_two_shares_is_undecided) {
  const auto after = seconds(200, 60, 20, [](int i) { return i % 2 == 0 ? 0.85 : 0.95; });
  const Recovery r = recovery_of(after, [](int) { return 50.0; });
  EXPECT_EQ(r.verdict, RecoveryVerdict::undecided);
  EXPECT_THAT(r.sentence, HasSubstr("between recovered (≥ 95 %) and not (< 90 %)"));
}

TEST(RecoveryVerdict, too_little_was_seen) {
  const Recovery none = recovery_of({}, [](int) { return 0.0; });
  EXPECT_EQ(none.verdict, RecoveryVerdict::undecided);
  EXPECT_THAT(none.sentence, HasSubstr("only 0 seconds are decided, 16 are needed"));
  auto open = seconds(200, 60, 20, [](int) { return 0.0; });
  for (std::size_t i = 6; i < open.size(); ++i) open[i].ended = 0;
  EXPECT_EQ(recovery_of(open, [](int) { return 100.0; }).verdict, RecoveryVerdict::undecided);
}

TEST(RecoveryVerdict, a_low_base_rate_is_judged_over_longer_windows) {
  // 2 a second: a window is 10 s, so one failure in a second does not hide that the service is back.
  std::vector<SecondCounts> after;
  for (int i = 0; i < 60; ++i) after.push_back({i, 2, i < 20 || i == 45 ? 1 : 2, 2});
  RecoveryRule rule;
  const std::vector<double> flight(60, 1.0);
  const Recovery r = judge_recovery({Rate::per_second(2), Nanos{0}, after, flight}, rule);
  EXPECT_EQ(r.verdict, RecoveryVerdict::recovered);
  EXPECT_EQ(r.time, std::chrono::seconds{20});
}

TEST(RecoveryVerdict, the_hold_that_metastable_takes) {
  EXPECT_EQ(metastable_hold(std::chrono::seconds{6}, std::chrono::seconds{3}), std::chrono::seconds{60});
  EXPECT_EQ(metastable_hold(std::chrono::seconds{1}, std::chrono::seconds{30}), std::chrono::seconds{150});
}

TEST(OverallVerdict, invalid_before_not_ready_before_inconclusive_before_ready) {
  const Criterion met{"safe load ≥ 120/s", "184/s", StepVerdict::good},
      missed{"no collapse", "collapsed", StepVerdict::bad},
      unclear{"recovers", "undecided", StepVerdict::unclear};
  const std::vector<std::string> causes{"send lag p99 12.0 ms"};
  const std::vector<Criterion> all{met, missed, unclear}, doubt{met, unclear}, fine{met}, two{met, met};
  EXPECT_EQ(judge_run(Validity::invalid, causes, all).verdict, Verdict::invalid);
  EXPECT_EQ(judge_run(Validity::invalid, causes, all).sentence,
            "The generator was not fit to measure, so nothing is said of the service: send lag p99 12.0 ms.");
  EXPECT_EQ(judge_run(Validity::valid, {}, all).verdict, Verdict::not_ready);
  EXPECT_EQ(judge_run(Validity::valid, {}, all).sentence,
            "1 of 3 criteria is missed: no collapse: found collapsed.");
  EXPECT_EQ(judge_run(Validity::valid, {}, doubt).verdict, Verdict::inconclusive);
  EXPECT_EQ(judge_run(Validity::valid, {}, doubt).sentence,
            "1 of 2 criteria could not be decided: recovers: found undecided.");
  EXPECT_EQ(judge_run(Validity::valid, {}, fine).sentence,
            "The criterion is met: safe load ≥ 120/s: found 184/s.");
  EXPECT_EQ(judge_run(Validity::valid, {}, two).sentence, "All 2 criteria are met.");
  EXPECT_EQ(judge_run(Validity::valid, {}, {}).verdict, Verdict::measured);
  EXPECT_EQ(judge_run(Validity::invalid, {}, {}).verdict, Verdict::invalid);
  // Neither a pass nor a failure where nobody knows whose it is.
  EXPECT_EQ(judge_run(Validity::unknown, {}, fine).verdict, Verdict::inconclusive);
  EXPECT_EQ(
      judge_run(Validity::unknown, {}, fine).sentence,
      "Nobody knows whether the generator was fit to measure, so none of the 1 criteria is called met.");
  EXPECT_EQ(judge_run(Validity::unknown, {}, all).verdict, Verdict::inconclusive);
  EXPECT_EQ(judge_run(Validity::unknown, {}, all).sentence,
            "1 of 3 criteria would be missed, if the generator was fit to measure, which nobody knows: no "
            "collapse: found collapsed.");
  EXPECT_EQ(judge_run(Validity::unknown, {}, {}).verdict, Verdict::measured);
}

}  // namespace
}  // namespace dsbench::results
