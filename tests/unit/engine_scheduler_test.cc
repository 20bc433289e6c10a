#include "engine/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dsbench::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Nanos second{1'000'000'000};

SchedulerConfig tiny() {
  SchedulerConfig config;
  config.block_size = 4;
  config.blocks = 8;
  config.max_running = 4;
  config.max_batched_tokens = 16;
  config.max_model_len = 32;
  return config;
}

// Drives a scheduler by hand: each turn is one step whose every sampled token is 7, unless told otherwise.
class Hand {
 public:
  explicit Hand(const SchedulerConfig& config) : scheduler{config} {}

  SequenceId add(std::int32_t prompt, std::int32_t max_tokens, Nanos now = Nanos{0}) {
    GenerateRequest request;
    request.prompt.assign(static_cast<std::size_t>(prompt), 1);
    request.max_tokens = max_tokens;
    const Submitted submitted = scheduler.add(std::move(request), next_tag++, now);
    EXPECT_EQ(submitted.status, SubmitStatus::accepted) << submitted.message;
    return submitted.id;
  }
  // Items as "id:start+tokens", with a ! where a successor is wanted.
  std::vector<std::string> schedule() {
    std::vector<std::string> shown;
    for (const StepItem& item : scheduler.schedule(events).items) {
      shown.push_back(std::to_string(item.sequence & 0xFFFFFFFF) + ":" + std::to_string(item.start) + "+" +
                      std::to_string(item.tokens.size()) + (item.sample ? "!" : ""));
      batch_size = shown.size();
    }
    EXPECT_EQ(scheduler.check(), "");
    return shown;
  }
  void complete(TokenId token = 7) {
    scheduler.complete(std::vector<TokenId>(batch_size, token), events);
    EXPECT_EQ(scheduler.check(), "");
  }
  std::vector<std::string> turn(TokenId token = 7) {
    auto shown = schedule();
    if (!shown.empty()) complete(token);
    return shown;
  }
  // "started 0", "token 0", "finished 0 length", since the last call.
  std::vector<std::string> told() {
    static constexpr const char* reasons[] = {"stop", "length", "aborted", "queue_timeout", "failed"};
    std::vector<std::string> shown;
    for (const SequenceEvent& e : events) {
      const std::string tag = std::to_string(e.tag);
      if (e.kind == SequenceEvent::Kind::started) shown.push_back("started " + tag);
      if (e.kind == SequenceEvent::Kind::token) shown.push_back("token " + tag);
      if (e.kind == SequenceEvent::Kind::finished) {
        shown.push_back("finished " + tag + " " + reasons[static_cast<int>(e.reason)]);
      }
    }
    events.clear();
    return shown;
  }

  Scheduler scheduler;
  std::vector<SequenceEvent> events;
  std::uint64_t next_tag = 0;
  std::size_t batch_size = 0;
};

TEST(Scheduler, OneRequestFromPromptToEnd) {
  Hand hand{tiny()};
  hand.add(6, 3);
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+6!"));
  EXPECT_THAT(hand.turn(), ElementsAre("0:6+1!"));
  EXPECT_THAT(hand.turn(), ElementsAre("0:7+1!"));
  EXPECT_THAT(hand.turn(), IsEmpty());
  EXPECT_THAT(hand.told(), ElementsAre("started 0", "token 0", "token 0", "token 0", "finished 0 length"));
  const EngineStats& stats = hand.scheduler.stats();
  EXPECT_EQ(stats.prompt_tokens, 6);
  EXPECT_EQ(stats.computed_tokens, 8);  // the last generated token is never computed
  EXPECT_EQ(stats.generated_tokens, 3);
  EXPECT_EQ(stats.recomputed_tokens, 0);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.steps, 3);
}

TEST(Scheduler, ChunksALongPromptAndFillsTheBudgetWithTheNext) {
  SchedulerConfig config = tiny();
  config.max_batched_tokens = 5;
  Hand hand{config};
  hand.add(8, 2);
  hand.add(4, 2);
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+5"));
  EXPECT_THAT(hand.turn(), ElementsAre("0:5+3!", "1:0+2"));
  EXPECT_THAT(hand.turn(), ElementsAre("0:8+1!", "1:2+2!"));
  EXPECT_THAT(hand.turn(), ElementsAre("1:4+1!"));
}

TEST(Scheduler, ChargesPrefillDecodeAndContext) {
  Hand hand{tiny()};
  hand.add(3, 4);
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+3!"));
  hand.add(1, 2);  // a prompt of one token is prefill too
  const StepBatch& batch = hand.scheduler.schedule(hand.events);
  EXPECT_EQ(batch.decode_tokens, 1);
  EXPECT_EQ(batch.prefill_tokens, 1);
  EXPECT_EQ(batch.kv_tokens, 4 + 1);
}

TEST(Scheduler, AdmitsNoMoreThanMaxRunning) {
  SchedulerConfig config = tiny();
  config.max_running = 2;
  Hand hand{config};
  for (int i = 0; i < 3; ++i) hand.add(2, 2);
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+2!", "1:0+2!"));
  EXPECT_EQ(hand.scheduler.stats().waiting, 1);
  EXPECT_THAT(hand.turn(), ElementsAre("0:2+1!", "1:2+1!"));
  EXPECT_THAT(hand.turn(), ElementsAre("2:0+2!"));
}

TEST(Scheduler, TheHeadOfTheLineBlocks) {
  SchedulerConfig config = tiny();
  config.max_batched_tokens = 64;
  Hand hand{config};
  hand.add(20, 4);  // 5 of 8 blocks
  hand.add(16, 4);  // 4: does not fit
  hand.add(2, 2);   // would fit, and waits behind it
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+20!"));
  EXPECT_THAT(hand.turn(), ElementsAre("0:20+1!"));
  EXPECT_EQ(hand.scheduler.stats().waiting, 2);
}

TEST(Scheduler, PreemptsTheLastAdmittedAndTakesItBackFirst) {
  Hand hand{tiny()};
  hand.add(12, 12);  // 3 blocks, grows to 6
  hand.add(4, 12);   // 1 block, grows to 4
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+12!", "1:0+4!"));
  hand.add(20, 4);  // does not fit yet, and must not overtake a preempted one later
  std::vector<std::string> step;
  while (hand.scheduler.stats().preemptions == 0) step = hand.turn();
  // With 20 and 12 computed they hold 5 + 3 blocks, all there are; now the first wants its 21st position.
  EXPECT_THAT(step, ElementsAre("0:20+1!"));
  EXPECT_EQ(hand.scheduler.stats().running, 1);
  EXPECT_EQ(hand.scheduler.stats().waiting, 2);
  EXPECT_EQ(hand.scheduler.stats().blocks_used, 6);
  hand.told();
  // 1 is recomputed as one prompt of 4 + 9 known tokens. Two blocks are free, it needs four: it waits for the
  // first to end.
  EXPECT_THAT(hand.turn(), ElementsAre("0:21+1!"));
  EXPECT_THAT(hand.turn(), ElementsAre("0:22+1!"));
  EXPECT_THAT(hand.told(), ElementsAre("token 0", "token 0", "finished 0 length"));
  EXPECT_THAT(hand.schedule(), ElementsAre("1:0+13!", "2:0+3"));
  hand.complete();
  EXPECT_THAT(hand.told(), ElementsAre("started 2", "token 1"));  // 1 had started before
  EXPECT_EQ(hand.scheduler.stats().recomputed_tokens, 12);        // the 13th had never been computed
  EXPECT_EQ(hand.scheduler.stats().prompt_tokens, 12 + 4 + 3);
}

TEST(Scheduler, AdmitsNobodyInAStepThatPreempted) {
  SchedulerConfig config = tiny();
  config.blocks = 4;
  Hand hand{config};
  hand.add(4, 9);
  hand.add(8, 8);
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+4!", "1:0+8!"));
  // Both want a block and one is free: the first gets it, the second would take one from itself. Its two are
  // free then, and a waiting request of one block would fit; it is not let in before the next step.
  hand.add(1, 1);
  EXPECT_THAT(hand.turn(), ElementsAre("0:4+1!"));
  EXPECT_EQ(hand.scheduler.stats().preemptions, 1);
  EXPECT_EQ(hand.scheduler.stats().blocks_used, 2);
}

TEST(Scheduler, ABoundedQueueRefusesAndCountsOnlyTheNeverAdmitted) {
  SchedulerConfig config = tiny();
  config.max_queued = 2;
  Hand hand{config};
  hand.add(2, 8);
  EXPECT_THAT(hand.turn(), ElementsAre("0:0+2!"));  // running, not queued
  hand.add(2, 8);
  hand.add(2, 8);
  const Submitted refused = hand.scheduler.add_lengths({2, 8}, 9, Nanos{0});
  EXPECT_EQ(refused.status, SubmitStatus::queue_full);
  EXPECT_EQ(refused.message, "2 requests already wait to be admitted; at most 2 may");
  EXPECT_EQ(hand.scheduler.stats().requests_refused, 1);
  hand.turn();
  EXPECT_EQ(hand.scheduler.add_lengths({2, 8}, 9, Nanos{0}).status, SubmitStatus::accepted);
}

TEST(Scheduler, RefusesWhatCanNeverFit) {
  SchedulerConfig config = tiny();
  config.max_model_len = 20;
  Scheduler by_context{config};
  const Submitted too_long = by_context.add_lengths({15, 6}, 0, Nanos{0});
  EXPECT_EQ(too_long.status, SubmitStatus::too_long);
  EXPECT_EQ(too_long.message,
            "asked for 15 prompt tokens + 6 max_tokens = 21; the longest sequence here is 20 tokens "
            "(max_model_len)");
  EXPECT_EQ(by_context.add_lengths({15, 5}, 0, Nanos{0}).status, SubmitStatus::accepted);

  config.max_model_len = 4096;
  Scheduler by_pool{config};
  EXPECT_EQ(by_pool.add_lengths({2'000'000'000, 2'000'000'000}, 0, Nanos{0}).message,
            "asked for 2000000000 prompt tokens + 2000000000 max_tokens = 4000000000; the longest sequence "
            "here is 32 tokens "
            "(the whole KV block pool)");
  EXPECT_EQ(by_pool.add_lengths({0, 5}, 0, Nanos{0}).message,
            "asked for 0 prompt tokens and max_tokens 5; both must be at least 1");
}

// The whole pool for one sequence: it must run to its end, whatever else waits.
TEST(Scheduler, OneSequenceAsBigAsThePoolAlwaysProgresses) {
  Hand hand{tiny()};
  hand.add(8, 24);
  hand.add(8, 24);
  hand.add(8, 24);
  int steps = 0;
  while (hand.scheduler.has_work() && steps < 1000) {
    ASSERT_FALSE(hand.turn().empty());
    ++steps;
  }
  EXPECT_EQ(hand.scheduler.stats().requests_finished[static_cast<int>(FinishReason::length)], 3);
  EXPECT_GT(hand.scheduler.stats().preemptions, 0);
}

TEST(Scheduler, AQueueTimeoutEndsWhatWasNeverAdmitted) {
  SchedulerConfig config = tiny();
  config.max_running = 1;
  config.queue_timeout = 10 * second;
  Hand hand{config};
  hand.add(2, 30);
  hand.add(2, 2, 1 * second);
  hand.add(2, 2, 3 * second);
  hand.turn();
  hand.told();
  hand.scheduler.expire(11 * second, hand.events);
  EXPECT_THAT(hand.told(), IsEmpty());  // exactly the timeout is not longer than it
  hand.scheduler.expire(12 * second, hand.events);
  EXPECT_THAT(hand.told(), ElementsAre("finished 1 queue_timeout"));
  hand.scheduler.expire(60 * second, hand.events);
  EXPECT_THAT(hand.told(), ElementsAre("finished 2 queue_timeout"));
  EXPECT_EQ(hand.scheduler.stats().running, 1);
  EXPECT_EQ(hand.scheduler.stats().abandoned_tokens, 0);
  EXPECT_EQ(hand.scheduler.check(), "");
}

TEST(Scheduler, CancelFreesAtOnceWhatIsNotInTheStep) {
  SchedulerConfig config = tiny();
  config.max_batched_tokens = 8;
  Hand hand{config};
  const SequenceId a = hand.add(8, 4);
  const SequenceId b = hand.add(4, 4);
  const SequenceId c = hand.add(4, 4);
  EXPECT_THAT(hand.schedule(), ElementsAre("0:0+8!"));  // the step is out
  hand.scheduler.cancel(b, hand.events);
  hand.scheduler.cancel(b, hand.events);    // twice is once
  hand.scheduler.cancel(777, hand.events);  // unknown
  EXPECT_THAT(hand.told(), ElementsAre("started 0", "finished 1 aborted"));
  hand.scheduler.cancel(a, hand.events);
  EXPECT_THAT(hand.told(), IsEmpty());  // its blocks are in use until the step ends
  EXPECT_EQ(hand.scheduler.stats().blocks_used, 2);
  EXPECT_EQ(hand.scheduler.check(), "");
  hand.complete();
  EXPECT_THAT(hand.told(), ElementsAre("finished 0 aborted"));  // and no token
  EXPECT_EQ(hand.scheduler.stats().blocks_used, 0);
  EXPECT_EQ(hand.scheduler.stats().abandoned_tokens, 8);
  EXPECT_THAT(hand.turn(), ElementsAre("2:0+4!"));
  hand.scheduler.cancel(c, hand.events);
  EXPECT_EQ(hand.scheduler.stats().blocks_used, 0);
  EXPECT_EQ(hand.scheduler.stats().abandoned_tokens, 12);
  EXPECT_FALSE(hand.scheduler.has_work());
}

TEST(Scheduler, AnOldIdDoesNotReachTheNewTenantOfItsSlot) {
  Hand hand{tiny()};
  const SequenceId old = hand.add(2, 1);
  hand.turn();
  const SequenceId fresh = hand.add(2, 2);
  EXPECT_NE(old, fresh);
  hand.scheduler.cancel(old, hand.events);
  EXPECT_EQ(hand.scheduler.stats().waiting, 1);
}

TEST(Scheduler, EndOfSequence) {
  struct Case {
    const char* what;
    bool ignore_eos;
    std::int32_t min_tokens;
    std::int64_t stops, lengths, generated;
  };
  const Case cases[] = {{"ends", false, 0, 1, 0, 1},
                        {"not before min_tokens", false, 3, 1, 0, 3},
                        {"ignored", true, 0, 0, 1, 5},
                        {"min_tokens beyond max_tokens", false, 9, 0, 1, 5}};
  for (const Case& c : cases) {
    SchedulerConfig config = tiny();
    config.eos_token = 99;
    Hand hand{config};
    GenerateRequest request{
        .prompt = {1, 2, 3}, .max_tokens = 5, .min_tokens = c.min_tokens, .ignore_eos = c.ignore_eos};
    ASSERT_EQ(hand.scheduler.add(request, 0, Nanos{0}).status, SubmitStatus::accepted);
    while (hand.scheduler.has_work()) hand.turn(99);
    const EngineStats& stats = hand.scheduler.stats();
    EXPECT_EQ(stats.requests_finished[static_cast<int>(FinishReason::stop)], c.stops) << c.what;
    EXPECT_EQ(stats.requests_finished[static_cast<int>(FinishReason::length)], c.lengths) << c.what;
    EXPECT_EQ(stats.generated_tokens, c.generated) << c.what;
  }
}

TEST(Scheduler, AnyOfSeveralTokensEndsAnAnswer) {
  SchedulerConfig config = tiny();
  config.eos_token = 99;
  config.more_eos_tokens = {98, 7};
  for (const TokenId end : {99, 98, 7, 8}) {
    Hand hand{config};
    GenerateRequest request{.prompt = {1, 2, 3}, .max_tokens = 5};
    ASSERT_EQ(hand.scheduler.add(request, 0, Nanos{0}).status, SubmitStatus::accepted);
    while (hand.scheduler.has_work()) hand.turn(end);
    EXPECT_EQ(hand.scheduler.stats().generated_tokens, end == 8 ? 5 : 1) << end;
  }
}

TEST(Scheduler, AFailedStepEndsItsSequencesAndNoOther) {
  SchedulerConfig config = tiny();
  config.max_running = 1;
  Hand hand{config};
  hand.add(2, 2);
  hand.add(2, 2);
  hand.schedule();
  hand.scheduler.fail_step(hand.events);
  EXPECT_EQ(hand.scheduler.check(), "");
  EXPECT_THAT(hand.told(), ElementsAre("started 0", "finished 0 failed"));
  EXPECT_THAT(hand.turn(), ElementsAre("1:0+2!"));
}

TEST(SchedulerConfig, RefusesWhatCannotRun) {
  const auto message = [](auto change) {
    SchedulerConfig config = tiny();
    change(config);
    const auto checked = check_config(config);
    return checked ? std::string{} : checked.error().message;
  };
  EXPECT_EQ(message([](SchedulerConfig&) {}), "");
  EXPECT_EQ(message([](SchedulerConfig& c) { c.blocks = 0; }),
            "scheduler: blocks is 0; it must be at least 1");
  EXPECT_EQ(message([](SchedulerConfig& c) { c.max_queued = 0; }),
            "scheduler: max_queued is 0; it must be at least 1");
  EXPECT_EQ(message([](SchedulerConfig& c) { c.queue_timeout = Nanos{-5}; }),
            "scheduler: queue_timeout is -5 ns; it must be positive, or left out for none");
}

}  // namespace
}  // namespace dsbench::engine
