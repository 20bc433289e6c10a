#include "cli/worker_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/clock.h"
#include "core/text.h"

namespace dsbench::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

results::RunSummary judged(std::optional<Nanos> lateness, std::optional<Nanos> round_trip, Nanos mean_gap) {
  results::WorkerShare share;
  share.index = 2;
  share.count = 4;
  share.lateness = lateness;
  share.round_trip = round_trip;
  results::RunSummary summary;
  judge_start(share, mean_gap, summary);
  return summary;
}

TEST(WorkerStart, LatenessIsAWarningAndThenACause) {
  EXPECT_THAT(judged(4ms, {}, 1s).warnings, IsEmpty());
  EXPECT_THAT(judged(6ms, {}, 1s).warnings,
              ElementsAre(HasSubstr("worker 2 of 4 woke 6.00 ms after the agreed start, more than 5.00 ms")));
  // A dense schedule is sooner disturbed, but nobody is asked to be better than a millisecond.
  EXPECT_THAT(judged(4ms, {}, 3ms).warnings,
              ElementsAre(HasSubstr("more than one mean gap of the schedule (3.00 ms)")));
  EXPECT_THAT(judged(900us, {}, 10us).warnings, IsEmpty());
  EXPECT_THAT(judged(1100us, {}, 10us).warnings, ElementsAre(HasSubstr("woke 1.10 ms after")));
  EXPECT_THAT(judged(100ms, {}, 1s).invalid_causes, IsEmpty());
  const auto late = judged(159ms, {}, 1s);
  EXPECT_THAT(late.warnings, IsEmpty());
  EXPECT_THAT(late.invalid_causes,
              ElementsAre(HasSubstr("worker 2 of 4 was 159 ms late at the agreed start, accepted 100 ms")));
  EXPECT_THAT(judged({}, {}, 1s).invalid_causes, IsEmpty());
}

TEST(WorkerStart, AClockThatIsNotKnownWellIsAWarningAndThenACause) {
  EXPECT_THAT(judged({}, 10ms, 1s).warnings, IsEmpty());
  EXPECT_THAT(judged({}, 30ms, 1s).warnings,
              ElementsAre(HasSubstr("knows worker 0's clock to ± 15.0 ms only")));
  EXPECT_THAT(judged({}, 240ms, 1s).invalid_causes,
              ElementsAre(HasSubstr("knows worker 0's clock to ± 120 ms only, accepted 100 ms")));
}

TEST(WorkerStart, WhoIsReadyTooLateDoesNotBegin) {
  const Worker worker{1, 4, "--worker 1/4"};
  EXPECT_FALSE(too_late_to_start(worker, -900ms).has_value());
  EXPECT_FALSE(too_late_to_start(worker, 100ms).has_value());
  EXPECT_THAT(
      too_late_to_start(worker, 170ms).value(),
      HasSubstr("worker 1 of 4 was ready 170 ms after the agreed start, accepted 100 ms; it sent nothing"));
}

Result<std::unique_ptr<WorkerStart>> planned(const std::string& start_at) {
  WorkerFlags flags;
  flags.start_at = start_at;
  return WorkerStart::plan(flags, {}, false);
}

TEST(WorkerStart, AnInstantIsUtcOrSecondsAndAhead) {
  const Nanos soon = wall_clock_now() + 1h;
  EXPECT_TRUE(planned(format_utc(soon)).has_value());
  EXPECT_TRUE(planned(std::to_string(soon / 1s)).has_value());
  EXPECT_TRUE(planned(std::to_string(soon / 1s) + ".25").has_value());
  for (const char* wrong : {"now", "-5", "1e12", "18:00", "2026-11-22 18:00"})
    EXPECT_THAT(planned(wrong).error().message, HasSubstr("is no instant")) << wrong;
  EXPECT_THAT(planned("2026-13-22T18:00:00Z").error().message, HasSubstr("is no instant"));
  EXPECT_THAT(planned("1000000000").error().message, HasSubstr("has passed"));
  EXPECT_THAT(planned(format_utc(soon + 48h)).error().message, HasSubstr("within the next 24 hours"));
}

TEST(WorkerStart, TheStartIsAtTheRunsFirstSecondOnBothClocks) {
  std::atomic<bool> stop{false};
  Progress quiet{true};
  const Nanos at = wall_clock_now() + 1300ms;
  WorkerFlags flags;
  flags.start_at = fmt::format("{:.6f}", to_seconds(at));
  const auto start = WorkerStart::plan(flags, {}, false).value();
  EXPECT_FALSE(start->run_time().has_value());
  const auto epoch = start->wait("plan", stop, quiet).value();
  ASSERT_TRUE(epoch.has_value());
  // It came back about a second ahead, however busy the machine: not before.
  EXPECT_GE(wall_clock_now(), at - 1001ms);
  ASSERT_EQ(start->run_time(), Nanos{1s});
  const Nanos steady_start = *epoch + *start->run_time();
  const Nanos by_wall = loadgen::steady_of_wall(at);
  EXPECT_LT(steady_start > by_wall ? steady_start - by_wall : by_wall - steady_start, 2ms);
  while (true) {
    results::WorkerShare share;
    start->tell(share, Nanos{0});
    if (!share.lateness) continue;
    EXPECT_EQ(share.start, "--start-at");
    EXPECT_EQ(share.began_at, *share.start_at);
    EXPECT_GE(wall_clock_now(), at);
    break;
  }
}

}  // namespace
}  // namespace dsbench::cli
