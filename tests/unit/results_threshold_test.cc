#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "results/recorder.h"
#include "results/verdicts/threshold.h"
#include "results/verdicts/windowed_threshold.h"

namespace dsbench::results {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::vector<StageSummary> stages() {
  StageSummary a;
  a.name = "before";
  a.requests = 200;
  a.completed = 190;
  a.good = 180;
  a.good_rate = Rate::per_second(18);
  a.ttft.count = 200;
  a.ttft.mean = 120ms;
  a.ttft.max = 900ms;
  a.ttft.percentiles = {
      {0.5, 11, Nanos{100ms}, false}, {0.95, 130, Nanos{700ms}, false}, {0.99, 662, {}, false}};
  StageSummary b = a;
  b.name = "climb";
  b.ttft.infinite = 20;
  b.ttft.percentiles = {{0.5, 11, Nanos{1500ms}, false}, {0.95, 130, {}, true}};
  StageSummary none;
  none.name = "after";
  return {a, b, none};
}

std::string judge(const char* text) {
  const auto threshold = parse_threshold(text);
  EXPECT_TRUE(threshold) << (threshold ? "" : threshold.error().message);
  std::string out;
  if (!threshold) return out;
  for (const Criterion& c : judge_threshold(*threshold, stages()))
    out += std::string{c.verdict == StepVerdict::good ? "+" : "-"} + c.name + " = " + c.measured + "\n";
  return out;
}

TEST(Threshold, EachStageHasItsOwnVerdictAndNoDataIsAFailure) {
  EXPECT_EQ(
      judge("p50 ttft < 2s"),
      "+before: p50 ttft < 2s = 100 ms\n+climb: p50 ttft < 2s = 1.50 s\n-after: p50 ttft < 2s = no data\n");
  EXPECT_EQ(judge("before: p95 ttft <= 700ms"), "+before: p95 ttft <= 700ms = 700 ms\n");
  EXPECT_EQ(judge("before: p95 ttft < 700ms"), "-before: p95 ttft < 700ms = 700 ms\n");
  EXPECT_EQ(judge("before: p99 ttft < 2s"), "-before: p99 ttft < 2s = n/a (needs 662, has 200)\n");
  EXPECT_EQ(judge("climb: p95 ttft < 1h"), "-climb: p95 ttft < 1h = infinite (20 failed)\n");
  EXPECT_EQ(judge("climb: max ttft < 1h"), "-climb: max ttft < 1h = infinite (20 failed)\n");
  EXPECT_EQ(judge("before: mean ttft < 121ms"), "+before: mean ttft < 121ms = 120 ms\n");
  EXPECT_EQ(judge("before: good_share >= 90%"), "+before: good_share >= 90% = 90.00 %\n");
  EXPECT_EQ(judge("before: failed_share < 0.05"), "-before: failed_share < 0.05 = 5.00 %\n");
  EXPECT_EQ(judge("before: good_rate > 17.9/s"), "+before: good_rate > 17.9/s = 18.0/s\n");
  EXPECT_EQ(judge("afterwards: good_rate > 1/s"), "-afterwards: good_rate > 1/s = no such stage\n");
  EXPECT_EQ(judge("after: p50 tpot < 1s"), "-after: p50 tpot < 1s = no data\n");
}

TEST(Threshold, ErrorsSayWhatIsAccepted) {
  const std::pair<const char*, const char*> rows[] = {
      {"p95 ttft", "requirement 'p95 ttft': no <, <=, > or >="},
      {"p97 ttft < 1s", "'p97' is no statistic of a latency"},
      {"ttft < 1s", "'' is no statistic of a latency"},
      {"p95 ttft < 2", "'2' is not a duration"},
      {"p95 latency < 2s", "'latency' is not measured"},
      {"p95 good_share > 90%", "good_share has no p95"},
      {"good_share > 900%", "a share of 9 is not between 0 and 1"},
      {"good_rate > 9", "'9' is not a rate"},
  };
  for (const auto& [text, message] : rows) {
    const auto threshold = parse_threshold(text);
    ASSERT_FALSE(threshold) << text;
    EXPECT_THAT(threshold.error().message, HasSubstr(message));
    EXPECT_THAT(threshold.error().message, HasSubstr("accepted: 'p95 ttft < 2s'"));
  }
}

TEST(Threshold, WindowsAreRead) {
  const auto threshold = parse_threshold("climb: p99 ttft < 500ms over 60s");
  ASSERT_TRUE(threshold) << threshold.error().message;
  EXPECT_EQ(threshold->window, Nanos{60s});
  EXPECT_EQ(threshold->stage, "climb");
  EXPECT_DOUBLE_EQ(threshold->value, 0.5);
  EXPECT_EQ(parse_threshold("good_share >= 99%")->window, Nanos{0});
  const auto share = parse_threshold("failed_share < 1% over 10s");
  ASSERT_TRUE(share) << share.error().message;
  EXPECT_DOUBLE_EQ(share->value, 0.01);
  const auto short_one = parse_threshold("p99 ttft < 500ms over 10ms");
  ASSERT_FALSE(short_one);
  EXPECT_THAT(short_one.error().message, HasSubstr("a window of 10.0 ms is not between 1s and 24h"));
  const auto of_chunks = parse_threshold("p50 itl < 500ms over 10s");
  ASSERT_FALSE(of_chunks);
  EXPECT_THAT(of_chunks.error().message, HasSubstr("itl is of chunks or attempts and has no windows"));
}

// A run of 40 s at 20/s whose first tokens come after 100 ms, but after 900 ms from 21 s to 24 s.
class Windows : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "dsbench-windows-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    auto recorder = open_recorder(folder_, {}, {});
    ASSERT_TRUE(recorder) << recorder.error().message;
    StageInfo stage;
    stage.name = "whole";
    stage.end = 40s;
    const std::uint32_t index = (*recorder)->begin_stage(stage);
    for (int i = 0; i < 800; ++i) {
      const Nanos due = Nanos{50ms} * i;
      (*recorder)->offered(index, static_cast<std::uint64_t>(i), due);
      RequestRecord r;
      r.request = static_cast<std::uint64_t>(i);
      r.stage = index;
      r.due = r.sent = r.final_sent = due;
      r.reason = i == 799 ? Reason::http_503 : Reason::ok;
      r.first_token = due + (due >= Nanos{21s} && due < Nanos{24s} ? Nanos{900ms} : Nanos{100ms});
      r.last_token = r.done = r.first_token + Nanos{10ms};
      r.output_tokens = 2;
      (*recorder)->channel(0).request(r);
    }
    (*recorder)->end_stage(index, 40s);
    stages_.push_back((*recorder)->summarize(index));
    ASSERT_TRUE((*recorder)->close());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string judge(const char* text) {
    const auto threshold = parse_threshold(text);
    EXPECT_TRUE(threshold) << (threshold ? "" : threshold.error().message);
    const auto criteria = judge_windows(*threshold, folder_ / "records.sqlite", stages_);
    EXPECT_TRUE(criteria) << (criteria ? "" : criteria.error().message);
    std::string out;
    for (const Criterion& c : *criteria)
      out += std::string{c.verdict == StepVerdict::good ? "+" : "-"} + c.measured;
    return out;
  }

  std::filesystem::path folder_;
  std::vector<StageSummary> stages_;
};

TEST_F(Windows, ABadStretchThatTheWholeStageHidesIsFound) {
  EXPECT_TRUE(judge_stage(*parse_threshold("p90 ttft < 500ms"), stages_.front()).met) << "60 of 800 are late";
  // 5 s hold 100 requests. Windows that begin from 17 s on to 23 s hold more than ten late ones.
  EXPECT_EQ(judge("p90 ttft < 500ms over 5s"),
            "-900 ms in the 5.00 s from 17 s of the run on; missed in 7 of 37 windows");
  EXPECT_EQ(judge("p90 ttft < 1s over 5s"), "+met in all of 37 windows");
}

TEST_F(Windows, NoDataIsAFailure) {
  EXPECT_THAT(judge("p99 ttft < 10s over 5s"), HasSubstr("-n/a (needs 662, has 100)"));
  EXPECT_EQ(judge("p50 ttft < 10s over 60s"), "-no data: the stage measures 40.0 s, less than a window");
  EXPECT_EQ(judge("other: p50 ttft < 10s over 5s"), "-no such stage");
}

TEST_F(Windows, SharesAndRatesHaveThemToo) {
  EXPECT_EQ(judge("offered_rate >= 20/s over 10s"), "+met in all of 32 windows");
  EXPECT_THAT(judge("failed_share < 0.5% over 10s"),
              HasSubstr("-0.50 % in the 10.0 s from 30 s of the run on"));
  EXPECT_EQ(judge("failed_share <= 0.5% over 10s"), "+met in all of 32 windows");
}

}  // namespace
}  // namespace dsbench::results
