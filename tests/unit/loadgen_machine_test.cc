#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "loadgen/load_machine.h"
#include "tests/fakes/kept_records.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::AttemptRecord;
using results::never;
using results::Reason;
using results::RequestRecord;
using results::TokenSource;

using Kept = fakes::KeptRecords;

Attempt simple_source(std::uint64_t request) {
  Attempt a;
  a.prompt_tokens = 10 + static_cast<std::int32_t>(request);
  a.output_tokens = 4;
  a.prompt_seed = 1000 + request;
  return a;
}

TargetEvent event(EventKind kind, Nanos at, std::uint64_t request = 0, std::uint32_t attempt = 0) {
  TargetEvent e;
  e.kind = kind;
  e.at = at;
  e.request = request;
  e.attempt = attempt;
  if (kind == EventKind::tokens) e.tokens = 1;
  return e;
}

TargetEvent failed(Reason reason, Nanos at, std::int32_t status = 0, std::uint32_t attempt = 0) {
  TargetEvent e = event(EventKind::failed, at, 0, attempt);
  e.reason = reason;
  e.http_status = status;
  return e;
}

// A machine with its sink and the actions it has asked for, as words: "start 0/0", "cancel 0/1".
struct Bench {
  explicit Bench(const ClientPolicy& policy = {}) : machine{policy, simple_source, 7, 3, kept} {}

  void arrive(Nanos due, std::uint64_t request = 0) {
    const std::vector<Arrival> one{{request, due, 5}};
    machine.add(one);
  }
  void time(Nanos now) {
    take([&](auto& actions) { machine.on_time(now, actions); });
  }
  void feed(const TargetEvent& e) {
    take([&](auto& actions) { machine.on_event(e, actions); });
  }
  template <class F>
  void take(F&& f) {
    std::vector<Action> actions;
    f(actions);
    for (const Action& a : actions) {
      said.push_back((a.kind == Action::Kind::start ? "start " : "cancel ") +
                     std::to_string(a.attempt.request) + "/" + std::to_string(a.attempt.attempt));
      last = a.attempt;
    }
  }
  std::vector<std::string> heard() { return std::exchange(said, {}); }

  Kept kept;
  LoadMachine machine;
  std::vector<std::string> said;
  Attempt last;
};

using Words = std::vector<std::string>;

ClientPolicy with_retries(std::int32_t n) {
  ClientPolicy p;
  p.retry.max_retries = n;
  p.retry.jitter = 0;
  return p;
}

// A token that the kernel had in time may lie unread while the clock goes on.
TEST(LoadMachine, ATimeoutWaitsUntilAllThatCameBeforeItIsRead) {
  ClientPolicy policy;
  policy.first_token_timeout = Nanos{100ms};
  policy.stall_timeout = Nanos{50ms};
  Bench b{policy};
  const auto time = [&](Nanos now, Nanos heard) {
    b.take([&](auto& actions) { b.machine.on_time(now, heard, actions); });
  };
  b.arrive(0s);
  time(0s, 0s);
  b.arrive(130ms, 1);
  time(140ms, 90ms);
  EXPECT_EQ(b.heard(), (Words{"start 0/0", "start 1/0"})) << "what is due does not wait";
  EXPECT_EQ(b.machine.next_deadline(), 100ms);
  b.feed(event(EventKind::tokens, 100ms));
  time(160ms, 120ms);
  b.feed(event(EventKind::tokens, 145ms));  // read after one of 140 ms was; its stall ends at 195 ms
  time(200ms, 194ms);
  EXPECT_EQ(b.heard(), Words{});
  time(200ms, 195ms);
  EXPECT_EQ(b.heard(), Words{"cancel 0/0"});
  ASSERT_EQ(b.kept.attempts.size(), 1U);
  EXPECT_EQ(b.kept.attempts[0].reason, Reason::stall_timeout);
  EXPECT_EQ(b.kept.attempts[0].done, 195ms);
}

TEST(LoadMachine, RecordsAWholeAnswer) {
  Bench b;
  b.arrive(1s);
  EXPECT_EQ(b.machine.pending(), 1u);
  EXPECT_EQ(b.machine.next_deadline(), 1s);
  b.time(999ms);
  EXPECT_EQ(b.heard(), Words{});
  b.time(1s + 3us);
  EXPECT_EQ(b.heard(), Words{"start 0/0"});
  EXPECT_EQ(b.last.prompt_tokens, 10);
  EXPECT_EQ(b.last.prompt_seed, 1000u);
  EXPECT_EQ(b.machine.pending(), 0u);
  EXPECT_EQ(b.machine.in_flight(), 1u);
  EXPECT_EQ(b.machine.next_deadline(), std::nullopt) << "no timeout: only events can wake us";
  b.feed(event(EventKind::sent, 1s + 5us));
  b.feed(event(EventKind::first_byte, 1100ms));
  b.feed(event(EventKind::tokens, 1200ms));
  b.feed(event(EventKind::tokens, 1230ms));
  b.feed(event(EventKind::tokens, 1300ms));
  TargetEvent done = event(EventKind::done, 1301ms);
  done.http_status = 200;
  b.feed(done);
  EXPECT_EQ(b.heard(), Words{});
  EXPECT_EQ(b.machine.in_flight(), 0u);
  ASSERT_EQ(b.kept.attempts.size(), 1u);
  const AttemptRecord& a = b.kept.attempts[0];
  EXPECT_EQ(a.due, 1s);
  EXPECT_EQ(a.sent, 1s + 5us);
  EXPECT_EQ(a.first_byte, 1100ms);
  EXPECT_EQ(a.first_token, 1200ms);
  EXPECT_EQ(a.last_token, 1300ms);
  EXPECT_EQ(a.done, 1301ms);
  EXPECT_EQ(a.gaps, (std::vector<Nanos>{30ms, 70ms}));
  EXPECT_EQ(a.stage, 5u);
  EXPECT_EQ(a.worker, 3u);
  EXPECT_EQ(a.output_tokens, 3);
  EXPECT_EQ(a.output_tokens_asked, 4);
  EXPECT_EQ(a.token_source, TokenSource::chunks);
  EXPECT_EQ(a.reason, Reason::ok);
  EXPECT_EQ(a.http_status, 200);
  ASSERT_EQ(b.kept.requests.size(), 1u);
  const RequestRecord& r = b.kept.requests[0];
  EXPECT_EQ(r.attempts, 1u);
  EXPECT_EQ(r.due, 1s);
  EXPECT_EQ(r.sent, 1s + 5us);
  EXPECT_EQ(r.final_sent, 1s + 5us);
  EXPECT_EQ(r.done, 1301ms);
  EXPECT_EQ(r.output_tokens, 3);
  EXPECT_EQ(r.reason, Reason::ok);
}

TEST(LoadMachine, UsageOverridesChunksAndPrompt) {
  Bench b;
  b.arrive(0s);
  b.time(0s);
  b.feed(event(EventKind::tokens, 1ms));
  TargetEvent done = event(EventKind::done, 2ms);
  done.usage_output_tokens = 9;
  done.usage_prompt_tokens = 55;
  b.feed(done);
  EXPECT_EQ(b.kept.attempts.at(0).output_tokens, 9);
  EXPECT_EQ(b.kept.attempts.at(0).token_source, TokenSource::usage);
  EXPECT_EQ(b.kept.attempts.at(0).prompt_tokens, 55);
  EXPECT_EQ(b.kept.requests.at(0).output_tokens, 9);
}

TEST(LoadMachine, AWholeAnswerWithoutATokenIsEmptyAndNotTriedAgain) {
  Bench b{with_retries(2)};
  b.arrive(0s);
  b.time(0s);
  TargetEvent done = event(EventKind::done, 2ms);
  done.usage_output_tokens = 9;
  b.feed(done);
  EXPECT_EQ(b.kept.attempts.at(0).reason, Reason::empty);
  EXPECT_EQ(b.kept.requests.at(0).reason, Reason::empty);
}

TEST(LoadMachine, FirstTokenTimeoutRunsFromTheAttemptsStart) {
  ClientPolicy p = with_retries(1);
  p.first_token_timeout = 2s;
  Bench b{p};
  b.arrive(1s);
  b.time(1500ms);  // we woke late: patience starts when the request does
  EXPECT_EQ(b.machine.next_deadline(), 3500ms);
  b.feed(event(EventKind::sent, 1501ms));
  b.feed(event(EventKind::first_byte, 1600ms));  // headers are no token
  b.time(3500ms);
  EXPECT_EQ(b.heard(), (Words{"start 0/0", "cancel 0/0"}));
  EXPECT_EQ(b.kept.attempts.at(0).reason, Reason::first_token_timeout);
  EXPECT_EQ(b.kept.attempts.at(0).done, 3500ms);
  EXPECT_EQ(b.kept.requests.size(), 0u);
  EXPECT_EQ(b.machine.in_flight(), 1u) << "waits for its retry";
  EXPECT_EQ(b.machine.next_deadline(), 4s);
  b.time(4100ms);
  EXPECT_EQ(b.heard(), Words{"start 0/1"});
  EXPECT_EQ(b.machine.next_deadline(), 6100ms);
  b.feed(event(EventKind::sent, 4101ms, 0, 1));
  b.feed(event(EventKind::tokens, 4200ms, 0, 0));  // of the attempt that was given up: ignored
  b.feed(event(EventKind::tokens, 4300ms, 0, 1));
  b.feed(event(EventKind::done, 4400ms, 0, 1));
  ASSERT_EQ(b.kept.attempts.size(), 2u);
  EXPECT_EQ(b.kept.attempts[1].due, 4s) << "the instant the law gave";
  EXPECT_EQ(b.kept.attempts[1].first_token, 4300ms);
  const RequestRecord& r = b.kept.requests.at(0);
  EXPECT_EQ(r.attempts, 2u);
  EXPECT_EQ(r.due, 1s);
  EXPECT_EQ(r.sent, 1501ms);
  EXPECT_EQ(r.final_sent, 4101ms);
  EXPECT_EQ(r.reason, Reason::ok);
}

TEST(LoadMachine, AnEventAtTheDeadlineIsInTimeAndOneAfterItIsNot) {
  ClientPolicy p;
  p.first_token_timeout = 2s;
  Bench in_time{p};
  in_time.arrive(0s);
  in_time.time(0s);
  in_time.feed(event(EventKind::tokens, 2s));
  in_time.time(2s);
  EXPECT_EQ(in_time.heard(), Words{"start 0/0"});
  Bench late{p};
  late.arrive(0s);
  late.time(0s);
  late.feed(event(EventKind::tokens, 2s + 1ns));  // before on_time() was called: the stamps decide
  EXPECT_EQ(late.heard(), (Words{"start 0/0", "cancel 0/0"}));
  EXPECT_EQ(late.kept.attempts.at(0).reason, Reason::first_token_timeout);
  EXPECT_EQ(late.kept.attempts.at(0).done, 2s);
}

TEST(LoadMachine, StallTimeoutRunsBetweenChunksAndIsFinal) {
  ClientPolicy p = with_retries(2);
  p.first_token_timeout = 10s;
  p.stall_timeout = 1s;
  Bench b{p};
  b.arrive(0s);
  b.time(0s);
  EXPECT_EQ(b.machine.next_deadline(), 10s);
  b.feed(event(EventKind::tokens, 5s));
  EXPECT_EQ(b.machine.next_deadline(), 6s);
  b.feed(event(EventKind::tokens, 5900ms));
  EXPECT_EQ(b.machine.next_deadline(), 6900ms);
  b.time(6900ms);
  EXPECT_EQ(b.kept.attempts.at(0).reason, Reason::stall_timeout);
  EXPECT_EQ(b.kept.attempts.at(0).output_tokens, 2);
  EXPECT_EQ(b.kept.requests.at(0).reason, Reason::stall_timeout) << "the stream had begun: no retry";
  EXPECT_EQ(b.machine.in_flight(), 0u);
}

TEST(LoadMachine, TotalTimeoutCoversTheWholeAttempt) {
  ClientPolicy p = with_retries(1);
  p.stall_timeout = 1s;
  p.total_timeout = 2500ms;
  Bench b{p};
  b.arrive(0s);
  b.time(0s);
  EXPECT_EQ(b.machine.next_deadline(), 2500ms) << "the stall timeout waits for the first chunk";
  b.feed(event(EventKind::tokens, 900ms));
  b.feed(event(EventKind::tokens, 1800ms));
  EXPECT_EQ(b.machine.next_deadline(), 2500ms);
  b.time(2500ms);
  EXPECT_EQ(b.kept.requests.at(0).reason, Reason::total_timeout);

  Bench silent{p};
  silent.arrive(0s);
  silent.time(0s);
  silent.time(2500ms);
  EXPECT_EQ(silent.machine.next_deadline(), 3s) << "no token had come: it is tried again";
}

TEST(LoadMachine, RetriesEndAfterTheLastOneAllowed) {
  Bench b{with_retries(2)};
  b.arrive(0s);
  b.time(0s);
  b.feed(failed(Reason::http_429, 10ms, 429));
  EXPECT_EQ(b.machine.next_deadline(), 510ms);
  b.time(510ms);
  b.feed(failed(Reason::http_503, 520ms, 503, 1));
  EXPECT_EQ(b.machine.next_deadline(), 1520ms);
  b.time(1520ms);
  b.feed(failed(Reason::http_5xx, 1530ms, 500, 2));
  EXPECT_EQ(b.heard(), (Words{"start 0/0", "start 0/1", "start 0/2"}));
  ASSERT_EQ(b.kept.attempts.size(), 3u);
  EXPECT_EQ(b.kept.attempts[0].http_status, 429);
  EXPECT_EQ(b.kept.attempts[2].http_status, 500);
  const RequestRecord& r = b.kept.requests.at(0);
  EXPECT_EQ(r.attempts, 3u);
  EXPECT_EQ(r.reason, Reason::http_5xx);
  EXPECT_EQ(r.done, 1530ms);
  EXPECT_EQ(r.sent, never) << "nobody said it was sent";
}

TEST(LoadMachine, RetryAfterIsTakenFromTheEvent) {
  Bench b{with_retries(2)};
  b.arrive(0s);
  b.time(0s);
  TargetEvent e = failed(Reason::http_429, 1s, 429);
  e.retry_after = 3s;
  b.feed(e);
  EXPECT_EQ(b.machine.next_deadline(), 4s);
  b.time(4s);
  e = failed(Reason::http_429, 5s, 429, 1);
  e.should_retry = false;
  b.feed(e);
  EXPECT_EQ(b.kept.requests.at(0).attempts, 2u);
}

TEST(LoadMachine, UnsentIsCountedAndNotTriedAgain) {
  Bench b{with_retries(2)};
  b.arrive(0s);
  b.time(0s);
  b.feed(failed(Reason::unsent, 1ms));
  EXPECT_EQ(b.machine.unsent(), 1u);
  EXPECT_EQ(b.kept.requests.at(0).reason, Reason::unsent);
}

TEST(LoadMachine, AtOneInstantTimeoutsThenRetriesThenArrivalsEachByNumber) {
  ClientPolicy p = with_retries(1);
  p.first_token_timeout = 1s;
  Bench b{p};
  const std::vector<Arrival> arrivals{{2, 0s, 0}, {1, 0s, 0}, {3, 500ms, 0}, {9, 1500ms, 0}, {8, 1500ms, 0}};
  b.machine.add(arrivals);
  b.time(0s);
  EXPECT_EQ(b.heard(), (Words{"start 2/0", "start 1/0"})) << "arrivals in the schedule's order";
  b.time(500ms);
  b.heard();
  b.time(1500ms);  // 1 and 2 time out at 1 s and are due again at 1.5 s; 3 times out at 1.5 s
  EXPECT_EQ(b.heard(), (Words{"cancel 1/0", "cancel 2/0", "cancel 3/0", "start 1/1", "start 2/1", "start 9/0",
                              "start 8/0"}));
}

TEST(LoadMachine, DropArrivalsForgetsOnlyWhatIsNotYetDue) {
  Bench b;
  b.arrive(0s, 0);
  b.arrive(1s, 1);
  b.time(0s);
  b.machine.drop_arrivals();
  EXPECT_EQ(b.machine.pending(), 0u);
  EXPECT_EQ(b.machine.in_flight(), 1u);
  b.time(10s);
  EXPECT_EQ(b.heard(), Words{"start 0/0"});
}

TEST(LoadMachine, AbandonEndsEverythingAsInterruptedWaitingRequestsIncluded) {
  Bench b{with_retries(1)};
  b.arrive(0s, 0);
  b.arrive(0s, 1);
  b.time(0s);
  b.feed(failed(Reason::http_429, 1ms, 429));  // request 0 now waits
  b.heard();
  b.take([&](auto& actions) { b.machine.abandon(100ms, actions); });
  EXPECT_EQ(b.heard(), Words{"cancel 1/0"});
  EXPECT_EQ(b.machine.in_flight(), 0u);
  EXPECT_EQ(b.machine.next_deadline(), std::nullopt);
  ASSERT_EQ(b.kept.attempts.size(), 2u);
  EXPECT_EQ(b.kept.attempts[1].reason, Reason::interrupted);
  ASSERT_EQ(b.kept.requests.size(), 2u);
  EXPECT_EQ(b.kept.requests[0].reason, Reason::interrupted);
  EXPECT_EQ(b.kept.requests[0].attempts, 1u);
  b.feed(event(EventKind::done, 1s, 1));  // too late: nobody listens
  EXPECT_EQ(b.kept.requests.size(), 2u);
}

TEST(LoadMachine, JitterIsAFunctionOfSeedRequestAndRetryAlone) {
  ClientPolicy p = with_retries(2);
  p.retry.jitter = 0.25;
  const auto second_retry_at = [&](bool first_by_header) {
    Bench b{p};
    b.arrive(0s);
    b.time(0s);
    TargetEvent e = failed(Reason::http_429, 0s, 429);
    if (first_by_header) e.retry_after = 1s;
    b.feed(e);
    b.time(1s);
    b.feed(failed(Reason::http_429, 1s, 429, 1));
    return b.machine.next_deadline();
  };
  EXPECT_EQ(second_retry_at(false), second_retry_at(true));
}

// Run with --gtest_also_run_disabled_tests --gtest_filter=*Microbenchmark*.
TEST(LoadMachine, DISABLED_Microbenchmark) {
  class Count final : public results::RecordSink {
   public:
    void attempt(const AttemptRecord&) override { ++n; }
    void request(const RequestRecord&) override {}
    std::uint64_t n = 0;
  };
  constexpr std::uint64_t concurrent = 5000;
  constexpr std::uint64_t rounds = 40;
  constexpr int chunks = 60;
  for (const bool stall : {false, true}) {
    Count sink;
    ClientPolicy p;
    p.first_token_timeout = 1h;
    p.total_timeout = 2h;
    if (stall) p.stall_timeout = 1h;
    LoadMachine machine{p, simple_source, 1, 0, sink};
    std::vector<Action> actions;
    const SteadyClock clock;
    const Nanos from = clock.now();
    std::uint64_t events = 0;
    Nanos t{0};
    for (std::uint64_t round = 0; round < rounds; ++round) {
      std::vector<Arrival> arrivals;
      for (std::uint64_t i = 0; i < concurrent; ++i) arrivals.push_back({round * concurrent + i, t, 0});
      machine.add(arrivals);
      machine.on_time(t, actions);
      actions.clear();
      for (int c = 0; c < chunks + 2; ++c) {
        const EventKind kind = c == 0            ? EventKind::sent
                               : c == chunks + 1 ? EventKind::done
                                                 : EventKind::tokens;
        for (std::uint64_t i = 0; i < concurrent; ++i) {
          machine.on_event(event(kind, t += 100ns, round * concurrent + i), actions);
          ++events;
        }
      }
    }
    const double seconds = to_seconds(clock.now() - from);
    std::printf("stall timeout %s: %.1f million events/s, %.0f ns an event, %llu attempts\n",
                stall ? "on" : "off", static_cast<double>(events) / seconds / 1e6,
                seconds * 1e9 / static_cast<double>(events), static_cast<unsigned long long>(sink.n));
  }
}

}  // namespace
}  // namespace dsbench::loadgen
