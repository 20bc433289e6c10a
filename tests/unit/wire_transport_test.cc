#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <optional>

#include "core/clock.h"
#include "loadgen/codec/openai_codec.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/wire/lean_transport.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/transport.h"
#include "tests/fakes/scripted_http_server.h"
#include "tests/unit/wire_harness.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using dsbench::testing::as_chunk;
using dsbench::testing::chunk;
using dsbench::testing::chunked;
using dsbench::testing::Script;
using dsbench::testing::ScriptedHttpServer;
using dsbench::testing::SeenRequest;
using dsbench::testing::whole_stream;
using dsbench::testing::with_length;
using results::Reason;
using ::testing::HasSubstr;
namespace script = dsbench::testing;

// One attempt against one script.
TargetEvent outcome(WireKind wire, Script answer, std::vector<EventKind>* kinds = nullptr) {
  ScriptedHttpServer server{[&](const SeenRequest&) { return answer; }};
  WireHarness h{wire, server.url()};
  h.start(0);
  EXPECT_TRUE(h.run_until_ended());
  for (std::size_t i = 1; i < h.events().size(); ++i) EXPECT_LE(h.events()[i - 1].at, h.events()[i].at);
  if (kinds != nullptr) *kinds = h.kinds(0);
  return h.last(0);
}

constexpr EventKind sent = EventKind::sent, first_byte = EventKind::first_byte, tokens = EventKind::tokens,
                    done = EventKind::done, failed = EventKind::failed;

// Every test of this suite runs against both wires, which must record the same.
class WireOf : public ::testing::TestWithParam<WireKind> {};
INSTANTIATE_TEST_SUITE_P(Wires, WireOf, ::testing::Values(WireKind::libcurl, WireKind::lean),
                         [](const auto& wire) { return wire.param == WireKind::lean ? "lean" : "libcurl"; });

TEST_P(WireOf, WholeStreamsHoweverTheBodyIsDelimited) {
  for (const Script& answer :
       {chunked({whole_stream(3)}), with_length(whole_stream(3)), script::until_close(whole_stream(3))}) {
    std::vector<EventKind> kinds;
    const TargetEvent end = outcome(GetParam(), answer, &kinds);
    EXPECT_EQ(kinds, (std::vector<EventKind>{sent, first_byte, tokens, tokens, tokens, done}));
    EXPECT_EQ(end.usage_output_tokens, 3);
    EXPECT_EQ(end.usage_prompt_tokens, 8);
    EXPECT_EQ(end.http_status, 200);
  }
}

TEST_P(WireOf, OneBytePieces) {
  std::vector<std::string> bytes;
  for (const char c : whole_stream(2)) bytes.emplace_back(1, c);
  std::vector<EventKind> kinds;
  outcome(GetParam(), chunked(bytes), &kinds);
  EXPECT_EQ(kinds, (std::vector<EventKind>{sent, first_byte, tokens, tokens, done}));
}

TEST_P(WireOf, Failures) {
  const std::string head = script::stream_head();
  const std::string error = "data: {\"error\":{\"message\":\"boom\"}}\n\n";
  struct Row {
    const char* name;
    Script answer;
    Reason reason;
    int status;
  };
  const Row rows[] = {
      {"reset before the response", {script::reset()}, Reason::send_failed, 0},
      {"closed before the response", {script::close()}, Reason::send_failed, 0},
      {"reset mid-stream",
       {script::send(head + as_chunk(chunk("a"))), script::pause(30ms), script::reset()},
       Reason::closed_early,
       200},
      {"closed mid-stream",
       {script::send(head + as_chunk(chunk("a"))), script::close()},
       Reason::closed_early,
       200},
      {"ended without the end marker", chunked({chunk("a"), script::finish()}), Reason::closed_early, 200},
      {"content shorter than its length",
       {script::send("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + chunk("a")), script::close()},
       Reason::closed_early,
       200},
      {"error frame", chunked({chunk("a"), error, script::done_marker()}), Reason::error_frame, 200},
      {"insufficient resource",
       chunked({chunk("a"), script::finish("insufficient_system_resource"), script::done_marker()}),
       Reason::insufficient_resource, 200},
      {"empty", chunked({script::finish(), script::done_marker()}), Reason::empty, 200},
      {"JSON instead of a stream", with_length("{\"choices\":[]}"), Reason::malformed, 200},
      {"no HTTP at all",
       {script::send("SSH-2.0-OpenSSH_9.2\r\n\r\n"), script::close()},
       Reason::malformed,
       0},
      {"a broken frame", chunked({"data: {\"choices\":\n\n"}), Reason::malformed, 200},
      {"429", with_length("{}", "429 Too Many Requests"), Reason::http_429, 429},
      {"503", with_length("{}", "503 Service Unavailable"), Reason::http_503, 503},
      {"500", with_length("{}", "500 Oops"), Reason::http_5xx, 500},
      {"401", with_length("{}", "401 Unauthorized"), Reason::http_4xx, 401},
      {"a redirect is not followed", with_length("", "302 Found", "Location: /elsewhere\r\n"),
       Reason::http_other, 302},
      {"500 with a torn body",
       {script::send("HTTP/1.1 500 Oops\r\nContent-Length: 99\r\n\r\nx"), script::close()},
       Reason::http_5xx,
       500},
  };
  for (const Row& row : rows) {
    const TargetEvent end = outcome(GetParam(), row.answer);
    EXPECT_EQ(end.kind, failed) << row.name;
    EXPECT_EQ(results::to_word(end.reason), results::to_word(row.reason)) << row.name;
    EXPECT_EQ(end.http_status, row.status) << row.name;
  }
}

TEST_P(WireOf, ReadsHowTheServerWantsRetries) {
  const TargetEvent end = outcome(
      GetParam(), with_length("{}", "429 Too Many Requests", "Retry-After: 7\r\nx-should-retry: false\r\n"));
  EXPECT_EQ(end.retry_after, Nanos{7s});
  EXPECT_EQ(end.should_retry, false);
  // Of a success they say nothing.
  const TargetEvent good = outcome(GetParam(), chunked({whole_stream(1)}, "Retry-After: 7\r\n"));
  EXPECT_EQ(good.kind, done);
  EXPECT_FALSE(good.retry_after);
}

TEST_P(WireOf, RefusedIsAConnectionFailureThatWasSent) {
  std::string url;
  {
    ScriptedHttpServer gone{[](const SeenRequest&) { return Script{}; }};
    url = gone.url();
  }
  WireHarness h{GetParam(), url};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.kinds(0), (std::vector<EventKind>{sent, failed}));
  EXPECT_EQ(h.last(0).reason, Reason::connect_failed);
  EXPECT_EQ(h.last(0).http_status, 0);
}

TEST(CurlTransport, AServerWithoutTlsIsATlsFailure) {
  ScriptedHttpServer server{[](const SeenRequest&) { return Script{}; },
                            {script::send("HTTP/1.1 400 Bad Request\r\n\r\n"), script::close()}};
  WireHarness h{WireKind::libcurl, "https://127.0.0.1:" + std::to_string(server.port())};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(results::to_word(h.last(0).reason), results::to_word(Reason::tls_failed));
}

TEST(CurlTransport, AServerThatNeverShakesHandsMeetsTheConnectTimeout) {
  ScriptedHttpServer server{[](const SeenRequest&) { return Script{}; }};
  ClientPolicy policy;
  policy.connect_timeout = Nanos{300ms};
  WireHarness h{WireKind::libcurl, "https://127.0.0.1:" + std::to_string(server.port()), policy};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.last(0).reason, Reason::connect_timeout);
}

TEST_P(WireOf, ConnectTimeoutIsThePolicys) {
  // A listener that accepts nothing, its backlog full: the SYN is left unanswered.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ClientPolicy policy;
  policy.connect_timeout = Nanos{200ms};
  WireHarness h{GetParam(), "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)), policy};
  for (std::uint64_t i = 0; i < 4; ++i) h.start(i);
  ASSERT_TRUE(h.run([&] { return h.last(3).kind == failed; }));
  EXPECT_EQ(h.last(3).reason, Reason::connect_timeout);
  EXPECT_GE(h.last(3).at, Nanos{200ms});
  ::close(listener);
}

TEST_P(WireOf, ConnectionsAreReused) {
  // By length, so that the end of the stream is the end of the response: the connection is free at once.
  ScriptedHttpServer server{[](const SeenRequest& r) {
    Script answer = with_length(whole_stream(2));
    if (r.number >= 20) answer.insert(answer.begin(), script::pause(50ms));
    return answer;
  }};
  WireHarness h{GetParam(), server.url()};
  for (std::uint64_t i = 0; i < 20; ++i) {
    h.start(i);
    ASSERT_TRUE(h.run_until_ended());
    EXPECT_EQ(h.last(i).kind, done);
  }
  EXPECT_EQ(server.connections(), 1u);
  EXPECT_EQ(h.transport().counts().connections_opened, 1u);
  EXPECT_EQ(server.requests().size(), 20u);
  for (std::uint64_t i = 20; i < 30; ++i) h.start(i);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(server.connections(), 10u);
  EXPECT_EQ(h.transport().counts().connections_peak, 10);
}

TEST_P(WireOf, MoreStreamsThanOneShardHolds) {
  ScriptedHttpServer server{[](const SeenRequest&) {
    return Script{
        script::send(script::stream_head() + as_chunk(chunk("a"))), script::pause(50ms),
        script::send(as_chunk(chunk("b") + script::finish() + script::done_marker()) + "0\r\n\r\n")};
  }};
  WireHarness h{GetParam(), server.url()};
  for (std::uint64_t i = 0; i < 150; ++i) h.start(i);
  EXPECT_EQ(h.transport().in_flight(), 150u);
  ASSERT_TRUE(h.run_until_ended());
  for (std::uint64_t i = 0; i < 150; ++i) EXPECT_EQ(h.last(i).kind, done);
}

// libcurl would repeat the request on a new connection without telling: an attempt that nobody counts.
TEST_P(WireOf, NothingIsSentTwiceWhenAReusedConnectionDies) {
  ScriptedHttpServer server{[](const SeenRequest& r) {
    return r.on_connection == 0 ? with_length(whole_stream(1)) : Script{script::close()};
  }};
  WireHarness h{GetParam(), server.url()};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  h.start(1);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.kinds(1).back(), failed);
  EXPECT_EQ(h.last(1).reason, Reason::send_failed);
  EXPECT_EQ(server.requests().size(), 2u);
  h.start(2);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.last(2).kind, done);
}

TEST_P(WireOf, CancelClosesTheConnectionSoThatTheServerSeesIt) {
  ScriptedHttpServer server{[](const SeenRequest&) {
    return Script{script::send(script::stream_head() + as_chunk(chunk("a"))), script::hold()};
  }};
  WireHarness h{GetParam(), server.url()};
  h.start(0);
  ASSERT_TRUE(h.run([&] { return h.last(0).kind == tokens; }));
  const std::size_t before = h.events().size();
  h.transport().cancel(0, 0);
  h.transport().cancel(7, 0);
  EXPECT_EQ(h.transport().in_flight(), 0u);
  EXPECT_EQ(h.transport().counts().connections_open, 0);
  ASSERT_TRUE(h.run([&] { return server.aborted() == 1; }));
  EXPECT_EQ(h.events().size(), before);
}

TEST_P(WireOf, AnswerThatGoesOnAfterItsEndIsGivenUp) {
  ScriptedHttpServer server{[](const SeenRequest&) {
    return Script{script::send(script::stream_head() + as_chunk(whole_stream(1))), script::hold()};
  }};
  WireHarness h{GetParam(), server.url()};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.last(0).kind, done);
  EXPECT_EQ(h.transport().counts().connections_open, 1);
  ASSERT_TRUE(h.run([&] { return h.transport().counts().connections_open == 0; }));
  ASSERT_TRUE(h.run([&] { return server.aborted() == 1; }));
}

TEST_P(WireOf, KeepAliveCommentsAreNoTokens) {
  ScriptedHttpServer server{[](const SeenRequest&) {
    return chunked({": keep-alive\n\n", ": keep-alive\n\n", whole_stream(1)});
  }};
  WireHarness h{GetParam(), server.url()};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_EQ(h.kinds(0), (std::vector<EventKind>{sent, first_byte, tokens, done}));
  ASSERT_TRUE(h.run([&] { return h.transport().counts().comments == 2; }));
}

TEST_P(WireOf, SendsWhatTheCodecWrote) {
  ScriptedHttpServer server{[](const SeenRequest&) { return chunked({whole_stream(1)}); }};
  WireConfig config;
  config.providers.front().api_key = Secret{"sk-1"};
  WireHarness h{GetParam(), server.url() + "/prefix/v1", {}, config};
  h.start(5);
  ASSERT_TRUE(h.run_until_ended());
  const auto seen = server.requests();
  ASSERT_EQ(seen.size(), 1u);
  Body body;
  PromptCache prompts;
  OpenAiCodec{Api::chat, "m", true}.encode(
      Attempt{.request = 5, .attempt = 0, .prompt_tokens = 20, .output_tokens = 3, .prompt_seed = 5}, prompts,
      body);
  EXPECT_EQ(seen[0].body, body.str());
  EXPECT_THAT(seen[0].head, HasSubstr("POST /prefix/v1/chat/completions HTTP/1.1\r\n"));
  EXPECT_THAT(seen[0].head, HasSubstr("Authorization: Bearer sk-1"));
  EXPECT_THAT(seen[0].head, HasSubstr("Content-Type: application/json"));
  EXPECT_THAT(seen[0].head, ::testing::Not(HasSubstr("Expect")));
}

// With every API, whatever its answers look like: here they are refused.
TEST_P(WireOf, SaysWhoAsksAndWhichAttempt) {
  for (const ApiName& api : apis()) {
    if (api.name == "http:FILE") continue;
    ScriptedHttpServer server{[](const SeenRequest&) { return with_length("no", "503 No"); }};
    WireConfig config;
    config.tenants = {"free", "not a name", "paid-2"};
    config.providers.front().api = api.name;
    WireHarness h{GetParam(), server.url(), {}, config};
    for (std::uint32_t i = 0; i < 4; ++i) {
      Attempt attempt{.request = i,
                      .attempt = i == 3 ? 12U : 0U,
                      .prompt_tokens = 20,
                      .output_tokens = 3,
                      .prompt_seed = 5};
      attempt.tenant = static_cast<std::uint16_t>(i == 3 ? 2 : i);
      h.start(attempt);
      ASSERT_TRUE(h.run_until_ended()) << api.name;
    }
    const auto seen = server.requests();
    ASSERT_EQ(seen.size(), 4U) << api.name;
    EXPECT_THAT(seen[0].head + "\r\n", HasSubstr("\r\nx-dsbench-tenant: free\r\nx-dsbench-attempt: 0\r\n"))
        << api.name;
    EXPECT_THAT(seen[1].head + "\r\n", HasSubstr("\r\nx-dsbench-attempt: 0\r\n")) << api.name;
    EXPECT_THAT(seen[1].head, ::testing::Not(HasSubstr("x-dsbench-tenant")))
        << "no header's value can be made of it";
    EXPECT_THAT(seen[2].head + "\r\n", HasSubstr("\r\nx-dsbench-tenant: paid-2\r\nx-dsbench-attempt: 0\r\n"));
    EXPECT_THAT(seen[3].head + "\r\n",
                HasSubstr("\r\nx-dsbench-tenant: paid-2\r\nx-dsbench-attempt: 12\r\n"));
    EXPECT_EQ(seen[3].body, seen[0].body) << "the rest is the same";
  }
  ScriptedHttpServer server{[](const SeenRequest&) { return chunked({whole_stream(1)}); }};
  WireHarness h{GetParam(), server.url()};
  h.start(1);
  ASSERT_TRUE(h.run_until_ended());
  EXPECT_THAT(server.requests().at(0).head, ::testing::Not(HasSubstr("x-dsbench")));
}

TEST_P(WireOf, SendsALongPromptWithoutCopyingIt) {
  ScriptedHttpServer server{[](const SeenRequest&) { return chunked({whole_stream(1)}); }};
  WireHarness h{GetParam(), server.url()};
  Attempt attempt{.request = 1, .prompt_tokens = 1'200'009, .output_tokens = 3, .prompt_seed = 5};
  attempt.parts = std::make_shared<PromptParts>(PromptParts{{7, 1'200'000}, {8, 9}});
  h.start(attempt);
  ASSERT_TRUE(h.run_until_ended());
  const auto seen = server.requests();
  ASSERT_EQ(seen.size(), 1u);
  Body body;
  PromptCache prompts;
  OpenAiCodec{Api::chat, "m", true}.encode(attempt, prompts, body);
  ASSERT_FALSE(body.contiguous());
  EXPECT_EQ(seen[0].body, body.str());
  ASSERT_GT(seen[0].body.size(), 1U << 20) << "libcurl would ask for leave";
  EXPECT_THAT(seen[0].head, ::testing::Not(HasSubstr("Expect")));
  h.start(2);  // a short one again, and a long one again
  ASSERT_TRUE(h.run_until_ended());
  attempt.request = 3;
  h.start(attempt);
  ASSERT_TRUE(h.run_until_ended());
  ASSERT_EQ(server.requests().size(), 3U);
  for (const SeenRequest& r : server.requests()) EXPECT_THAT(r.head, ::testing::Not(HasSubstr("Expect")));
}

TEST_P(WireOf, SendsEachAttemptToItsProvider) {
  ScriptedHttpServer a{[](const SeenRequest&) { return chunked({whole_stream(1)}); }};
  ScriptedHttpServer b{[](const SeenRequest&) { return chunked({whole_stream(2)}); }};
  WireConfig config;
  ProviderConfig& second = config.providers.emplace_back();
  second.base_url = b.url();
  second.api = "completions";
  second.model = "other";
  WireHarness h{GetParam(), a.url(), {}, config};
  for (std::uint64_t i = 0; i < 4; ++i) {
    Attempt attempt{.request = i, .prompt_tokens = 20, .output_tokens = 3, .prompt_seed = 5};
    attempt.provider = static_cast<std::uint16_t>(i % 2);
    h.start(attempt);
    ASSERT_TRUE(h.run_until_ended());
  }
  ASSERT_EQ(a.requests().size(), 2u);
  ASSERT_EQ(b.requests().size(), 2u);
  EXPECT_THAT(b.requests()[0].head, HasSubstr("POST /v1/completions HTTP/1.1\r\n"));
  EXPECT_THAT(b.requests()[0].body, HasSubstr("\"model\":\"other\""));
}

TEST_P(WireOf, WithoutADescriptorNothingWasSent) {
  ScriptedHttpServer server{[](const SeenRequest&) {
    Script answer = with_length(whole_stream(1));
    answer.insert(answer.begin(), script::pause(50ms));
    return answer;
  }};
  WireHarness h{GetParam(), server.url()};
  h.start(0);
  ASSERT_TRUE(h.run_until_ended());
  // 1 and 2 at once: one takes the open connection, the other needs a descriptor and finds none.
  {
    const NoDescriptors none;
    h.start(1);
    h.start(2);
    ASSERT_TRUE(h.run_until_ended());
  }
  EXPECT_EQ(h.last(1).kind, done);
  EXPECT_EQ(h.kinds(2), (std::vector<EventKind>{failed}));
  EXPECT_EQ(h.last(2).reason, Reason::unsent);
}

TEST(MakeTransport, TakesTheLeanWireWhereItCanDoAll) {
  SteadyClock clock;
  const auto poller = std::move(*Poller::make(clock));
  const auto made = [&](const std::function<void(WireConfig&)>& change) {
    WireConfig config;
    config.providers.front().base_url = "http://127.0.0.1:1";
    config.providers.front().model = "m";
    change(config);
    return make_transport(config, {}, clock, Nanos{0}, *poller);
  };
  const auto is_lean = [&](const std::function<void(WireConfig&)>& change) {
    const auto transport = made(change);
    EXPECT_TRUE(transport) << transport.error().message;
    return transport && dynamic_cast<LeanTransport*>(transport->get()) != nullptr;
  };
  EXPECT_TRUE(is_lean([](WireConfig&) {}));
  EXPECT_FALSE(is_lean([](WireConfig& c) { c.wire = WireKind::libcurl; }));
  const std::pair<const char*, std::function<void(WireConfig&)>> beyond[] = {
      {"TLS (https://127.0.0.1:1)",
       [](WireConfig& c) { c.providers.front().base_url = "https://127.0.0.1:1/v1"; }},
      {"HTTP/2", [](WireConfig& c) { c.http = HttpVersion::http2; }},
      {"a proxy", [](WireConfig& c) { c.proxy = "http://p:1"; }},
      {"compressed answers", [](WireConfig& c) { c.compressed = true; }},
  };
  for (const auto& [what, change] : beyond) {
    EXPECT_FALSE(is_lean(change)) << what;
    const auto refused = made([&](WireConfig& c) {
      change(c);
      c.wire = WireKind::lean;
    });
    ASSERT_FALSE(refused) << what;
    EXPECT_EQ(refused.error().kind, ErrorKind::usage);
    EXPECT_THAT(refused.error().message, HasSubstr(std::string{"the lean wire cannot carry "} + what));
  }
}

// A server that closes without a word between two requests: neither wire may lose the next one to it.
TEST_P(WireOf, AnIdleConnectionThatEndedIsNotUsedAgain) {
  for (const Script& answer : {Script{with_length(whole_stream(1))[0], script::close()},
                               Script{with_length(whole_stream(1))[0], script::reset()},
                               Script{script::send(with_length(whole_stream(1))[0].bytes + "stray")}}) {
    ScriptedHttpServer server{[&](const SeenRequest&) { return answer; }};
    WireHarness h{GetParam(), server.url()};
    for (std::uint64_t i = 0; i < 3; ++i) {
      h.start(i);
      ASSERT_TRUE(h.run_until_ended());
      EXPECT_EQ(h.last(i).kind, done) << i;
      const Nanos later = h.now() + Nanos{20ms};  // for its end to arrive
      ASSERT_TRUE(h.run([&] { return h.now() > later; }));
    }
    EXPECT_EQ(server.connections(), 3u);
  }
}

TEST_P(WireOf, SpeaksOverAUnixSocket) {
  const std::string path = "/tmp/dsbench-wire-" + std::to_string(::getpid()) + ".sock";
  ScriptedHttpServer server{[](const SeenRequest&) { return with_length(whole_stream(2)); }, {}, path};
  WireConfig config;
  config.providers.front().unix_socket = path;
  WireHarness h{GetParam(), "http://somewhere.example:81/v1", {}, config};
  for (std::uint64_t i = 0; i < 2; ++i) {
    h.start(i);
    ASSERT_TRUE(h.run_until_ended());
    EXPECT_EQ(h.last(i).kind, done);
  }
  EXPECT_EQ(server.connections(), 1u);
  EXPECT_THAT(server.requests().at(0).head, HasSubstr("Host: somewhere.example:81"));
}

TEST_P(WireOf, TellsHowLongAConnectionTook) {
  ScriptedHttpServer server{[](const SeenRequest&) { return with_length(whole_stream(1)); }};
  WireHarness h{GetParam(), server.url()};
  for (std::uint64_t i = 0; i < 2; ++i) {
    h.start(i);
    ASSERT_TRUE(h.run_until_ended());
  }
  int told = 0;
  for (const TargetEvent& e : h.events()) {
    if (!e.connect_time) continue;
    ++told;
    EXPECT_EQ(e.request, 0u);
    EXPECT_NE(e.kind, sent);
    EXPECT_GE(*e.connect_time, Nanos{0});
    EXPECT_LT(*e.connect_time, Nanos{5s});
    EXPECT_FALSE(e.tls_time);
  }
  EXPECT_EQ(told, 1);
}

TEST(CurlTransport, GoesThroughTheProxyThatIsNamed) {
  // Plain HTTP is asked of the proxy by its whole address, which nobody here could resolve; TLS by CONNECT.
  ScriptedHttpServer proxy{[](const SeenRequest& r) {
    return r.head.starts_with("CONNECT ") ? with_length("no", "403 Forbidden") : with_length(whole_stream(1));
  }};
  WireConfig config;
  config.proxy = proxy.url();
  WireHarness plain{WireKind::automatic, "http://engine.invalid:81/v1", {}, config};
  plain.start(0);
  ASSERT_TRUE(plain.run_until_ended());
  EXPECT_EQ(plain.last(0).kind, done);
  EXPECT_THAT(proxy.requests().at(0).head,
              HasSubstr("POST http://engine.invalid:81/v1/chat/completions HTTP/1.1"));
  WireHarness tls{WireKind::automatic, "https://engine.invalid/v1", {}, config};
  tls.start(0);
  ASSERT_TRUE(tls.run_until_ended());
  EXPECT_THAT(proxy.requests().at(1).head, HasSubstr("CONNECT engine.invalid:443 HTTP/1.1"));
  EXPECT_EQ(tls.kinds(0), (std::vector<EventKind>{sent, failed}));
  EXPECT_EQ(results::to_word(tls.last(0).reason), results::to_word(Reason::connect_failed));
}

}  // namespace
}  // namespace dsbench::loadgen
