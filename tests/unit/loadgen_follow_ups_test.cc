#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "loadgen/load_machine.h"
#include "loadgen/virtual_runner.h"
#include "loadgen/workload.h"
#include "tests/fakes/fifo_target.h"
#include "tests/fakes/kept_records.h"
#include "tests/fakes/small_workload.h"

// Turns and steps through the machine, in virtual time.
namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::Reason;

class Offered final : public results::RecordSink {
 public:
  void attempt(const results::AttemptRecord& r) override { attempts.push_back(r); }
  void request(const results::RequestRecord& r) override { requests.push_back(r); }
  void offered(std::uint32_t stage, std::uint64_t request, Nanos due) override {
    EXPECT_TRUE(offers.emplace(request, due).second) << "a request is offered once";
    stages[request] = stage;
  }
  std::uint32_t stage_at(Nanos due, std::uint32_t) override { return due < 10s ? 0 : 1; }
  std::vector<results::AttemptRecord> attempts;
  std::vector<results::RequestRecord> requests;
  std::map<std::uint64_t, Nanos> offers;
  std::map<std::uint64_t, std::uint32_t> stages;
};

struct World {
  explicit World(const profiles::WorkloadProfile& workload, const fakes::FifoConfig& config = {})
      : target{config},
        runner{make_virtual_runner(target, policies_of(workload, {}), make_source(workload, 1), 1, sink,
                                   stop)} {}
  fakes::FifoTarget target;
  Offered sink;
  std::atomic<bool> stop{false};
  std::unique_ptr<Runner> runner;
};

TEST(Sessions, TheNextTurnIsDueAThinkTimeAfterTheAnswerAndBelongsToTheStageItFallsIn) {
  World w{workload_of(R"("prompt_tokens":10,"output_tokens":3,
      "session":{"turns":4,"think_time":"4s","user_tokens":4})")};
  const Arrival arrivals[] = {{0, 1s, 0}, {1, 1500ms, 0}};
  ASSERT_TRUE(w.runner->offer(arrivals, 30s));
  ASSERT_TRUE(w.runner->drain(40s));
  ASSERT_EQ(w.sink.requests.size(), 8u);
  ASSERT_EQ(w.sink.offers.size(), 6u) << "what was not scheduled";
  std::map<std::uint64_t, results::RequestRecord> by_number;
  for (const auto& r : w.sink.requests) by_number[r.request] = r;
  for (std::uint64_t session = 0; session < 2; ++session) {
    for (std::uint64_t turn = 0; turn < 4; ++turn) {
      const std::uint64_t number = session | turn << results::turn_shift;
      ASSERT_TRUE(by_number.contains(number));
      const auto& r = by_number[number];
      EXPECT_EQ(r.turn, turn);
      EXPECT_EQ(r.sent, r.due) << "no lag in virtual time";
      EXPECT_EQ(r.stage, r.due < 10s ? 0u : 1u);
      if (turn == 0) continue;
      EXPECT_EQ(r.due, by_number[session | (turn - 1) << results::turn_shift].done + 4s);
      EXPECT_EQ(w.sink.offers[number], r.due);
      EXPECT_EQ(w.sink.stages[number], r.stage);
    }
  }
}

TEST(Sessions, RestWhileNothingIsOfferedAndGoOnAfterwards) {
  World w{workload_of(R"("prompt_tokens":10,"output_tokens":3,
      "session":{"turns":3,"think_time":"4s","user_tokens":4})")};
  const Arrival first[] = {{0, 1s, 0}};
  ASSERT_TRUE(w.runner->offer(first, 2s));
  const auto left = w.runner->drain(100s);
  ASSERT_TRUE(left);
  EXPECT_EQ(*left, 0u);
  EXPECT_EQ(w.runner->now(), 2s) << "a drain does not wait for people who think";
  ASSERT_TRUE(w.runner->drain(100s));
  // Half a minute of nothing, then another stage.
  ASSERT_EQ(w.sink.requests.size(), 1u);
  const Nanos answered = w.sink.requests[0].done;
  ASSERT_TRUE(w.runner->offer({}, 20s));
  EXPECT_EQ(w.sink.requests.size(), 3u);
  EXPECT_EQ(w.sink.requests[1].due, answered + 4s) << "no time passed while it rested";
  EXPECT_EQ(*w.runner->drain(100s), 0u);
}

TEST(Agents, GoOnForAsLongAsSomethingIsOfferedAndTheDrainEnds) {
  fakes::FifoConfig config;
  config.max_queued = 1;  // refuses most of those that come at once
  World w{workload_of(R"("prompt_tokens":5,"output_tokens":4,
    "agent":{"period":"1s","steps":2,"tool_pause":"0ms","tool_tokens":7,"max_context_tokens":100})"),
          config};
  std::vector<Arrival> burst;
  for (std::uint64_t i = 0; i < 20; ++i) burst.push_back({i, 1ms, 0});
  ASSERT_TRUE(w.runner->offer(burst, 60s));
  EXPECT_EQ(*w.runner->drain(70s), 0u);
  EXPECT_LT(w.runner->now(), 61s);
  std::map<std::uint64_t, int> of_session;
  std::set<Reason> reasons;
  for (const auto& r : w.sink.requests) {
    ++of_session[results::session_of(r.request)];
    reasons.insert(r.reason);
  }
  ASSERT_EQ(of_session.size(), 20u);
  for (const auto& [session, n] : of_session)
    EXPECT_GT(n, 60) << "a second per task of two steps, refused or not";
  EXPECT_TRUE(reasons.contains(Reason::http_429));
  EXPECT_TRUE(reasons.contains(Reason::ok));
}

TEST(Agents, ACancelledRequestEndsAtTheTokenThatSufficedAndIsGood) {
  World w{workload_of(R"("prompt_tokens":5,"output_tokens":20,
    "agent":{"period":"1s","steps":1,"tool_pause":"1s","tool_tokens":7,"cancel_share":1,"endless":false})")};
  const Arrival one[] = {{0, 1s, 0}};
  ASSERT_TRUE(w.runner->offer(one, 5s));
  ASSERT_EQ(w.sink.requests.size(), 1u);
  const auto& r = w.sink.requests[0];
  EXPECT_EQ(r.reason, Reason::cancelled);
  EXPECT_EQ(r.output_tokens, 20) << "this target says everything after the first token in one chunk";
  EXPECT_EQ(r.attempts, 1u) << "and is not tried again";
  EXPECT_EQ(r.done, r.last_token);
  results::Slo slo;
  slo.e2e = 1s;
  EXPECT_TRUE(results::is_good(r, slo));
  slo.e2e = 1ms;
  EXPECT_FALSE(results::is_good(r, slo)) << "but only when it met the bounds";
}

TEST(Agents, HangUpAtTheChunkThatSuffices) {
  Offered sink;
  LoadMachine machine{{},
                      [](std::uint64_t) {
                        Attempt a;
                        a.output_tokens = 20;
                        a.stop_after_tokens = 10;
                        return a;
                      },
                      1,
                      0,
                      sink};
  const Arrival one[] = {{5, 1s, 0}};
  machine.add(one);
  std::vector<Action> actions;
  machine.on_time(1s, actions);
  ASSERT_EQ(actions.size(), 1u);
  TargetEvent e;
  e.request = 5;
  e.at = 1s;
  machine.on_event(e, actions);
  e.kind = EventKind::tokens;
  e.tokens = 4;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(sink.requests.empty());
    e.at += 1s;
    machine.on_event(e, actions);
  }
  ASSERT_EQ(sink.requests.size(), 1u);
  EXPECT_EQ(sink.requests[0].output_tokens, 12);
  EXPECT_EQ(sink.requests[0].done, Nanos{4s});
  ASSERT_EQ(actions.size(), 2u);
  EXPECT_EQ(actions[1].kind, Action::Kind::cancel);
  EXPECT_EQ(machine.in_flight(), 0u);
}

TEST(Tenants, HaveAPatienceOfTheirOwn) {
  World w{workload_of(R"("classes":[
     {"name":"calm","prompt_tokens":5,"output_tokens":4},
     {"name":"hasty","prompt_tokens":5,"output_tokens":4,"client":{"total_timeout":"1ms"}}])")};
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 40; ++i) arrivals.push_back({i, i * 100ms, 0});
  ASSERT_TRUE(w.runner->offer(arrivals, 5s));
  ASSERT_EQ(w.sink.requests.size(), 40u);
  int hasty = 0;
  for (const auto& r : w.sink.requests) {
    EXPECT_EQ(r.reason, r.tenant == 0 ? Reason::ok : Reason::total_timeout);
    hasty += r.tenant;
  }
  EXPECT_GT(hasty, 5);
  EXPECT_LT(hasty, 35);
}

TEST(Sessions, TheSameSeedGivesTheSameRun) {
  const auto workload = workload_of(R"("classes":[
     {"name":"chat","prompt_tokens":{"law":"uniform","min":5,"max":50},"output_tokens":{"law":"uniform","min":1,"max":9},
      "session":{"turns":{"law":"uniform","min":1,"max":5},"think_time":{"law":"uniform","min":"10ms","max":"2s"},
                 "user_tokens":{"law":"uniform","min":1,"max":9}}},
     {"name":"agents","prompt_tokens":5,"output_tokens":4,"agent":{"period":"1s","steps":3,"tool_pause":"10ms",
      "tool_tokens":7,"fan_out":{"law":"uniform","min":0,"max":3},"branch_tokens":4,"cancel_share":0.2,
      "max_context_tokens":200}}])");
  const auto run = [&] {
    World w{workload};
    std::vector<Arrival> arrivals;
    for (std::uint64_t i = 0; i < 60; ++i) arrivals.push_back({i, i * 150ms, 0});
    EXPECT_TRUE(w.runner->offer(arrivals, 20s));
    (void)w.runner->drain(30s);
    std::string all;
    for (const auto& r : w.sink.requests)
      all += std::to_string(r.request) + " " + std::to_string(r.due.count()) + " " +
             std::to_string(r.done.count()) + " " + std::to_string(r.prompt_tokens) + "\n";
    EXPECT_GT(w.sink.requests.size(), 300u);
    EXPECT_EQ(w.sink.offers.size() + 60, w.sink.requests.size());
    return all;
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace dsbench::loadgen
