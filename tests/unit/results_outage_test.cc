#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "results/verdicts/outage.h"

namespace dsbench::results {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// One second a letter: '#' served well, '.' half lost and a bit, 'x' nothing; ten requests a second.
RunSummary run_of(std::string_view seconds, std::int64_t sent_when_bad = 10) {
  RunSummary run;
  run.stages.emplace_back().name = "steady";
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    TimelinePoint p;
    p.second = static_cast<std::int64_t>(i);
    p.offered = 10;
    p.good_of_due = seconds[i] == '#' ? 10 : seconds[i] == '.' ? 4 : 0;
    p.sent = seconds[i] == '#' ? 10 : sent_when_bad;
    p.stage = 0;
    run.timeline.push_back(p);
  }
  run.duration = Nanos{static_cast<std::int64_t>(seconds.size()) * 1'000'000'000};
  return run;
}

const std::string up(20, '#');

TEST(Outage, IsNoneWhereAllIsWell) {
  EXPECT_TRUE(find_outages(run_of(up)).empty());
  EXPECT_THAT(outage_sentence({}, 30s), HasSubstr("No outage"));
}

TEST(Outage, IsNoneForOneBadSecond) {
  EXPECT_TRUE(find_outages(run_of(up + "x" + up)).empty());
}

TEST(Outage, BeginsAndEndsWhereItDid) {
  const auto outages = find_outages(run_of(up + "xxxxxxxxxx" + up, 25));
  ASSERT_EQ(outages.size(), 1U);
  const Outage& o = outages[0];
  EXPECT_EQ(o.began, Nanos{20s});
  EXPECT_EQ(o.ended, Nanos{30s});
  EXPECT_FALSE(o.relapse);
  EXPECT_EQ(o.stage, "steady");
  EXPECT_EQ(o.requests, 100);
  EXPECT_EQ(o.lost, 100);
  EXPECT_EQ(o.worst_share, 0);
  EXPECT_NEAR(o.amplification, 2.5, 1e-9);
  EXPECT_EQ(outage_sentence(outages, 15s),
            "One outage; it took 10.0 s to recover, within the objective of 15.0 s.");
  EXPECT_THAT(outage_sentence(outages, 5s), HasSubstr("more than the objective of 5.00 s"));
}

TEST(Outage, KnowsARelapse) {
  const auto outages = find_outages(run_of(up + "xxxxxxxxxx" + up + "xxxxxxx" + up));
  ASSERT_EQ(outages.size(), 2U);
  EXPECT_FALSE(outages[0].relapse);
  EXPECT_TRUE(outages[1].relapse);
  EXPECT_THAT(outage_sentence(outages, std::nullopt), HasSubstr("Two outages, one of them a relapse"));
  std::vector<std::string> words;
  for (const OutageEvent& e : outage_events(run_of(up), outages)) words.push_back(e.what);
  EXPECT_THAT(words, testing::IsSupersetOf({"began", "detected", "worst", "recovered", "relapsed"}));
}

TEST(Outage, DoesNotEndWhereTheServiceOnlyLimps) {
  const auto outages = find_outages(run_of(up + "xxxxx##.##.##.##.##." + up));
  ASSERT_EQ(outages.size(), 1U);
  EXPECT_GE(*outages[0].ended, Nanos{39s});
}

TEST(Outage, MayNotEndAtAll) {
  const auto outages = find_outages(run_of(up + "xxxxxxxxxxxxxxx"));
  ASSERT_EQ(outages.size(), 1U);
  EXPECT_FALSE(outages[0].ended);
  EXPECT_THAT(outage_sentence(outages, 10s),
              HasSubstr("did not recover in this run: the objective of 10.0 s is missed"));
  EXPECT_EQ(outage_events(run_of(up + "xxxxxxxxxxxxxxx"), outages).back().what, "not recovered");
}

TEST(Outage, EndsAlsoShortlyBeforeTheRunDoes) {
  EXPECT_EQ(find_outages(run_of(up + "xxxxxxxxxx" + "######")).at(0).ended, Nanos{30s});
  EXPECT_FALSE(find_outages(run_of(up + "xxxxxxxxxx" + "###")).at(0).ended);
}

TEST(Outage, SaysNothingOfTooFewRequests) {
  RunSummary run = run_of(up + "xxxxxxxxxx" + up);
  for (TimelinePoint& p : run.timeline) {
    p.offered = p.second % 5 == 0 ? 1 : 0;
    p.good_of_due = 0;
  }
  EXPECT_TRUE(find_outages(run).empty());
}

}  // namespace
}  // namespace dsbench::results
