#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "results/verdicts/threshold.h"

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

}  // namespace
}  // namespace dsbench::results
