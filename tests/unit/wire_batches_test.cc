// Attempts that start together and answers that are ready together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/fakes/scripted_http_server.h"
#include "tests/unit/wire_harness.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using dsbench::testing::as_chunk;
using dsbench::testing::chunk;
using dsbench::testing::Script;
using dsbench::testing::ScriptedHttpServer;
using dsbench::testing::SeenRequest;
using dsbench::testing::whole_stream;
using dsbench::testing::with_length;
using results::Reason;
namespace script = dsbench::testing;

constexpr EventKind sent = EventKind::sent, done = EventKind::done, failed = EventKind::failed;

class BatchesOf : public ::testing::TestWithParam<WireKind> {};
INSTANTIATE_TEST_SUITE_P(Wires, BatchesOf, ::testing::Values(WireKind::libcurl, WireKind::lean),
                         [](const auto& wire) { return wire.param == WireKind::lean ? "lean" : "libcurl"; });

std::vector<Attempt> attempts_of(std::uint64_t from, std::uint64_t to, std::int32_t prompt_tokens = 20) {
  std::vector<Attempt> out;
  for (std::uint64_t i = from; i < to; ++i)
    out.push_back({.request = i,
                   .prompt_tokens = prompt_tokens + static_cast<std::int32_t>(i),
                   .output_tokens = 1,
                   .prompt_seed = i});
  return out;
}

// The sizes of all bodies on the wire, in order of size; each prompt has its own.
std::vector<std::size_t> lengths(const ScriptedHttpServer& server) {
  std::vector<std::size_t> out;
  for (const SeenRequest& r : server.requests()) out.push_back(r.body.size());
  std::sort(out.begin(), out.end());
  return out;
}

Script answer_after(std::chrono::milliseconds time) {
  Script answer = with_length(whole_stream(1));
  answer.insert(answer.begin(), script::pause(time));
  return answer;
}

// The first time over connections that are opened for it, then over those.
TEST_P(BatchesOf, EachIsSentOnceInOrderWithAStampOfItsOwn) {
  // Answers late enough for none to be read while the others are sent, which libcurl does.
  ScriptedHttpServer server{[](const SeenRequest&) { return answer_after(200ms); }};
  WireHarness h{GetParam(), server.url()};
  for (const std::uint64_t from : {0u, 40u}) {
    const std::size_t before = h.events().size();
    h.start_all(attempts_of(from, from + 40));
    EXPECT_EQ(h.transport().in_flight(), 40u);
    std::uint64_t next = from;
    Nanos last{0};
    for (std::size_t i = before; i < h.events().size(); ++i) {
      const TargetEvent& e = h.events()[i];
      if (e.kind != sent) continue;
      EXPECT_EQ(e.request, next++);
      EXPECT_GE(e.at, last);
      last = e.at;
    }
    EXPECT_EQ(next, from + 40);
    ASSERT_TRUE(h.run_until_ended());
    for (std::uint64_t i = from; i < from + 40; ++i) {
      EXPECT_EQ(h.kinds(i).front(), sent);
      EXPECT_EQ(h.kinds(i).back(), done);
    }
  }
  EXPECT_EQ(h.transport().counts().connections_opened, 40u);
  const auto seen = lengths(server);
  ASSERT_EQ(seen.size(), 80u);  // and no two alike: nobody got another's body
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
}

// 64 answers at once, more than one turn reads, each of more bytes than a turn has room for together.
TEST_P(BatchesOf, AnswersThatAreReadyTogetherAreAllReadWhole) {
  constexpr std::uint64_t streams = 100;
  ScriptedHttpServer server{[&](const SeenRequest& r) {
    const std::string text(10'000 + 150 * r.number, 'x');  // no two alike
    return Script{script::send(script::stream_head()), script::pause(100ms),
                  script::send(as_chunk(chunk(text) + chunk("b") + script::finish() + script::done_marker()) +
                               "0\r\n\r\n")};
  }};
  WireHarness h{GetParam(), server.url()};
  h.start_all(attempts_of(0, streams));
  // Nobody reads until all of it is there.
  std::this_thread::sleep_for(400ms);
  ASSERT_TRUE(h.run_until_ended());
  for (std::uint64_t i = 0; i < streams; ++i) {
    ASSERT_EQ(h.last(i).kind, done);
    int tokens = 0;
    for (const TargetEvent& e : h.events()) tokens += e.request == i && e.kind == EventKind::tokens;
    EXPECT_EQ(tokens, 2);
  }
  // All connections can be used again.
  h.start_all(attempts_of(streams, 2 * streams));
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.transport().counts().connections_opened, streams);
}

TEST_P(BatchesOf, LargeRequestsStandBesideSmallOnes) {
  ScriptedHttpServer server{[](const SeenRequest&) { return with_length(whole_stream(1)); }};
  WireHarness h{GetParam(), server.url()};
  std::vector<Attempt> attempts;
  for (std::uint64_t i = 0; i < 30; ++i)
    attempts.push_back({.request = i,
                        .prompt_tokens = i % 3 == 1 ? 300'000 + static_cast<std::int32_t>(i)
                                                    : 20 + static_cast<std::int32_t>(i),
                        .output_tokens = 1,
                        .prompt_seed = i});
  h.start_all(attempts);
  ASSERT_TRUE(h.run_until_ended());
  for (std::uint64_t i = 0; i < 30; ++i) EXPECT_EQ(h.kinds(i).back(), done) << i;
  const auto seen = lengths(server);
  ASSERT_EQ(seen.size(), 30u);
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
  EXPECT_LT(seen[19], 2'000u);
  EXPECT_GT(seen[20], 300'000u);
}

TEST_P(BatchesOf, CutOffAnswersDoNotDisturbTheirNeighbours) {
  ScriptedHttpServer server{[](const SeenRequest& r) {
    if (r.number % 4 == 1)
      return Script{script::send(script::stream_head() + as_chunk(chunk("a"))), script::reset()};
    if (r.number % 4 == 2) return Script{script::send("HTTP/1.1 bad\r\n\r\n"), script::close()};
    if (r.number % 4 == 3) return with_length("{}", "503 Service Unavailable");
    return with_length(whole_stream(1));
  }};
  WireHarness h{GetParam(), server.url()};
  for (std::uint64_t from = 0; from < 80; from += 20) {
    h.start_all(attempts_of(from, from + 20));
    std::this_thread::sleep_for(50ms);
    ASSERT_TRUE(h.run_until_ended());
  }
  int ended[4] = {};
  for (std::uint64_t i = 0; i < 80; ++i) {
    const TargetEvent& e = h.last(i);
    ++ended[e.kind == done ? 0 : e.http_status == 503 ? 3 : e.reason == Reason::malformed ? 2 : 1];
  }
  EXPECT_THAT(ended, ::testing::Each(20));
  EXPECT_EQ(server.requests().size(), 80u);
}

TEST_P(BatchesOf, OfThoseWithoutADescriptorNothingWasSent) {
  ScriptedHttpServer server{[](const SeenRequest&) { return answer_after(50ms); }};
  WireHarness h{GetParam(), server.url()};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  {
    const NoDescriptors none;
    h.start_all(attempts_of(1, 5));  // one takes the open connection
    ASSERT_TRUE(h.run_until_ended());
  }
  EXPECT_EQ(h.last(1).kind, done);
  for (std::uint64_t i = 2; i < 5; ++i) {
    EXPECT_EQ(h.kinds(i), (std::vector<EventKind>{failed}));
    EXPECT_EQ(h.last(i).reason, Reason::unsent);
  }
}

}  // namespace
}  // namespace dsbench::loadgen
