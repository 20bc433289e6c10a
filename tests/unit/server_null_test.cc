#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/server/null_answer.h"
#include "engine/server/null_server.h"

namespace dsbench::engine::server {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using Kind = NullAnswer::Kind;
using State = NullRequest::State;

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

TEST(NullAnswer, IsChosenByPathAndBody) {
  EXPECT_EQ(choose_null_answer("/", "").kind, Kind::json);
  EXPECT_EQ(choose_null_answer("/v1/chat/completions", R"({"stream":false,"max_tokens":5})").kind,
            Kind::json);
  EXPECT_EQ(choose_null_answer("/sse/5/1/v1/models?x", "").kind, Kind::models);

  const NullAnswer asked = choose_null_answer("/v1/completions", R"({"max_tokens": 5,"stream": true})");
  EXPECT_EQ(asked.kind, Kind::stream);
  EXPECT_EQ(asked.events, 5);
  EXPECT_EQ(asked.per_packet, 1);
  EXPECT_FALSE(asked.chat);
  EXPECT_EQ(choose_null_answer("/v1/chat/completions", R"({"stream":true})").events, 16);
  EXPECT_EQ(choose_null_answer("/x", R"({"max_completion_tokens":7,"max_tokens":9,"stream":true})").events,
            7);

  const NullAnswer shaped = choose_null_answer("/sse/100/8/10ms/v1/chat/completions", R"({"stream":true})");
  EXPECT_EQ(shaped.kind, Kind::stream);
  EXPECT_EQ(shaped.events, 100);
  EXPECT_EQ(shaped.per_packet, 8);
  EXPECT_EQ(shaped.interval, std::chrono::milliseconds{10});
  EXPECT_TRUE(shaped.chat);
  for (const char* bad : {"/sse/0/1", "/sse/x/1", "/sse/1/", "/sse/1/1/10", "/sse/1/5000"}) {
    EXPECT_EQ(choose_null_answer(bad, "").kind, Kind::no_such_shape) << bad;
  }
}

TEST(NullScript, AShortAnswerIsTwoHundredBytes) {
  NullScripts scripts;
  const NullScript& s = scripts.of({});
  EXPECT_EQ(s.packets, 1);
  EXPECT_EQ(s.first.size() - (s.first.find("\r\n\r\n") + 4), 200U);
  EXPECT_THAT(s.first, HasSubstr("Content-Length: 200\r\n"));
}

TEST(NullScript, PacketsHoldWhatWasAskedForAndTheEndGoesWithTheLast) {
  NullScripts scripts;
  NullAnswer a{.kind = Kind::stream, .chat = true, .events = 10, .per_packet = 4, .interval = {}};
  const NullScript& s = scripts.of(a);
  ASSERT_EQ(s.packets, 3);
  EXPECT_THAT(s.first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(count(s.packet(0), R"("content":"x")"), 4U);
  EXPECT_EQ(count(s.packet(1), R"("content":"x")"), 4U);
  EXPECT_EQ(count(s.packet(2), R"("content":"x")"), 2U);
  EXPECT_THAT(std::string(s.packet(2)), HasSubstr(R"("completion_tokens":10)"));
  EXPECT_THAT(std::string(s.packet(2)), EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  EXPECT_EQ(&scripts.of(a), &s);

  a.events = 1;
  const NullScript& one = scripts.of(a);
  EXPECT_EQ(one.packets, 1);
  EXPECT_THAT(one.first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(one.first, EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
}

TEST(NullRequest, IsWholeOnlyWithItsLastByte) {
  const std::string text =
      "POST /v1/x HTTP/1.1\r\nHost: h\r\ncontent-length: 5\r\nConnection: keep-alive\r\n\r\nhello";
  for (std::size_t n = 0; n < text.size(); ++n) {
    EXPECT_EQ(read_null_request(std::string_view(text).substr(0, n)).state, State::incomplete) << n;
  }
  const std::string and_more = text + "GET";
  const NullRequest r = read_null_request(and_more);
  EXPECT_EQ(r.state, State::whole);
  EXPECT_EQ(r.size, text.size());
  EXPECT_EQ(r.target, "/v1/x");
  EXPECT_EQ(r.body, "hello");
  EXPECT_FALSE(r.close);
}

TEST(NullRequest, KnowsWhenToCloseAndWhenToRefuse) {
  EXPECT_TRUE(read_null_request("GET / HTTP/1.1\r\nConnection: CLOSE\r\n\r\n").close);
  EXPECT_TRUE(read_null_request("GET / HTTP/1.0\r\n\r\n").close);
  EXPECT_FALSE(read_null_request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").close);
  EXPECT_TRUE(read_null_request("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
                  .expects_continue);
  for (const char* bad : {"nonsense\r\n\r\n", "GET /\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                          "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                          "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"}) {
    EXPECT_EQ(read_null_request(bad).state, State::malformed) << bad;
  }
}

TEST(NullServer, RefusesAnAddressThatIsNone) {
  const auto refused = NullServer::start({.host = "nowhere", .port = 0, .core = {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::usage);
  EXPECT_THAT(refused.error().message, HasSubstr("cannot listen on 'nowhere'"));
}

}  // namespace
}  // namespace dsbench::engine::server
