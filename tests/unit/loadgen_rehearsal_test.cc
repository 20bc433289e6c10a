// Whole rehearsals against scripted targets, in virtual time: minutes of it in milliseconds.
#include "loadgen/rehearsal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "loadgen/virtual_runner.h"
#include "loadgen/workload.h"
#include "results/recorder.h"
#include "tests/fakes/fifo_target.h"

namespace dsbench::loadgen {
namespace {

using results::CollapseVerdict;
using results::RecoveryVerdict;
using results::Verdict;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double capacity = 100;  // requests a second of the scripted service

class RehearsalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = std::filesystem::temp_directory_path() / (std::string("dsbench_rehearsal_") + info->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  results::RunSummary rehearse_against(const fakes::FifoConfig& service, RehearsalConfig config = {}) {
    config.slo.ttft = seconds{2};  // so that an answer after two refusals is still a good one
    config.budget = seconds{1200};
    config.resolution = 0.03;
    config.step_max = seconds{60};
    config.recovery_max = seconds{60};
    config.client_patience = seconds{3};
    ClientPolicy policy;
    policy.first_token_timeout = seconds{3};
    policy.retry.max_retries = 2;
    fakes::FifoTarget target{service};
    profiles::WorkloadProfile workload;
    workload.prompt_tokens = {profiles::LengthLaw::Kind::constant, 32, 32, 1, 0};
    workload.output_tokens = {profiles::LengthLaw::Kind::constant, 4, 4, 1, 0};
    const auto map = std::make_shared<ContentMap>(make_source(workload, 1));
    ContentMap& contents = *map;
    auto recorder = results::open_recorder(directory_, config.slo);
    EXPECT_TRUE(recorder) << recorder.error().message;
    std::atomic<bool> stop{false};
    auto runner = make_virtual_runner(target, policy, map, 1, (*recorder)->channel(0), stop);
    RehearsalListener listener;
    const Rehearsed done = rehearse(*runner, **recorder, contents, nullptr, config, listener);
    EXPECT_FALSE(done.aborted) << done.aborted->message;
    EXPECT_TRUE((*recorder)->close());
    return done.summary;
  }

  std::filesystem::path directory_;
};

TEST_F(RehearsalTest, FindsTheKneeTheCollapseAndTheRecovery) {
  fakes::FifoConfig service;
  service.capacity = Rate::per_second(capacity);
  const auto summary = rehearse_against(service);
  ASSERT_TRUE(summary.knee.offered) << summary.knee.sentence;
  EXPECT_NEAR(summary.knee.offered->per_second(), capacity, 0.05 * capacity) << summary.knee.sentence;
  EXPECT_EQ(summary.collapse.verdict, CollapseVerdict::collapsed) << summary.collapse.sentence;
  EXPECT_EQ(summary.recovery.verdict, RecoveryVerdict::recovered) << summary.recovery.sentence;
  EXPECT_EQ(summary.verdict, Verdict::not_ready) << summary.sentence;
  EXPECT_EQ(summary.validity, results::Validity::valid);
  EXPECT_GT(summary.retry_amplification, 1.0);
  EXPECT_EQ(summary.ended, "complete");
}

// Refuses the first request of every 40th session, and is quick otherwise.
class RefusesSomeFirst final : public VirtualTarget {
 public:
  explicit RefusesSomeFirst(const fakes::FifoConfig& config) : inner_{config} {}
  void submit(const Attempt& a, Nanos now) override {
    if (a.turn == 0 && a.request % 40 == 39) {
      TargetEvent sent;
      sent.request = a.request;
      sent.attempt = a.attempt;
      sent.at = now;
      TargetEvent failed = sent;
      failed.kind = EventKind::failed;
      failed.reason = results::Reason::http_5xx;
      refused_.push_back(sent);
      refused_.push_back(failed);
      return;
    }
    inner_.submit(a, now);
  }
  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) override {
    inner_.cancel(request, attempt, now);
  }
  [[nodiscard]] std::optional<Nanos> next_event() const override {
    return refused_.empty() ? inner_.next_event() : refused_.front().at;
  }
  void advance(Nanos now, std::vector<TargetEvent>& events) override {
    events.insert(events.end(), refused_.begin(), refused_.end());
    refused_.clear();
    inner_.advance(now, events);
  }

 private:
  fakes::FifoTarget inner_;
  std::vector<TargetEvent> refused_;
};

// 2.5 % of the sessions fail at once, but a session has twenty requests: 0.13 % of all. By the schedule's
// count every step is hopeless; it is not.
TEST_F(RehearsalTest, WhatSessionsAddCountsBeforeAStepIsHopeless) {
  RehearsalConfig config;
  config.slo.ttft = seconds{2};
  config.budget = seconds{600};
  config.start_rate = Rate::per_second(4);
  config.has_follow_ups = true;
  fakes::FifoConfig service;
  service.capacity = Rate::per_second(2'000);
  RefusesSomeFirst target{service};
  profiles::WorkloadProfile workload;
  workload.prompt_tokens = workload.output_tokens = {profiles::LengthLaw::Kind::constant, 4, 4, 1, 0};
  profiles::SessionShape session;
  session.turns = {profiles::LengthLaw::Kind::constant, 20, 20, 1, 0};
  session.think_time.milliseconds = {profiles::LengthLaw::Kind::constant, 50, 50, 1, 0};
  workload.session = session;
  const auto map = std::make_shared<ContentMap>(make_source(workload, 1));
  auto recorder = results::open_recorder(directory_, config.slo);
  ASSERT_TRUE(recorder) << recorder.error().message;
  std::atomic<bool> stop{false};
  auto runner = make_virtual_runner(target, ClientPolicy{}, map, 1, (*recorder)->channel(0), stop);
  const Rehearsed done = rehearse(*runner, **recorder, *map, nullptr, config, {});
  EXPECT_FALSE(done.aborted) << done.aborted->message;
  EXPECT_TRUE((*recorder)->close());
  ASSERT_TRUE(done.summary.knee.offered) << done.summary.knee.sentence;
  EXPECT_GT(done.summary.knee.offered->per_second(), 4) << done.summary.knee.sentence;
}

TEST_F(RehearsalTest, ABoundedQueueDoesNotCollapse) {
  fakes::FifoConfig service;
  service.capacity = Rate::per_second(capacity);
  service.max_queued = 20;  // a fifth of a second
  const auto summary = rehearse_against(service);
  ASSERT_TRUE(summary.knee.offered) << summary.knee.sentence;
  EXPECT_NEAR(summary.knee.offered->per_second(), capacity, 0.05 * capacity) << summary.knee.sentence;
  EXPECT_EQ(summary.collapse.verdict, CollapseVerdict::none) << summary.collapse.sentence;
  EXPECT_EQ(summary.recovery.verdict, RecoveryVerdict::recovered) << summary.recovery.sentence;
  EXPECT_EQ(summary.verdict, Verdict::ready) << summary.sentence;
}

TEST_F(RehearsalTest, AServiceThatWorksForTheAbsentStaysDown) {
  fakes::FifoConfig service;
  service.capacity = Rate::per_second(capacity);
  service.cancels = false;
  const auto summary = rehearse_against(service);
  EXPECT_EQ(summary.collapse.verdict, CollapseVerdict::collapsed) << summary.collapse.sentence;
  EXPECT_EQ(summary.recovery.verdict, RecoveryVerdict::metastable) << summary.recovery.sentence;
  EXPECT_EQ(summary.verdict, Verdict::not_ready) << summary.sentence;
}

TEST_F(RehearsalTest, AForecastBeyondTheKneeIsACriterionMissed) {
  fakes::FifoConfig service;
  service.capacity = Rate::per_second(capacity);
  service.max_queued = 20;
  RehearsalConfig config;
  config.forecast = Rate::per_second(150);
  const auto summary = rehearse_against(service, config);
  EXPECT_EQ(summary.verdict, Verdict::not_ready) << summary.sentence;
  EXPECT_THAT(summary.sentence, ::testing::HasSubstr("forecast"));
}

TEST_F(RehearsalTest, AnObjectiveThatNothingMeetsIsNotReady) {
  fakes::FifoConfig service;
  service.capacity = Rate::per_second(capacity);
  service.latency = milliseconds{2500};  // beyond the bound even when idle
  const auto summary = rehearse_against(service);
  EXPECT_FALSE(summary.knee.offered);
  EXPECT_EQ(summary.verdict, Verdict::not_ready) << summary.sentence;
}

}  // namespace
}  // namespace dsbench::loadgen
