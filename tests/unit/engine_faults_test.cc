#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/clock.h"
#include "engine/faults/engine_faults.h"
#include "engine/faults/fault_board.h"

namespace dsbench::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string refusal(std::string_view text) {
  const auto fault = parse_fault(text);
  return fault ? "accepted" : fault.error().message;
}

TEST(Fault, ReadsWhatItPrints) {
  for (const std::string text :
       {"latency", "latency:delay=200ms,jitter=50ms,share=0.3,seed=7@5s+10s", "stall:after=8,for=2s@1s",
        "close", "error-frame:after=3+4s", "truncate:share=0.5", "refuse:status=429",
        "keep-alive-flood@2s+1s", "slow-reader:rate=500", "crash@5s+3s", "cores:left=0.25", "kv:left=0.1+30s",
        "hot-experts:factor=4"}) {
    const auto fault = parse_fault(text);
    ASSERT_TRUE(fault) << text << ": " << fault.error().message;
    EXPECT_EQ(print_fault(*fault), text);
  }
  // Seconds where no unit is given.
  EXPECT_EQ(*parse_fault("crash@5+3.5"), *parse_fault("crash@5s+3500ms"));
}

TEST(Fault, SaysWhatItCannotReadAndWhatItWouldAccept) {
  EXPECT_EQ(refusal("meteor@1s"),
            "fault 'meteor@1s': no fault is called 'meteor'; accepted: latency, stall, close, error-frame, "
            "truncate, "
            "refuse, keep-alive-flood, slow-reader, crash, cores, kv, hot-experts");
  EXPECT_EQ(refusal("latency:status=5"),
            "fault 'latency:status=5': 'status' is no key of latency; accepted: delay=1s,jitter=0s,share=1");
  EXPECT_EQ(refusal("crash:share=1"), "fault 'crash:share=1': 'share' is no key of crash; accepted: none");
  EXPECT_EQ(refusal("cores:left=0"), "fault 'cores:left=0': left is '0'; accepted: a number above 0 to 1");
  EXPECT_EQ(refusal("refuse:status=200"),
            "fault 'refuse:status=200': status is '200'; accepted: a whole number from 400 to 599");
  EXPECT_EQ(refusal("close+0s"), "fault 'close+0s' lasts for no time; leave out '+…' for one without an end");
  EXPECT_THAT(refusal("latency:delay=soon"), testing::HasSubstr("'soon' is not a duration"));
  EXPECT_THAT(refusal("latency:seed=x"), testing::HasSubstr("seed is 'x'"));
}

FaultBoard board_of(std::initializer_list<const char*> faults, Nanos now = Nanos{0}) {
  FaultBoard board;
  for (const char* text : faults) board.add(*parse_fault(text), now);
  return board;
}

TEST(FaultBoard, AFaultIsOnFromItsStartToItsEnd) {
  FaultBoard board = board_of({"crash@5s+3s"}, seconds{100});
  EXPECT_FALSE(board.condition(seconds{104}).down);
  EXPECT_TRUE(board.condition(seconds{105}).down);
  EXPECT_TRUE(board.condition(seconds{108} - Nanos{1}).down);
  EXPECT_FALSE(board.condition(seconds{108}).down);
  board.expire(seconds{107});
  EXPECT_EQ(board.entries().size(), 1U);
  board.expire(seconds{108});
  EXPECT_TRUE(board.empty());
}

TEST(FaultBoard, TheLaterAddedOfTwoCountsAndClearingTakesOneKind) {
  FaultBoard board = board_of({"cores:left=0.5", "cores:left=0.25", "hot-experts:factor=3", "kv:left=0.5"});
  EXPECT_EQ(board.condition(seconds{1}),
            (EngineCondition{.down = false, .slowdown = 12, .kv_left = 0.5, .expert_skew = 3}));
  EXPECT_EQ(board.clear(FaultKind::cores), 2U);
  EXPECT_EQ(board.condition(seconds{1}).slowdown, 3);
  EXPECT_EQ(board.clear(std::nullopt), 2U);
  EXPECT_EQ(board.condition(seconds{1}), EngineCondition{});
}

TEST(FaultBoard, SaysWhenItChangesAndLetsOneEndSooner) {
  FaultBoard board;
  EXPECT_EQ(board.next_change(Nanos{-1}), std::nullopt);
  const std::int64_t id = board.add(*parse_fault("cores:left=0.5@5s+10s"), Nanos{});
  board.add(*parse_fault("crash@8s"), Nanos{});
  EXPECT_EQ(board.next_change(Nanos{-1}), seconds{5});
  EXPECT_EQ(board.next_change(seconds{5}), seconds{8});
  EXPECT_EQ(board.next_change(seconds{8}), seconds{15});
  EXPECT_EQ(board.next_change(seconds{15}), std::nullopt);
  EXPECT_TRUE(board.end(id, seconds{7}));
  EXPECT_EQ(board.next_change(seconds{5}), seconds{7});
  EXPECT_EQ(board.active(FaultKind::cores, seconds{7}), nullptr);
  EXPECT_TRUE(board.end(id, seconds{9}));  // it was over before
  EXPECT_EQ(board.next_change(seconds{5}), seconds{7});
  EXPECT_TRUE(board.end(id, seconds{1}));  // before it has begun: never
  EXPECT_EQ(board.active(FaultKind::cores, seconds{5}), nullptr);
  EXPECT_FALSE(board.end(99, seconds{9}));
}

TEST(FaultBoard, AShareOfTheRequestsIsDrawnByNumberAndSeed) {
  const FaultBoard board = board_of({"latency:delay=1s,jitter=300ms,share=0.3"});
  const FaultBoard other = board_of({"latency:delay=1s,jitter=300ms,share=0.3,seed=2"});
  int hit = 0, differ = 0;
  Nanos least = Nanos::max(), most{0};
  for (std::uint64_t request = 0; request < 10'000; ++request) {
    const Nanos delay = board.draw(request, seconds{1}).delay;
    EXPECT_EQ(delay, board.draw(request, seconds{2}).delay);
    differ += delay != other.draw(request, seconds{1}).delay;
    if (delay == Nanos{0}) continue;
    ++hit;
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_NEAR(hit, 3000, 200);  // σ = 46
  EXPECT_GT(differ, 4000);
  EXPECT_GE(least, milliseconds{700});
  EXPECT_LT(least, milliseconds{710});
  EXPECT_GT(most, milliseconds{1290});
  EXPECT_LE(most, milliseconds{1300});
}

TEST(FaultBoard, ARequestMeetsEachKindAndOneWayToBreak) {
  const FaultBoard board =
      board_of({"stall:after=3,for=2s", "truncate", "close:after=5", "refuse", "keep-alive-flood"});
  const RequestFaults faults = board.draw(0, Nanos{0});
  EXPECT_EQ(faults.stall_after, 3);
  EXPECT_EQ(faults.stall, Nanos{seconds{2}});
  EXPECT_EQ(faults.breaks, FaultKind::close);
  EXPECT_EQ(faults.break_after, 5);
  EXPECT_EQ(faults.refuse, 503);
  EXPECT_TRUE(faults.flood);
  EXPECT_EQ(board.read_rate(0, Nanos{0}), std::nullopt);
  EXPECT_FALSE(FaultBoard{}.draw(0, Nanos{0}).any());
  EXPECT_EQ(board_of({"slow-reader:rate=10"}).read_rate(4, Nanos{0}), 10);
}

// Takes 10 ms a step of a clock that only moves when told.
struct TenMilliseconds final : Executor {
  explicit TenMilliseconds(ManualClock& its) : clock{its} {}
  Result<Nanos> execute(const StepBatch&, std::span<TokenId>) override {
    clock.advance(milliseconds{10});
    if (crash != nullptr) *crash = true;
    return Nanos{milliseconds{10}};
  }
  std::string describe() const override { return "ten"; }
  ManualClock& clock;
  std::atomic<bool>* crash = nullptr;
};

TEST(FaultyExecutor, StretchesStepsAndFailsWhileDown) {
  ManualClock clock;
  auto inner = std::make_unique<TenMilliseconds>(clock);
  TenMilliseconds& ten = *inner;
  const auto faults = std::make_shared<EngineFaults>();
  const auto executor = make_faulty_executor(std::move(inner), clock, faults, true);
  EXPECT_EQ(executor->describe(), "ten");
  EXPECT_EQ(*executor->execute({}, {}), Nanos{milliseconds{10}});
  faults->slowdown = 4;
  EXPECT_EQ(*executor->execute({}, {}), Nanos{milliseconds{40}});
  EXPECT_EQ(clock.now(), Nanos{milliseconds{50}});
  ten.crash = &faults->down;  // in the middle of a step: that one fails too
  EXPECT_EQ(executor->execute({}, {}).error().message, "the executor has crashed");
  ten.crash = nullptr;
  const Nanos before = clock.now();
  EXPECT_FALSE(executor->execute({}, {}));
  EXPECT_EQ(clock.now(), before);  // nothing was computed
  faults->down = false;
  EXPECT_TRUE(executor->execute({}, {}));
}

}  // namespace
}  // namespace dsbench::engine
