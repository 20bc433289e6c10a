#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "engine/fixed/fixed_engine.h"
#include "engine/fixed/fixed_schedule.h"

namespace dsbench::engine {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr FixedLaw law{milliseconds{50}, milliseconds{10}};

SchedulerConfig open_config() {
  SchedulerConfig config;
  config.max_running = 1'000'000;
  config.max_model_len = 1000;
  return config;
}

GenerateRequest request(std::size_t prompt, std::int32_t max_tokens) {
  GenerateRequest r;
  r.prompt.assign(prompt, 65);
  r.max_tokens = max_tokens;
  return r;
}

// "1:token0@50.0 1:done(2)@60.0", in milliseconds.
std::string words(const std::vector<FixedEvent>& events) {
  std::string text;
  for (const FixedEvent& e : events) {
    if (!text.empty()) text += ' ';
    text += fmt::format("{}:", e.sequence);
    switch (e.kind) {
      case FixedEvent::Kind::started:
        text += "started";
        break;
      case FixedEvent::Kind::tokens:
        text += e.count == 1 ? fmt::format("token{}", e.position)
                             : fmt::format("tokens{}+{}", e.position, e.count);
        break;
      case FixedEvent::Kind::finished:
        text += fmt::format("{}({})",
                            e.finish.reason == FinishReason::length          ? "done"
                            : e.finish.reason == FinishReason::aborted       ? "aborted"
                            : e.finish.reason == FinishReason::queue_timeout ? "timeout"
                                                                             : "?",
                            e.finish.output_tokens);
        break;
    }
    text += fmt::format("@{}", to_millis(e.due));
  }
  return text;
}

std::string seen(FixedSchedule& schedule, Nanos to) {
  std::vector<FixedEvent> events;
  schedule.advance(to, events);
  return words(events);
}

TEST(FixedSchedule, KeepsToTheLawAndIsNeverEarly) {
  ManualClock clock{milliseconds{1000}};
  FixedSchedule schedule{law, open_config()};
  EXPECT_FALSE(schedule.next());
  ASSERT_EQ(schedule.add(request(7, 3), clock.now()).id, 1U);
  EXPECT_EQ(schedule.next(), clock.now());  // to be told that it started
  EXPECT_EQ(seen(schedule, clock.now()), "1:started@1000");
  EXPECT_EQ(schedule.next(), milliseconds{1050});
  clock.advance(milliseconds{50} - Nanos{1});
  EXPECT_EQ(seen(schedule, clock.now()), "");
  clock.advance(Nanos{1});
  EXPECT_EQ(seen(schedule, clock.now()), "1:token0@1050");
  EXPECT_EQ(schedule.next(), milliseconds{1060});
  clock.advance(milliseconds{10} - Nanos{1});
  EXPECT_EQ(seen(schedule, clock.now()), "");
  clock.advance(Nanos{1});
  EXPECT_EQ(seen(schedule, clock.now()), "1:token1@1060");
  clock.advance(milliseconds{10});
  EXPECT_EQ(seen(schedule, clock.now()), "1:token2@1070 1:done(3)@1070");
  EXPECT_FALSE(schedule.next());
}

TEST(FixedSchedule, LatenessMovesNoLaterToken) {
  FixedSchedule schedule{law, open_config()};
  ASSERT_EQ(schedule.add(request(1, 1000 - 1), Nanos{0}).status, SubmitStatus::accepted);
  // Whoever looks 7.3 ms late each time still finds token k due at 50 + 10 k.
  std::vector<FixedEvent> events;
  while (const auto next = schedule.next()) schedule.advance(*next + Nanos{7'300'000}, events);
  std::int32_t k = 0;
  for (const FixedEvent& e : events) {
    if (e.kind != FixedEvent::Kind::tokens) continue;
    EXPECT_EQ(e.position, k);
    EXPECT_EQ(e.due, milliseconds{50} + k * milliseconds{10});
    ++k;
  }
  EXPECT_EQ(k, 999);
}

TEST(FixedSchedule, WhatCameDueWhileNobodyLookedComesInItsOrder) {
  FixedSchedule schedule{law, open_config()};
  (void)schedule.add(request(1, 2), milliseconds{0});
  (void)schedule.add(request(1, 2), milliseconds{5});
  EXPECT_EQ(
      seen(schedule, milliseconds{1000}),
      "1:started@0 2:started@5 1:token0@50 2:token0@55 1:token1@60 1:done(2)@60 2:token1@65 2:done(2)@65");
}

TEST(FixedSchedule, WithoutGapsAllTokensComeAtOnce) {
  FixedSchedule schedule{{milliseconds{20}, Nanos{0}}, open_config()};
  (void)schedule.add(request(1, 40), Nanos{0});
  EXPECT_EQ(seen(schedule, milliseconds{20}), "1:started@0 1:tokens0+40@20 1:done(40)@20");
}

TEST(FixedSchedule, WhoWaitsIsAdmittedAtTheInstantOfTheFreePlace) {
  SchedulerConfig config = open_config();
  config.max_running = 1;
  config.max_queued = 2;
  FixedSchedule schedule{law, config};
  (void)schedule.add(request(1, 2), Nanos{0});
  (void)schedule.add(request(1, 1), Nanos{0});
  (void)schedule.add(request(1, 1), Nanos{0});
  const Submitted refused = schedule.add(request(1, 1), Nanos{0});
  EXPECT_EQ(refused.status, SubmitStatus::queue_full);
  EXPECT_EQ(refused.message, "2 requests already wait to be admitted; at most 2 may");
  EXPECT_EQ(schedule.stats().waiting, 2);
  // Seen a second late, request 2 still starts when request 1 ended.
  EXPECT_EQ(seen(schedule, milliseconds{1000}),
            "1:started@0 1:token0@50 1:token1@60 1:done(2)@60 2:started@60 2:token0@110 2:done(1)@110 "
            "3:started@110 3:token0@160 3:done(1)@160");
  EXPECT_EQ(schedule.stats().requests_refused, 1);
  EXPECT_EQ(schedule.stats().running, 0);
}

TEST(FixedSchedule, AQueueTimeoutEndsAtItsInstant) {
  SchedulerConfig config = open_config();
  config.max_running = 1;
  config.queue_timeout = milliseconds{55};
  FixedSchedule schedule{law, config};
  (void)schedule.add(request(1, 5), Nanos{0});
  (void)schedule.add(request(1, 1), milliseconds{1});
  (void)schedule.add(request(1, 1), milliseconds{80});
  EXPECT_EQ(
      seen(schedule, milliseconds{200}),
      "1:started@0 1:token0@50 2:timeout(0)@56 1:token1@60 1:token2@70 1:token3@80 1:token4@90 1:done(5)@90 "
      "3:started@90 3:token0@140 3:done(1)@140");
}

TEST(FixedSchedule, CancelFreesThePlaceAndIsBooked) {
  SchedulerConfig config = open_config();
  config.max_running = 1;
  FixedSchedule schedule{law, config};
  (void)schedule.add(request(10, 100), Nanos{0});
  (void)schedule.add(request(1, 1), Nanos{0});
  (void)schedule.add(request(1, 1), Nanos{0});
  EXPECT_EQ(seen(schedule, milliseconds{70}), "1:started@0 1:token0@50 1:token1@60 1:token2@70");
  std::vector<FixedEvent> events;
  schedule.cancel(2, milliseconds{72}, events);  // while it waits
  schedule.cancel(1, milliseconds{75}, events);
  schedule.cancel(1, milliseconds{76}, events);  // a second time
  schedule.cancel(99, milliseconds{76}, events);
  EXPECT_EQ(words(events), "2:aborted(0)@72 1:aborted(3)@75");
  EXPECT_EQ(seen(schedule, milliseconds{500}), "3:started@75 3:token0@125 3:done(1)@125");
  const EngineStats& stats = schedule.stats();
  EXPECT_EQ(stats.generated_tokens, 4);
  EXPECT_EQ(stats.prompt_tokens, 11);
  EXPECT_EQ(stats.computed_tokens, 10 + 2 + 1);  // the newest token of each has not been computed
  EXPECT_EQ(stats.abandoned_tokens, 12);
  EXPECT_EQ(stats.requests_finished[static_cast<std::size_t>(FinishReason::aborted)], 2);
  EXPECT_EQ(stats.requests_finished[static_cast<std::size_t>(FinishReason::length)], 1);
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_TRUE(schedule.unfinished().empty());
}

TEST(FixedSchedule, RefusesWhatIsTooLong) {
  FixedSchedule schedule{law, open_config()};
  const Submitted refused = schedule.add(request(900, 101), Nanos{0});
  EXPECT_EQ(refused.status, SubmitStatus::too_long);
  EXPECT_EQ(refused.message,
            "asked for 900 prompt tokens and max_tokens 101, 1001 together; both must be at least 1, and at "
            "most 1000 "
            "together are accepted");
  EXPECT_EQ(schedule.add(request(900, 100), Nanos{0}).status, SubmitStatus::accepted);
}

TEST(FixedLaw, IsChecked) {
  EXPECT_TRUE(check_law({Nanos{0}, Nanos{0}}));
  const auto refused = check_law({milliseconds{-1}, Nanos{0}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("the time to the first token is"));
  EXPECT_THAT(refused.error().message, HasSubstr("accepted are 0 to 24 h"));
  EXPECT_FALSE(check_law({Nanos{0}, std::chrono::hours{25}}));
}

// Writes down what it hears and when.
class Diary final : public RequestListener {
 public:
  explicit Diary(const Clock& clock) : clock_{clock} {}
  void started() override { note("started"); }
  void generated(std::span<const TokenId> tokens) override {
    for (const TokenId t : tokens) note(std::string(1, static_cast<char>(t)));
  }
  void finished(const Finish& finish) override {
    note(finish.reason == FinishReason::length ? "length" : "aborted");
  }
  std::string text;

 private:
  void note(const std::string& what) { text += fmt::format("{}@{} ", what, to_millis(clock_.now())); }
  const Clock& clock_;
};

// Runs the engine to its end as its driver would, looking `late` after each due instant.
void drive(Engine& engine, Clock& clock, Nanos late = Nanos{0}) {
  while (const auto next = engine.driver()->next()) {
    clock.sleep_until(*next + late);
    engine.driver()->advance();
  }
}

TEST(FixedEngine, TellsEachTokenWhenItIsDue) {
  ManualClock clock{milliseconds{100}};
  const auto engine = make_fixed_engine(law, open_config(), clock);
  ASSERT_TRUE(engine) << engine.error().message;
  const auto diary = std::make_shared<Diary>(clock);
  ASSERT_EQ((*engine)->submit(request(5, 4), diary).status, SubmitStatus::accepted);
  drive(**engine, clock);
  EXPECT_EQ(diary->text, "started@100 a@150 b@160 c@170 d@180 length@180 ");
  EXPECT_EQ((*engine)->stats().generated_tokens, 4);
  EXPECT_FALSE((*engine)->driver()->next());
  EXPECT_EQ(diary.use_count(), 1);  // let go of with its end
}

TEST(FixedEngine, ALateDriverDelaysByItsOwnLatenessOnly) {
  ManualClock clock;
  const auto engine = make_fixed_engine(law, open_config(), clock);
  const auto diary = std::make_shared<Diary>(clock);
  (void)(*engine)->submit(request(5, 4), diary);
  drive(**engine, clock, milliseconds{3});
  EXPECT_EQ(diary->text, "started@3 a@53 b@63 c@73 d@83 length@83 ");
}

TEST(FixedEngine, CancelAndTheEndTellTheListener) {
  ManualClock clock;
  auto engine = make_fixed_engine(law, open_config(), clock);
  ASSERT_TRUE(engine);
  const auto cancelled = std::make_shared<Diary>(clock);
  const auto left = std::make_shared<Diary>(clock);
  const Submitted first = (*engine)->submit(request(5, 4), cancelled);
  ASSERT_EQ((*engine)->submit(request(5, 4), left).status, SubmitStatus::accepted);
  (*engine)->driver()->advance();
  (*engine)->cancel(first.id);
  EXPECT_EQ((*engine)->driver()->next(), Nanos{0});  // to be told
  (*engine)->driver()->advance();
  EXPECT_EQ(cancelled->text, "started@0 aborted@0 ");
  EXPECT_EQ((*engine)->stats().running, 1);
  clock.advance(milliseconds{50});
  (*engine)->driver()->advance();
  engine->reset();
  EXPECT_EQ(left->text, "started@0 a@50 aborted@50 ");
}

TEST(FixedEngine, RefusesALawThatCannotBe) {
  ManualClock clock;
  const auto refused = make_fixed_engine({milliseconds{-1}, milliseconds{1}}, open_config(), clock);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::usage);
}

}  // namespace
}  // namespace dsbench::engine
