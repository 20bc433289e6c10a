#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

#include "engine/admission/account_limits.h"
#include "engine/admission/admission_control.h"
#include "engine/admission/gradient_limit.h"
#include "engine/admission/overload_config.h"
#include "engine/admission/wait_predictor.h"

namespace dsbench::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(TokenBucketTest, LetsTheBurstThroughAndThenTheRate) {
  TokenBucket bucket({.rate = 2, .burst = 3}, Nanos{0});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bucket.wait(1, Nanos{0}), Nanos{0}) << i;
    bucket.take(1, Nanos{0});
  }
  const Nanos wait = bucket.wait(1, Nanos{0});
  EXPECT_GE(wait, milliseconds{500});
  EXPECT_LE(wait, milliseconds{501});
  EXPECT_EQ(bucket.wait(1, wait), Nanos{0}) << "what it says to wait is enough";
  EXPECT_GT(bucket.wait(1, wait - milliseconds{10}), Nanos{0});
  EXPECT_FALSE(bucket.full(seconds{1}));
  EXPECT_TRUE(bucket.full(seconds{10})) << "and no more than the burst is saved up";
}

TEST(TokenBucketTest, AnAmountAboveTheBurstGoesIntoDebtRatherThanNever) {
  TokenBucket bucket({.rate = 10, .burst = 10}, Nanos{0});
  EXPECT_EQ(bucket.wait(50, Nanos{0}), Nanos{0});
  bucket.take(50, Nanos{0});
  EXPECT_GT(bucket.wait(1, seconds{4}), Nanos{0}) << "40 in debt, at 10 a second";
  EXPECT_EQ(bucket.wait(1, milliseconds{4200}), Nanos{0});
}

TEST(AccountTableTest, AccountsDoNotShareTheirLimits) {
  AccountTable table({.requests = std::nullopt, .tokens = std::nullopt, .concurrency = 2}, {});
  for (int i = 0; i < 2; ++i) {
    ASSERT_FALSE(table.judge(1, 0, 10, Nanos{0}));
    table.entered(1, 0, 10, Nanos{0});
  }
  const auto refusal = table.judge(1, 0, 10, Nanos{0});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->message, "the account has 2 requests in flight; at most 2 may be");
  EXPECT_FALSE(refusal->retry_after) << "it depends on when the others end";
  EXPECT_FALSE(table.judge(2, 0, 10, Nanos{0}));
  table.left(1, 0);
  EXPECT_FALSE(table.judge(1, 0, 10, Nanos{0}));
}

TEST(AccountTableTest, TokensCountAsAsked) {
  AccountTable table({.requests = std::nullopt, .tokens = Bucket{100, 100}, .concurrency = std::nullopt}, {});
  ASSERT_FALSE(table.judge(1, 0, 80, Nanos{0}));
  table.entered(1, 0, 80, Nanos{0});
  const auto refusal = table.judge(1, 0, 60, Nanos{0});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->limit, AccountTable::Refusal::Limit::tokens);
  ASSERT_TRUE(refusal->retry_after);
  EXPECT_NEAR(static_cast<double>(refusal->retry_after->count()), 0.4e9, 1e6);
  EXPECT_FALSE(table.judge(1, 0, 20, Nanos{0}));
}

TEST(AccountTableTest, ForgetsAccountsThatAreIdleAndFullAgain) {
  AccountTable table({.requests = Bucket{1, 1}, .tokens = std::nullopt, .concurrency = std::nullopt}, {});
  for (std::uint64_t account = 0; account < 100'000; ++account) {
    const Nanos now = milliseconds{static_cast<std::int64_t>(account)};
    ASSERT_FALSE(table.judge(account, 0, 1, now));
    table.entered(account, 0, 1, now);
    table.left(account, 0);
  }
  EXPECT_LE(table.accounts(), 4096U) << "about a thousand refill at any moment";
}

TEST(AccountTableTest, AClassHasALimitOfItsOwnAndOneTogether) {
  const auto paid = parse_tenant("paid:concurrency=3");
  const auto agents = parse_tenant("agents:concurrency=1,all=2");
  ASSERT_TRUE(paid && agents);
  AccountTable table({}, {*paid, *agents});
  table.entered(1, 1, 1, Nanos{0});
  EXPECT_TRUE(table.judge(1, 1, 1, Nanos{0})) << "one a piece";
  EXPECT_FALSE(table.judge(2, 1, 1, Nanos{0}));
  table.entered(2, 1, 1, Nanos{0});
  const auto refusal = table.judge(3, 1, 1, Nanos{0});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->message, "the tenant class 'agents' has 2 requests in flight; at most 2 may be");
  EXPECT_FALSE(table.judge(1, 0, 1, Nanos{0})) << "the same account as a paying one has another contract";
}

TEST(WaitPredictorTest, SaysNothingBeforeItHasSeenAnything) {
  const WaitPredictor predictor;
  EXPECT_FALSE(predictor.first_token(100, 50, 10'000));
}

TEST(WaitPredictorTest, PrefillThroughputDecidesWhereSlotsAreFree) {
  WaitPredictor predictor;
  for (int i = 0; i < 100; ++i) predictor.step(milliseconds{10}, 500, 5, 0);  // 50,000 tokens a second
  const auto expected = predictor.first_token(1000, 10, 24'000);
  ASSERT_TRUE(expected);
  EXPECT_NEAR(to_seconds(*expected), 0.5, 0.01);
}

TEST(WaitPredictorTest, TheRateOfAdmissionDecidesWhereSlotsAreScarce) {
  WaitPredictor predictor;
  // Ten a second are let in, though prompts would go fast.
  for (int i = 0; i < 1000; ++i)
    predictor.step(milliseconds{10}, i % 10 == 0 ? 500 : 0, i % 10 == 0 ? 1 : 0, 30);
  const auto expected = predictor.first_token(500, 49, 25'000);
  ASSERT_TRUE(expected);
  EXPECT_NEAR(to_seconds(*expected), 5, 0.5);
}

TEST(WaitPredictorTest, AQueueThatDoesNotMoveIsPredictedToWaitForLong) {
  WaitPredictor predictor;
  for (int i = 0; i < 1000; ++i) predictor.step(milliseconds{10}, 0, 0, 30);
  const auto expected = predictor.first_token(500, 30, 15'000);
  ASSERT_TRUE(expected);
  EXPECT_GT(to_seconds(*expected), 60);
}

// A machine whose step takes 10 ms and half a millisecond for each that runs.
Nanos step_of(std::int64_t running) {
  return milliseconds{10} + std::chrono::microseconds{500} * running;
}

TEST(GradientLimitTest, SettlesWhereTheTimePerTokenIsTheToleratedMultiple) {
  GradientLimit limit(2, 1000);
  for (int i = 0; i < 200; ++i) limit.step(step_of(1), 1);  // a quiet morning: the unloaded time
  for (int i = 0; i < 5000; ++i) limit.step(step_of(limit.limit()), limit.limit());
  // 10.5 ms unloaded; 21 ms is tolerated, which 22 running reach. The headroom keeps probing above.
  EXPECT_GE(limit.limit(), 20);
  EXPECT_LE(limit.limit(), 40);
}

TEST(GradientLimitTest, AnHourOfOverloadDoesNotBecomeTheNewMeasure) {
  GradientLimit limit(2, 1000);
  for (int i = 0; i < 200; ++i) limit.step(step_of(1), 1);
  for (int i = 0; i < 5000; ++i) limit.step(step_of(limit.limit()), limit.limit());
  const std::int32_t before = limit.limit();
  for (int i = 0; i < 150'000; ++i) limit.step(step_of(limit.limit()), limit.limit());
  EXPECT_LE(limit.limit(), before + before / 2);
}

TEST(GradientLimitTest, DoesNotGrowWhileNobodyUsesIt) {
  GradientLimit limit(2, 1000);
  const std::int32_t at_first = limit.limit();
  for (int i = 0; i < 10'000; ++i) limit.step(step_of(1), 1);
  EXPECT_EQ(limit.limit(), at_first);
}

TEST(OverloadConfigTest, ReadsATenant) {
  const auto tenant =
      parse_tenant("agents:rank=2,weight=0.5,rate=5/s,tokens=1000/s,token-burst=4000,concurrency=4,all=40");
  ASSERT_TRUE(tenant) << tenant.error().message;
  EXPECT_EQ(tenant->name, "agents");
  EXPECT_EQ(tenant->rank, 2);
  EXPECT_EQ(tenant->weight, 0.5);
  ASSERT_TRUE(tenant->account);
  EXPECT_EQ(tenant->account->requests, (Bucket{5, 5})) << "a second's worth where no burst is said";
  EXPECT_EQ(tenant->account->tokens, (Bucket{1000, 4000}));
  EXPECT_EQ(tenant->account->concurrency, 4);
  EXPECT_EQ(tenant->concurrency, 40);
  EXPECT_FALSE(parse_tenant("paid")->account);
}

TEST(OverloadConfigTest, SaysWhatIsWrong) {
  const auto message = [](const char* text) { return parse_tenant(text).error().message; };
  EXPECT_EQ(message(":rank=1"), "tenant ':rank=1': it begins with a name");
  EXPECT_EQ(message("a:rank"), "tenant 'a:rank': 'rank' is no key=value");
  EXPECT_EQ(message("a:rank=x"), "tenant 'a:rank=x': rank is 'x'; accepted is a number that is not negative");
  EXPECT_EQ(message("a:colour=1"),
            "tenant 'a:colour=1': no key 'colour'; accepted: rank, weight, rate, burst, tokens, token-burst, "
            "concurrency, all");
  EXPECT_EQ(parse_queue_order("lifo").error().message,
            "no queue order 'lifo'; accepted: fcfs, shortest-prompt, priority, adaptive-lifo");
  OverloadConfig twice;
  twice.tenants = {{.name = "a"}, {.name = "a"}};
  EXPECT_EQ(check_overload(twice).error().message, "the tenant class 'a' is given twice");
  EXPECT_EQ(
      check_overload({.adaptive_concurrency = 1.0}).error().message,
      "overload control: adaptive_concurrency is 1; it is how many times the unloaded time per token is "
      "tolerated, and must be above 1");
}

TEST(AdmissionTest, RefusesByEachBoundWithItsOwnSentence) {
  OverloadConfig config;
  config.max_queued_tokens = 1000;
  config.ttft_target = seconds{1};
  AdmissionControl admission(config, 3, 64);
  const AdmissionControl::Load quiet;
  EXPECT_FALSE(admission.enter({}, 5000, 10, quiet, Nanos{0})) << "a long prompt gets in when nobody waits";
  const auto many = admission.enter(
      {}, 10, 10, {.running = 4, .waiting = 3, .waiting_tokens = 30, .ahead = 3, .backlog_tokens = 30},
      Nanos{0});
  ASSERT_TRUE(many);
  EXPECT_EQ(many->cause, RefusalCause::queue_requests);
  EXPECT_EQ(many->submitted.message, "3 requests already wait to be admitted; at most 3 may");
  const auto tokens = admission.enter(
      {}, 200, 10, {.running = 4, .waiting = 1, .waiting_tokens = 900, .ahead = 1, .backlog_tokens = 900},
      Nanos{0});
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->cause, RefusalCause::queue_tokens);
  EXPECT_EQ(tokens->submitted.status, SubmitStatus::queue_full);
  for (int i = 0; i < 100; ++i)
    admission.step(milliseconds{100}, {.prompt_tokens = 10, .decode_tokens = 4, .admitted = 0}, quiet);
  const auto late = admission.enter({}, 200, 10, quiet, Nanos{0});  // 100 prompt tokens a second
  ASSERT_TRUE(late);
  EXPECT_EQ(late->cause, RefusalCause::predicted_ttft);
  EXPECT_EQ(late->submitted.status, SubmitStatus::overloaded);
  EXPECT_EQ(late->submitted.message,
            "the first token is expected after 2.00 s; the server refuses above 1.00 s");
  ASSERT_TRUE(late->submitted.retry_after);
  EXPECT_NEAR(to_seconds(*late->submitted.retry_after), 1, 0.05);
}

}  // namespace
}  // namespace dsbench::engine
