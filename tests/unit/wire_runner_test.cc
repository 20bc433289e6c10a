#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "core/clock.h"
#include "core/rng.h"
#include "loadgen/wire/wire_runner.h"
#include "tests/fakes/scripted_http_server.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using dsbench::testing::chunk;
using dsbench::testing::chunked;
using dsbench::testing::Script;
using dsbench::testing::ScriptedHttpServer;
using dsbench::testing::SeenRequest;
using dsbench::testing::whole_stream;
using dsbench::testing::with_length;
using results::Reason;
namespace script = dsbench::testing;

class Memory final : public results::RecordSink {
 public:
  void attempt(const results::AttemptRecord& r) override { attempts.push_back(r); }
  void request(const results::RequestRecord& r) override { requests.push_back(r); }
  std::vector<results::AttemptRecord> attempts;
  std::vector<results::RequestRecord> requests;
};

Attempt source(std::uint64_t request) {
  return {.request = request, .attempt = 0, .prompt_tokens = 16, .output_tokens = 2, .prompt_seed = request};
}

// A runner with its sinks, and the records once it is gone.
struct Trial {
  explicit Trial(const std::string& url, std::int32_t threads = 1, ClientPolicy policy = {})
      : sinks(static_cast<std::size_t>(threads)) {
    WireConfig config;
    config.providers.front().base_url = url;
    config.providers.front().model = "m";
    config.threads = threads;
    auto made = make_wire_runner(
        config, policy, source, 7, [this](std::uint32_t w) -> results::RecordSink& { return sinks[w]; },
        stop);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    runner = std::move(*made);
  }
  std::vector<results::AttemptRecord> attempts() {
    runner.reset();
    std::vector<results::AttemptRecord> all;
    for (const Memory& m : sinks) all.insert(all.end(), m.attempts.begin(), m.attempts.end());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return std::pair{a.request, a.attempt} < std::pair{b.request, b.attempt};
    });
    return all;
  }
  std::vector<Memory> sinks;
  std::atomic<bool> stop{false};
  std::unique_ptr<Runner> runner;
};

std::vector<Arrival> poisson(double per_second, std::size_t n, Nanos from, std::uint64_t first = 0) {
  Rng rng{3, "test arrivals"};
  std::vector<Arrival> out;
  double at = to_seconds(from);
  for (std::size_t i = 0; i < n; ++i) {
    at += rng.exponential() / per_second;
    out.push_back({.request = first + i, .due = from_seconds(at), .stage = 0});
  }
  return out;
}

// What was sent is the schedule: every request once, with its own due instant, by thread i mod N, never
// before it was due.
TEST(WireRunner, SendsExactlyTheScheduleForAnyNumberOfThreads) {
  std::map<std::int32_t, std::vector<Nanos>> dues;
  for (const std::int32_t threads : {1, 2, 3}) {
    ScriptedHttpServer server{[](const SeenRequest&) { return chunked({whole_stream(2)}); }};
    Trial run{server.url(), threads};
    const auto schedule = poisson(400, 120, Nanos{50ms});
    ASSERT_TRUE(run.runner->offer(schedule, schedule.back().due + Nanos{1ms}));
    ASSERT_EQ(run.runner->drain(run.runner->now() + Nanos{20s}).value(), 0u);
    const auto health = run.runner->health();
    EXPECT_GT(health.busiest_worker_share, 0);
    EXPECT_LE(health.cpu_share, 1);
    EXPECT_GT(health.platform_jitter_p99, Nanos{0});
    EXPECT_EQ(health.unsent, 0u);
    EXPECT_GT(health.ports_used, 0);
    EXPECT_GT(health.descriptors_used, health.ports_used);
    EXPECT_GT(health.descriptors_limit, 100);
    EXPECT_GT(health.ports_limit, 1000);
    const auto attempts = run.attempts();
    ASSERT_EQ(attempts.size(), schedule.size());
    for (std::size_t i = 0; i < schedule.size(); ++i) {
      EXPECT_EQ(attempts[i].request, schedule[i].request);
      EXPECT_EQ(attempts[i].due, schedule[i].due);
      EXPECT_GE(attempts[i].sent, schedule[i].due);
      EXPECT_EQ(attempts[i].worker, schedule[i].request % static_cast<std::uint64_t>(threads));
      EXPECT_EQ(attempts[i].reason, Reason::ok);
      EXPECT_EQ(attempts[i].output_tokens, 2);
      EXPECT_EQ(attempts[i].token_source, results::TokenSource::usage);
      dues[threads].push_back(attempts[i].due);
    }
    EXPECT_EQ(server.requests().size(), schedule.size());
  }
  // The gaps, and so their dispersion, are the same for every number of threads.
  EXPECT_EQ(dues[1], dues[2]);
  EXPECT_EQ(dues[1], dues[3]);
}

// One attempt that the client gives up, with the server watching.
results::AttemptRecord given_up(const Script& answer, const ClientPolicy& policy) {
  ScriptedHttpServer server{[&](const SeenRequest&) { return answer; }};
  Trial run{server.url(), 1, policy};
  EXPECT_TRUE(run.runner->offer(std::vector<Arrival>{{0, Nanos{1ms}, 0}}, Nanos{5ms}));
  EXPECT_EQ(run.runner->drain(run.runner->now() + Nanos{20s}).value(), 0u);
  for (int i = 0; i < 1000 && server.aborted() < 1; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(server.aborted(), 1u);  // the connection was closed
  const auto attempts = run.attempts();
  EXPECT_EQ(attempts.size(), 1u);
  return attempts.empty() ? results::AttemptRecord{} : attempts.front();
}

TEST(WireRunner, TimeoutsOfTheClientCloseTheConnection) {
  // Long enough that the request has surely reached the server before it is given up.
  ClientPolicy impatient;
  impatient.first_token_timeout = Nanos{500ms};
  EXPECT_EQ(given_up({script::hold()}, impatient).reason, Reason::first_token_timeout);
  ClientPolicy stalling;
  stalling.stall_timeout = Nanos{100ms};
  const auto stalled = given_up(
      {script::send(script::stream_head() + script::as_chunk(chunk("a"))), script::hold()}, stalling);
  EXPECT_EQ(stalled.reason, Reason::stall_timeout);
  EXPECT_EQ(stalled.output_tokens, 1);
}

TEST(WireRunner, RetriesAreAttemptsOfTheirOwn) {
  ScriptedHttpServer server{[](const SeenRequest& r) {
    return r.number == 0 ? with_length("{}", "503 Busy", "retry-after-ms: 30\r\n")
                         : chunked({whole_stream(2)});
  }};
  ClientPolicy policy;
  policy.retry.max_retries = 2;
  Trial run{server.url(), 1, policy};
  ASSERT_TRUE(run.runner->offer(std::vector<Arrival>{{0, Nanos{1ms}, 0}}, Nanos{5ms}));
  ASSERT_EQ(run.runner->drain(run.runner->now() + Nanos{20s}).value(), 0u);
  const auto attempts = run.attempts();
  ASSERT_EQ(attempts.size(), 2u);
  EXPECT_EQ(attempts[0].reason, Reason::http_503);
  EXPECT_EQ(attempts[1].reason, Reason::ok);
  EXPECT_GE(attempts[1].sent - attempts[0].done, Nanos{30ms});
}

TEST(WireRunner, StopForgetsWhatIsNotDueAndAbandonRecordsTheRest) {
  ScriptedHttpServer server{[](const SeenRequest&) { return Script{script::hold()}; }};
  Trial run{server.url(), 2};
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 8; ++i) arrivals.push_back({i, i < 4 ? Nanos{1ms} : Nanos{3600s}, 0});
  std::thread user{[&] {
    while (server.requests().size() < 4) std::this_thread::sleep_for(1ms);
    run.stop = true;
  }};
  const auto offered = run.runner->offer(arrivals, Nanos{3600s});
  user.join();
  ASSERT_FALSE(offered);
  EXPECT_EQ(offered.error().kind, ErrorKind::interrupted);
  EXPECT_THAT(offered.error().message, ::testing::HasSubstr("interrupted"));
  EXPECT_EQ(run.runner->in_flight(), 4u);
  // A drain after the interruption runs its course.
  EXPECT_EQ(run.runner->drain(run.runner->now() + Nanos{30ms}).value(), 4u);
  run.runner->abandon();
  EXPECT_EQ(run.runner->in_flight(), 0u);
  const auto attempts = run.attempts();
  ASSERT_EQ(attempts.size(), 4u);
  for (const auto& a : attempts) EXPECT_EQ(a.reason, Reason::interrupted);
}

TEST(WireRunner, OffersFollowEachOther) {
  ScriptedHttpServer server{[](const SeenRequest&) {
    return Script{script::pause(60ms),
                  script::send(script::stream_head() + script::as_chunk(whole_stream(2)) + "0\r\n\r\n")};
  }};
  Trial run{server.url(), 2};
  std::uint64_t next = 0;
  for (int k = 0; k < 3; ++k) {
    const Nanos from = run.runner->now();
    const auto part = poisson(200, 10, from, next);
    next += 10;
    ASSERT_TRUE(run.runner->offer(part, part.back().due));
    EXPECT_GE(run.runner->now(), part.back().due);
  }
  ASSERT_EQ(run.runner->drain(run.runner->now() + Nanos{20s}).value(), 0u);
  EXPECT_EQ(run.attempts().size(), 30u);
}

// Our own pause must show where it belongs: in the send lag and the response latency of what was due during
// it, never in a service latency. The generator is a process of its own here, stopped from outside. The check
// is exact, however slow the machine: no stamp lies inside the pause, and what was due inside it was sent
// after it.
TEST(WireRunner, APauseOfOursIsSendLagAndNotServiceLatency) {
  constexpr std::size_t count = 300;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  int back[2];
  ASSERT_EQ(::pipe(back), 0);
  SteadyClock clock;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // the generator
    std::uint16_t port = 0;
    if (::read(back[0], &port, sizeof port) != sizeof port) ::_exit(1);
    std::vector<Nanos> rows;  // due, sent, done; by the clock, which is the same for both processes
    {
      Trial run{"http://127.0.0.1:" + std::to_string(port), 1};
      const Nanos epoch = clock.now() - run.runner->now();
      std::vector<Arrival> arrivals;
      for (std::uint64_t i = 0; i < count; ++i) {
        arrivals.push_back({i, Nanos{static_cast<std::int64_t>(i) * 10'000'000 + 20'000'000}, 0});
      }
      (void)run.runner->offer(arrivals, arrivals.back().due);
      (void)run.runner->drain(run.runner->now() + Nanos{30s});
      for (const auto& a : run.attempts()) {
        for (const Nanos t : {a.due, a.sent, a.done}) rows.push_back(epoch + t);
      }
    }
    const auto size = rows.size() * sizeof(Nanos);
    ::_exit(::write(ends[1], rows.data(), size) == static_cast<ssize_t>(size) ? 0 : 1);
  }
  ::close(ends[1]);  // so that a dead child is the end of the pipe
  ScriptedHttpServer server{[](const SeenRequest&) { return with_length(whole_stream(1)); }};
  const std::uint16_t port = server.port();
  ASSERT_EQ(::write(back[1], &port, sizeof port), static_cast<ssize_t>(sizeof port));
  while (server.requests().size() < 20) std::this_thread::sleep_for(1ms);
  int status = 0;
  ASSERT_EQ(::kill(child, SIGSTOP), 0);
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  const Nanos stopped = clock.now();
  std::this_thread::sleep_for(500ms);
  const Nanos resumed = clock.now();
  ASSERT_EQ(::kill(child, SIGCONT), 0);
  std::vector<Nanos> rows(count * 3, Nanos{-1});
  char* const bytes = reinterpret_cast<char*>(rows.data());
  const std::size_t size = rows.size() * sizeof(Nanos);
  std::size_t have = 0;
  for (ssize_t n = 0; have < size && (n = ::read(ends[0], bytes + have, size - have)) > 0;)
    have += static_cast<std::size_t>(n);
  ASSERT_EQ(have, size);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const int fd : {ends[0], back[0], back[1]}) ::close(fd);
  int paused = 0;
  Nanos longest_lag{0};
  for (std::size_t i = 0; i < count; ++i) {
    const Nanos due = rows[3 * i], sent = rows[3 * i + 1], done = rows[3 * i + 2];
    EXPECT_LE(due, sent);
    EXPECT_LE(sent, done);
    EXPECT_FALSE(sent > stopped && sent < resumed);
    EXPECT_FALSE(done > stopped && done < resumed);
    if (due <= stopped || due >= resumed) continue;
    ++paused;
    EXPECT_GE(
        sent,
        resumed);  // the whole rest of the pause is send lag, and so response latency; none of it is service
    longest_lag = std::max(longest_lag, sent - due);
  }
  EXPECT_GE(paused, 40);  // 500 ms at 100/s, whose stop came in the first of three seconds
  EXPECT_GE(longest_lag, Nanos{450ms});
}

TEST(WireRunner, RefusesWhatCannotBe) {
  std::atomic<bool> stop{false};
  Memory sink;
  const auto sinks = [&](std::uint32_t) -> results::RecordSink& { return sink; };
  const auto message = [&](WireConfig config) {
    const auto runner = make_wire_runner(config, {}, source, 1, sinks, stop);
    EXPECT_FALSE(runner);
    return runner ? std::string{} : runner.error().message;
  };
  WireConfig config;
  config.providers.front().base_url = "http://127.0.0.1:1";
  EXPECT_THAT(message(config), ::testing::HasSubstr("no model was named"));
  config.providers.front().model = "m";
  config.threads = 0;
  EXPECT_THAT(message(config),
              ::testing::HasSubstr("0 issuer threads were asked for; accepted are 1 to 256"));
  config.threads = 1;
  // A label of 64 letters is no name: nobody needs to be asked.
  config.providers.front().base_url = "http://" + std::string(64, 'x') + ".invalid";
  EXPECT_THAT(message(config), ::testing::HasSubstr("xxx.invalid has no address: "));
}

}  // namespace
}  // namespace dsbench::loadgen
