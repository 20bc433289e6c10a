#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "results/recorder.h"
#include "results/run_file.h"
#include "results/verdicts/failover.h"
#include "results/verdicts/failover_evidence.h"

namespace dsbench::results {
namespace {

using namespace std::chrono_literals;

// Ten requests in each tenth of a second of 30 s; those due in [from, to) were not good.
FailoverEvidence steady(Nanos from, Nanos to) {
  FailoverEvidence e;
  e.names = {"a", "b"};
  e.end = 30s;
  for (std::int64_t c = 0; c < 300; ++c) {
    const Nanos at = outcome_cell * c;
    e.by_due.push_back({c, 10, at >= from && at < to ? 0 : 10});
    e.by_done.push_back({c, 10, at >= from && at < to ? 0 : 10});
  }
  return e;
}

TEST(JudgeFailover, AFaultToTheTenthOfASecond) {
  FailoverEvidence e = steady(10s, 11200ms);
  e.faults = {{0, FaultKind::kill, 10050ms, 20s}};
  e.decisions = {{10450ms, 0, 0, ProviderChange::ejected}, {10900ms, 0, 1, ProviderChange::ejected},
                 {15450ms, 0, 0, ProviderChange::probed},  {15460ms, 0, 0, ProviderChange::reopened},
                 {20460ms, 0, 0, ProviderChange::closed},  {20500ms, 0, 0, ProviderChange::readmitted},
                 {20900ms, 0, 1, ProviderChange::closed},  {21s, 0, 1, ProviderChange::readmitted}};
  e.workers = 2;
  e.moves = {{9s, 1, 1, 100}, {12s, 2, 1, 200}, {13s, 2, 1, 300}, {25s, 2, 0, 400}};
  std::vector<std::pair<Nanos, Nanos>> asked;
  e.losses = [&](Nanos from, Nanos to) {
    asked.emplace_back(from, to);
    return FailoverEvidence::Losses{7, 3};
  };
  const Failover f = judge_failover(e, 30s);
  ASSERT_EQ(f.incidents.size(), 1u);
  const Incident& i = f.incidents[0];
  EXPECT_EQ(i.cause, "kill");
  EXPECT_EQ(i.detection, 400ms);
  EXPECT_EQ(i.detection_last, 850ms);
  EXPECT_EQ(i.failover, 1150ms) << "back from 11.2 s on";
  EXPECT_EQ(i.failback, 1s) << "the last thread's";
  EXPECT_EQ(i.good_share_before, 1.0);
  EXPECT_EQ(i.requests_lost, 7);
  EXPECT_EQ(i.requests_late, 3);
  EXPECT_EQ(i.sessions_moved, 1);
  EXPECT_EQ(i.reprefilled_tokens, 500);
  EXPECT_EQ(asked, (std::vector<std::pair<Nanos, Nanos>>{{10050ms, 11200ms}}));
  EXPECT_EQ(f.changes, 4);
  EXPECT_DOUBLE_EQ(f.changes_per_minute, 4) << "in half a minute, by two threads";
  EXPECT_EQ(f.reprefilled_tokens, 1000);
  EXPECT_EQ(
      f.sentence,
      "target 0 (a): kill at 10.1 s, detected after 400 ms, good rate back after 1.15 s, 7 requests lost, "
      "1 session moved with 500 tokens of history, used again 1.00 s after it was whole.");
  const auto met = failover_criterion(f, e.end);
  ASSERT_TRUE(met);
  EXPECT_EQ(met->name, "failover ≤ 30.0 s");
  EXPECT_EQ(met->measured, "1.15 s, 7 requests lost");
  EXPECT_EQ(met->verdict, StepVerdict::good);
  Failover strict = f;
  strict.objective = 1s;
  EXPECT_EQ(failover_criterion(strict, e.end)->verdict, StepVerdict::bad);
}

TEST(JudgeFailover, ARequestThatTwoIncidentsShareIsLostOnce) {
  FailoverEvidence e = steady(10s, 31s);
  e.faults = {{0, FaultKind::kill, 10s, std::nullopt}, {1, FaultKind::kill, 10200ms, std::nullopt}};
  e.losses = [](Nanos from, Nanos to) {  // a hundred a second
    return FailoverEvidence::Losses{(to - from) / outcome_cell * 10, 0};
  };
  const Failover f = judge_failover(e, 30s);
  ASSERT_EQ(f.incidents.size(), 2u);
  EXPECT_EQ(f.incidents[0].requests_lost, 2000);
  EXPECT_EQ(f.incidents[1].requests_lost, 1980);
  EXPECT_EQ(f.requests_lost, 2000);
  EXPECT_EQ(failover_criterion(f, e.end)->measured, "the good rate did not come back, 2000 requests lost");
}

TEST(JudgeFailover, ARelapseMovesTheReturnBehindIt) {
  FailoverEvidence e = steady(10s, 11s);
  for (std::int64_t c = 114; c < 118; ++c) e.by_due[static_cast<std::size_t>(c)].good = 0;
  e.faults = {{1, FaultKind::stall, 10s, std::nullopt}};
  const Failover f = judge_failover(e, 30s);
  EXPECT_EQ(f.incidents.at(0).failover, 1800ms);
  EXPECT_FALSE(f.incidents[0].detection);
  EXPECT_FALSE(f.incidents[0].failback);
  EXPECT_NE(f.sentence.find("not detected: no breaker opened"), std::string::npos);
}

TEST(JudgeFailover, WhatDoesNotComeBack) {
  FailoverEvidence e = steady(10s, 30s);
  e.faults = {{0, FaultKind::kill, 10s, std::nullopt}};
  const Failover f = judge_failover(e, 30s);
  EXPECT_FALSE(f.incidents.at(0).failover);
  EXPECT_EQ(failover_criterion(f, 30s)->verdict, StepVerdict::unclear) << "20 s of 30 have passed";
  EXPECT_EQ(failover_criterion(f, 40s)->verdict, StepVerdict::bad);
  EXPECT_EQ(failover_criterion(f, 40s)->measured.find("the good rate did not come back"), 0u);
}

TEST(JudgeFailover, AServiceThatWasHalfGoodNeedsOnlyToBeHalfGoodAgain) {
  FailoverEvidence e = steady(10s, 11s);
  for (auto* cells : {&e.by_due, &e.by_done}) {
    for (OutcomeCell& c : *cells) c.good /= 2;
  }
  e.faults = {{0, FaultKind::kill, 10s, 12s}};
  EXPECT_EQ(judge_failover(e, 30s).incidents.at(0).failover, 1s);
}

TEST(JudgeFailover, NobodyNoticed) {
  FailoverEvidence e = steady(40s, 41s);
  e.faults = {{0, FaultKind::kill, 10s, 12s}};
  EXPECT_EQ(judge_failover(e, 30s).incidents.at(0).failover, 0s);
}

TEST(JudgeFailover, WithoutAFaultTheClientsFindIt) {
  FailoverEvidence e = steady(9500ms, 10300ms);
  e.decisions = {{10s, 1, 0, ProviderChange::ejected},
                 {10200ms, 1, 1, ProviderChange::ejected},
                 {15s, 1, 0, ProviderChange::closed},
                 {15100ms, 1, 0, ProviderChange::readmitted},
                 {20s, 1, 0, ProviderChange::ejected}};
  e.first_failure = [](std::uint16_t, Nanos until) { return until - 500ms; };
  const Failover f = judge_failover(e, 30s);
  ASSERT_EQ(f.incidents.size(), 2u) << "the second thread's ejection belongs to the first";
  EXPECT_EQ(f.incidents[0].cause, "found by the clients");
  EXPECT_EQ(f.incidents[0].start, 9500ms);
  EXPECT_EQ(f.incidents[0].detection, 500ms);
  EXPECT_EQ(f.incidents[0].detection_last, 700ms);
  EXPECT_EQ(f.incidents[0].end, 15s);
  EXPECT_EQ(f.incidents[0].failover, 800ms);
  EXPECT_EQ(f.incidents[1].start, 19500ms);
  EXPECT_FALSE(f.incidents[1].end);
}

TEST(JudgeFailover, NothingHappened) {
  FailoverEvidence e = steady(40s, 41s);
  const Failover f = judge_failover(e, 30s);
  EXPECT_TRUE(f.incidents.empty());
  EXPECT_EQ(f.sentence, "No provider failed, and none was taken out.");
  EXPECT_FALSE(failover_criterion(f, 30s));
}

// From what a recorder wrote.
TEST(JudgeProviders, ReadsTheRecords) {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("dsbench-failover-" + std::to_string(reinterpret_cast<std::uintptr_t>(&steady)) + "-" +
                       std::to_string(::testing::UnitTest::GetInstance()->random_seed()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  {
    auto recorder = open_recorder(folder, Slo{});
    ASSERT_TRUE(recorder) << recorder.error().message;
    (*recorder)->begin_stage({"all", StageKind::load, Rate::per_second(10), 0s, 0s, 20s});
    RecordSink& sink = (*recorder)->channel(0);
    sink.decided({5200ms, 0, 0, ProviderChange::ejected});
    for (std::uint64_t i = 0; i < 200; ++i) {
      const Nanos due = 100ms * static_cast<int>(i);
      const bool hit = due >= 5s && due < 5300ms;  // three requests fail on 0 and come from 1
      AttemptRecord a;
      a.request = i;
      a.due = a.sent = due;
      a.done = due + 50ms;
      a.first_token = a.last_token = due + 40ms;
      a.prompt_tokens = 10;
      if (hit) {
        a.reason = Reason::connect_failed;
        a.first_token = a.last_token = never;
        sink.attempt(a);
        a.attempt = 1;
        a.provider = 1;
        a.reason = i <= 51 ? Reason::http_503 : Reason::ok;
      } else {
        a.provider = due >= 5300ms ? 1 : 0;
      }
      sink.attempt(a);
      RequestRecord r;
      r.request = i;
      r.attempts = a.attempt + 1;
      r.provider = a.provider;
      r.due = due;
      r.done = a.done;
      r.first_token = r.last_token = due + 40ms;
      r.prompt_tokens = 10;
      r.reason = a.reason;
      sink.request(r);
    }
    // A session whose second turn came to the other provider.
    for (const std::uint32_t turn : {0u, 1u, 2u}) {
      RequestRecord r;
      r.request = 777 | (std::uint64_t{turn} << turn_shift);
      r.turn = turn;
      r.provider = turn == 0 ? 0 : 1;
      r.due = 4900ms + 300ms * static_cast<int>(turn);
      r.done = r.first_token = r.last_token = r.due + 10ms;
      r.prompt_tokens = 1000 * (static_cast<std::int32_t>(turn) + 1);
      sink.request(r);
    }
    ASSERT_TRUE((*recorder)->close());
  }
  RunSummary summary;
  summary.duration = 20s;
  const auto judged = judge_providers(folder / "records.sqlite", {"embedded", "embedded"},
                                      {{0, FaultKind::kill, 4950ms, 10s}}, 30s, summary);
  ASSERT_TRUE(judged) << judged.error().message;
  ASSERT_EQ(summary.providers.size(), 2u);
  EXPECT_EQ(summary.providers[0].attempts, 53);
  EXPECT_EQ(summary.providers[0].requests, 51) << "50 and the session's first turn";
  EXPECT_EQ(summary.providers[0].attempts_by_reason[static_cast<std::size_t>(Reason::connect_failed)], 3);
  EXPECT_EQ(summary.providers[0].ejections, 1);
  EXPECT_EQ(summary.providers[1].attempts, 150);
  EXPECT_EQ(summary.providers[1].requests, 152);
  EXPECT_EQ(summary.providers[1].good, 150);
  EXPECT_EQ(summary.providers[1].resent_tokens, 30);
  EXPECT_EQ(summary.providers[1].reprefilled_tokens, 2000) << "the second turn; the third stayed";
  ASSERT_TRUE(summary.failover);
  ASSERT_EQ(summary.failover->incidents.size(), 1u);
  const Incident& i = summary.failover->incidents[0];
  EXPECT_EQ(i.detection, 250ms);
  EXPECT_EQ(i.requests_lost, 2);
  EXPECT_EQ(i.sessions_moved, 1);
  EXPECT_EQ(i.reprefilled_tokens, 2000);
  // The requests due at 5.0 s and 5.1 s are lost: back from the tenth after them.
  EXPECT_EQ(i.failover, 250ms);
  EXPECT_EQ(summary.failover->resent_tokens, 30);
  std::int64_t sent = 0, failed = 0;
  for (const ProviderSecond& s : summary.failover->seconds) {
    sent += s.sent;
    failed += s.failed;
  }
  EXPECT_EQ(sent, 203);
  EXPECT_EQ(failed, 5);
  // And all of it survives run.json.
  const std::string text = print_run(summary);
  const auto again = parse_run(text, "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(print_run(*again), text);
  EXPECT_EQ(again->faults, summary.faults);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace dsbench::results
