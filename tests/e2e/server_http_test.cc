// The server over real sockets on the loopback interface, in front of a scripted engine. What is timed is
// timed by a clock that the test moves; waiting for the server is bounded by the connection's own limit of a
// minute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/server/server.h"
#include "tests/fakes/atomic_clock.h"
#include "tests/fakes/http_connection.h"
#include "tests/fakes/scripted_engine.h"

namespace dsbench::engine::server {
namespace {

using fakes::HttpConnection;
using fakes::HttpResponse;
using fakes::post_text;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

std::string chat_body(int max_tokens, bool stream, const std::string& more = "") {
  return R"({"model":"tiny","messages":[{"role":"user","content":"hello"}],"max_tokens":)" +
         std::to_string(max_tokens) + (stream ? R"(,"stream":true)" : "") + more + "}";
}

struct ServerHttpTest : testing::Test {
  ServerHttpTest() {
    // Only what a test is about may time out.
    config.idle_timeout = std::chrono::hours{1000};
    config.write_timeout = std::chrono::hours{1000};
    config.drain = std::chrono::minutes{1};
  }
  void start() {
    auto started = Server::start(engine, clock, config);
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }
  [[nodiscard]] std::uint16_t port() const { return server->port(); }
  // Moves the clock in small steps until the condition holds, so that it does not matter how far the server
  // has read.
  void advance_until(const std::function<bool()>& condition) {
    while (!condition()) clock.advance(std::chrono::seconds{1});
  }

  ServerConfig config;
  fakes::AtomicClock clock;
  fakes::ScriptedEngine engine;
  std::unique_ptr<Server> server;
};

TEST_F(ServerHttpTest, AnswersWhole) {
  start();
  engine.run();
  HttpConnection client{port()};
  const HttpResponse response = client.post(kChat, chat_body(5, false));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.head, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(response.body, HasSubstr(R"("message":{"role":"assistant","content":"abcde"})"));
  EXPECT_THAT(
      response.body,
      HasSubstr(
          R"("usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0}})"));
  EXPECT_THAT(response.body, HasSubstr(R"("id":"chatcmpl-)"));
  // The connection stays.
  const HttpResponse second =
      client.post(kText, R"({"prompt":"x","max_tokens":2,"seed":9,"temperature":0,"ignore_eos":true})");
  EXPECT_EQ(second.status, 200);
  EXPECT_THAT(second.body, HasSubstr(R"("text":"ab")"));
  EXPECT_EQ(engine.request(2).seed, 9U);
  EXPECT_TRUE(engine.request(2).ignore_eos);
}

TEST_F(ServerHttpTest, StreamsOneChunkAToken) {
  start();
  engine.run();
  HttpConnection client{port()};
  const HttpResponse chat =
      client.post(kChat, chat_body(30, true, R"(,"stream_options":{"include_usage":true})"));
  EXPECT_EQ(chat.status, 200);
  EXPECT_THAT(chat.head, HasSubstr("Content-Type: text/event-stream; charset=utf-8\r\n"));
  EXPECT_THAT(chat.head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(count(chat.body, R"("delta":{"content":")"), 30U);
  EXPECT_EQ(count(chat.body, R"("delta":{"role":"assistant","content":""})"), 1U);
  EXPECT_EQ(count(chat.body, R"("finish_reason":"length")"), 1U);
  EXPECT_THAT(
      chat.body,
      HasSubstr(
          R"("choices":[],"usage":{"prompt_tokens":5,"completion_tokens":30,"total_tokens":35,"prompt_tokens_details":{"cached_tokens":0}}})"
          "\n\ndata: [DONE]\n\n"));
  const HttpResponse text = client.post(kText, R"({"prompt":[104,105],"max_tokens":3,"stream":true})");
  EXPECT_EQ(count(text.body, R"("finish_reason":null)"), 3U);
  EXPECT_THAT(text.body, Not(HasSubstr("usage")));
  EXPECT_THAT(text.body, testing::EndsWith("data: [DONE]\n\n"));
}

TEST_F(ServerHttpTest, SendsATokenWhenItComes) {
  start();
  HttpConnection client{port()};
  client.send(post_text(kChat, chat_body(5, true)));
  const auto id = engine.wait_for_submission(1);
  engine.start(id);
  engine.emit(id, "x");
  client.read_until(R"("content":"x")");
  engine.emit(id, "yz");
  client.read_until(R"("content":"z")");
  engine.finish(id, FinishReason::stop);
  EXPECT_THAT(client.read_until("0\r\n\r\n"), HasSubstr(R"("finish_reason":"stop")"));
}

TEST_F(ServerHttpTest, ServesTheSmallEndpoints) {
  start();
  HttpConnection client{port()};
  EXPECT_EQ(client.get("/health").status, 200);
  EXPECT_THAT(client.get("/v1/models").body,
              StartsWith(R"({"object":"list","data":[{"id":"tiny","object":"model",)"));
  EXPECT_EQ(client.get("/v1/models/tiny").status, 200);
  EXPECT_THAT(client.get("/v1/models/huge").body,
              HasSubstr("the model 'huge' does not exist here; this server has 'tiny'"));
  EXPECT_EQ(client.post("/tokenize", R"({"prompt":"hi"})").body,
            R"({"count":2,"max_model_len":4096,"tokens":[104,105]})");
  EXPECT_EQ(client.post("/tokenize", "{}").status, 400);

  EngineStats stats;
  stats.running = 3;
  engine.set_stats(stats);
  const HttpResponse metrics = client.get("/metrics");
  EXPECT_THAT(metrics.head, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(metrics.body, HasSubstr("vllm:num_requests_running{model_name=\"tiny\"} 3\n"));
  EXPECT_THAT(metrics.body,
              HasSubstr("http_requests_total{handler=\"/health\",method=\"GET\",status=\"200\"} 1\n"));
  EXPECT_THAT(metrics.body, HasSubstr("dsbench_http_connections{model_name=\"tiny\"} 1\n"));

  const HttpResponse nowhere = client.get("/v2/models");
  EXPECT_EQ(nowhere.status, 404);
  EXPECT_THAT(nowhere.body,
              HasSubstr("there is nothing at '/v2/models'; this server has /v1/chat/completions, "));
  const HttpResponse wrong = client.get(kChat);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_THAT(wrong.head, HasSubstr("Allow: POST\r\n"));
  EXPECT_THAT(wrong.body, HasSubstr("/v1/chat/completions takes POST; found GET"));
}

TEST_F(ServerHttpTest, AClientThatLeavesCancelsItsRequest) {
  start();
  std::size_t nth = 0;
  for (const bool stream : {true, false}) {
    {  // while it waits in the queue, before any byte was sent
      HttpConnection client{port()};
      client.send(post_text(kChat, chat_body(5, stream)));
      const auto id = engine.wait_for_submission(++nth);
      client.close();
      engine.wait_for_cancel(id);
    }
    {  // in the middle
      HttpConnection client{port()};
      client.send(post_text(kChat, chat_body(5, stream)));
      const auto id = engine.wait_for_submission(++nth);
      engine.start(id);
      engine.emit(id, "x");
      if (stream) client.read_until(R"("content":"x")");
      client.close();
      engine.wait_for_cancel(id);
    }
    {  // with half a goodbye
      HttpConnection client{port()};
      client.send(post_text(kChat, chat_body(5, stream)));
      const auto id = engine.wait_for_submission(++nth);
      client.close_sending_half();
      engine.wait_for_cancel(id);
      EXPECT_EQ(client.read_to_end(), "");
    }
  }
  EXPECT_EQ(engine.live(), 0U);
}

TEST_F(ServerHttpTest, ARefusalIsAStatusInOpenAIsEnvelope) {
  start();
  HttpConnection client{port()};
  engine.refuse_next(SubmitStatus::queue_full, "8 requests are waiting; at most 8");
  HttpResponse response = client.post(kChat, chat_body(5, true));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body,
            R"({"error":{"message":"8 requests are waiting; at most 8","type":"server_error","param":null,)"
            R"("code":"queue_full"}})");
  engine.refuse_next(SubmitStatus::too_long, "the prompt has 9 tokens; at most 8");
  response = client.post(kChat, chat_body(5, true));
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr(R"("code":"context_length_exceeded")"));

  struct Row {
    FinishReason reason;
    int status;
  };
  std::size_t nth = 0;
  for (const auto& [reason, status] :
       {Row{FinishReason::queue_timeout, 503}, Row{FinishReason::failed, 500}}) {
    for (const bool stream : {true, false}) {
      client.send(post_text(kChat, chat_body(5, stream)));
      engine.finish(engine.wait_for_submission(++nth), reason, "because");
      response = client.read_response();
      EXPECT_EQ(response.status, status);
      EXPECT_THAT(response.body, HasSubstr("because"));
    }
  }
  // After the first token it is an event, and no [DONE].
  client.send(post_text(kChat, chat_body(5, true)));
  const auto id = engine.wait_for_submission(++nth);
  engine.emit(id, "x");
  engine.finish(id, FinishReason::failed, "because");
  const std::string stream = client.read_to_end();
  EXPECT_THAT(stream, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(stream, HasSubstr(R"(data: {"error":{"message":"the engine failed: because")"));
  EXPECT_THAT(stream, Not(HasSubstr("[DONE]")));
}

TEST_F(ServerHttpTest, BadClientsGetTheirStatusAndDisturbNobody) {
  config.max_body_bytes = 1000;
  start();
  engine.run();
  std::atomic<bool> leave{false};
  std::string seen;
  std::thread bystander{[&] {
    HttpConnection client{port()};
    while (!leave) {
      const HttpResponse whole = client.post(kChat, chat_body(200, true));
      if (whole.status != 200 || count(whole.body, R"("delta":{"content":")") != 200)
        seen = whole.head + whole.body;
    }
  }};

  {
    HttpConnection client{port()};
    const HttpResponse malformed = client.post(kChat, "{\"model\":");
    EXPECT_EQ(malformed.status, 400);
    EXPECT_THAT(malformed.body, HasSubstr("the request body is not valid JSON: error at byte 10 of 9"));
    const HttpResponse unknown =
        client.post(kChat, R"({"model":"gpt","messages":[{"role":"user","content":"x"}]})");
    EXPECT_EQ(unknown.status, 404);
    EXPECT_THAT(unknown.body, HasSubstr("the model 'gpt' does not exist here; this server has 'tiny'"));
    const HttpResponse good = client.post(kChat, chat_body(1, false));  // the connection has survived both
    EXPECT_EQ(good.status, 200);
  }
  {
    HttpConnection client{port()};
    const HttpResponse big =
        client.post(kChat, chat_body(5, true, R"(,"user":")" + std::string(1 << 20, 'x') + '"'));
    EXPECT_EQ(big.status, 413);
    EXPECT_THAT(big.head, HasSubstr("Connection: close\r\n"));
    EXPECT_THAT(big.body, HasSubstr("larger than 1000 B, the most that this server accepts"));
  }
  {
    HttpConnection client{port()};  // the length is not told beforehand
    client.send("POST " + std::string(kChat) +
                " HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                std::string(2000, 'x') + "\r\n0\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 413);
  }
  {
    HttpConnection client{port()};
    client.send("GET /health HTTP/1.1\r\nX-Long: " + std::string(100000, 'x') + "\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 431);
  }
  {
    HttpConnection client{port()};
    client.send("this is not HTTP\r\n\r\n");
    const HttpResponse response = client.read_response();
    EXPECT_EQ(response.status, 400);
    EXPECT_THAT(response.body, HasSubstr("the request is not valid HTTP/1.1: "));
    EXPECT_EQ(client.read_to_end(), "");
  }
  {
    HttpConnection client{port()};  // leaves in the middle of a header, and of a body
    client.send("POST /v1/ch");
    client.close();
    HttpConnection other{port()};
    other.send("POST /tokenize HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n{");
    other.close();
  }
  leave = true;
  bystander.join();
  EXPECT_EQ(seen, "");
}

TEST_F(ServerHttpTest, SlowClientsRunOutOfTime) {
  start();
  // The bystander's stream is older than any timeout at the end.
  HttpConnection bystander{port()};
  bystander.send(post_text(kChat, chat_body(5, true)));
  const auto id = engine.wait_for_submission(1);
  engine.emit(id, "x");
  bystander.read_until(R"("content":"x")");
  {  // says nothing
    HttpConnection client{port()};
    advance_until([&] { return client.readable_within(20); });
    EXPECT_EQ(client.read_to_end(), "");
  }
  {  // stops within the header
    HttpConnection client{port()};
    EXPECT_EQ(client.get("/health").status, 200);  // from here the first byte may take its time
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHo");
    advance_until([&] { return client.readable_within(20); });
    const HttpResponse response = client.read_response();
    EXPECT_EQ(response.status, 408);
    EXPECT_THAT(response.body, HasSubstr("the request's header did not arrive whole within 10.0 s"));
    EXPECT_EQ(client.read_to_end(), "");
  }
  {  // stops within the body
    HttpConnection client{port()};
    EXPECT_EQ(client.get("/health").status, 200);
    client.send("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"mod");
    advance_until([&] { return client.readable_within(20); });
    EXPECT_THAT(client.read_response().body,
                HasSubstr("the request's body did not arrive whole within 30.0 s"));
  }
  engine.emit(id, "y");
  engine.finish(id, FinishReason::length);
  EXPECT_THAT(bystander.read_until("[DONE]"), HasSubstr(R"("content":"y")"));
}

TEST_F(ServerHttpTest, AClientThatDoesNotReadIsDropped) {
  config.max_buffered_bytes = 10000;
  start();
  HttpConnection lazy{port(), 4096};
  lazy.send(post_text(kChat, chat_body(1000000, true)));
  const auto id = engine.wait_for_submission(1);
  while (engine.emit(id, std::string(50, 'x'))) std::this_thread::yield();  // until it is cancelled
  engine.wait_for_cancel(id);
  HttpConnection client{port()};
  EXPECT_THAT(client.get("/metrics").body, HasSubstr("dsbench_slow_readers_total{model_name=\"tiny\"} 1\n"));
}

TEST_F(ServerHttpTest, AClientThatTakesNothingForTooLongIsDropped) {
  config.max_buffered_bytes = 1u << 30;
  config.write_timeout = std::chrono::seconds{30};
  start();
  HttpConnection lazy{port(), 4096};
  lazy.send(post_text(kChat, chat_body(1000000, true)));
  const auto id = engine.wait_for_submission(1);
  engine.emit(id, std::string(60000, 'x'));  // about 10 MB of events: more than the socket's buffers hold
  advance_until([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
    return engine.live() == 0;
  });
  engine.wait_for_cancel(id);
}

TEST_F(ServerHttpTest, HundredsOfStreamsAtOnce) {
  start();
  engine.run();
  std::vector<std::unique_ptr<HttpConnection>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<HttpConnection>(port()));
    clients.back()->send(
        post_text(kChat, chat_body(50 + i, true, R"(,"stream_options":{"include_usage":true})")));
  }
  for (int i = 0; i < 200; ++i) {
    const HttpResponse response = clients[static_cast<std::size_t>(i)]->read_response();
    ASSERT_EQ(response.status, 200);
    EXPECT_EQ(count(response.body, R"("delta":{"content":")"), static_cast<std::size_t>(50 + i));
    EXPECT_THAT(response.body, HasSubstr("\"completion_tokens\":" + std::to_string(50 + i) + ","));
    EXPECT_THAT(response.body, testing::EndsWith("data: [DONE]\n\n"));
  }
  const std::string metrics = clients.front()->get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("vllm:time_to_first_token_seconds_count{model_name=\"tiny\"} 200\n"));
  EXPECT_THAT(metrics, HasSubstr("vllm:request_generation_tokens_sum{model_name=\"tiny\"} 29900\n"));
  EXPECT_THAT(metrics, HasSubstr("vllm:inter_token_latency_seconds_count{model_name=\"tiny\"} 29700\n"));
  EXPECT_THAT(
      metrics,
      HasSubstr(
          "http_requests_total{handler=\"/v1/chat/completions\",method=\"POST\",status=\"200\"} 200\n"));
}

TEST_F(ServerHttpTest, SpeaksOldAndUnusualHttp) {
  start();
  engine.run();
  const std::string body = chat_body(3, true);
  {
    HttpConnection client{port()};
    client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
    const HttpResponse response = client.read_response();
    EXPECT_THAT(response.head, Not(HasSubstr("Content-Length")));
    EXPECT_THAT(response.head, Not(HasSubstr("chunked")));
    EXPECT_THAT(response.body, testing::EndsWith("data: [DONE]\n\n"));
  }
  {
    HttpConnection client{port()};
    client.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_THAT(client.read_response().head, HasSubstr("Connection: keep-alive\r\n"));
    client.send("GET /health HTTP/1.0\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 200);
    EXPECT_EQ(client.read_to_end(), "");
  }
  {
    HttpConnection client{port()};
    client.send("POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n");
    EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body);
    EXPECT_EQ(client.read_response().status, 200);
  }
  {  // the second request is there before the first is answered
    HttpConnection client{port()};
    client.send(post_text(kChat, chat_body(40, true)) + post_text(kChat, chat_body(3, false)));
    EXPECT_EQ(count(client.read_response().body, R"("delta":{"content":")"), 40U);
    EXPECT_THAT(client.read_response().body, HasSubstr(R"("content":"abc")"));
  }
  {
    HttpConnection client{port()};
    client.send(post_text(kChat, chat_body(3, true), "Connection: close\r\n"));
    EXPECT_THAT(client.read_to_end(), testing::EndsWith("0\r\n\r\n"));
  }
}

TEST_F(ServerHttpTest, AcceptsNoMoreThanItsLimitAndTheRestWaits) {
  config.max_connections = 2;
  start();
  HttpConnection first{port()};
  HttpConnection second{port()};
  EXPECT_EQ(first.get("/health").status, 200);
  EXPECT_EQ(second.get("/health").status, 200);
  HttpConnection third{port()};
  third.send("GET /health HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(third.readable_within(100));
  first.close();
  EXPECT_EQ(third.read_response().status, 200);
}

TEST_F(ServerHttpTest, StoppingLetsRequestsFinish) {
  start();
  HttpConnection idle{port()};
  EXPECT_EQ(idle.get("/health").status, 200);
  HttpConnection busy{port()};
  busy.send(post_text(kChat, chat_body(5, true)));
  const auto id = engine.wait_for_submission(1);
  const std::uint16_t where = port();
  std::thread stopper{[&] { server->stop(); }};
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_ANY_THROW(HttpConnection{where});
  engine.emit(id, "x");
  engine.finish(id, FinishReason::length);
  EXPECT_THAT(busy.read_to_end(), testing::EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  stopper.join();
  server.reset();
}

TEST_F(ServerHttpTest, StoppingAtOnceTellsThoseWhoWait) {
  start();
  HttpConnection queued{port()};
  queued.send(post_text(kChat, chat_body(5, false)));
  HttpConnection streaming{port()};
  engine.wait_for_submission(1);
  streaming.send(post_text(kChat, chat_body(5, true)));
  const auto id = engine.wait_for_submission(2);
  engine.emit(id, "x");
  streaming.read_until(R"("content":"x")");
  std::thread stopper{[&] { server->stop(); }};  // would wait for a minute
  server->stop(Nanos{0});
  stopper.join();
  const HttpResponse refused = queued.read_response();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("the server is shutting down"));
  const std::string rest = streaming.read_to_end();
  EXPECT_THAT(rest, HasSubstr(R"(data: {"error":{"message":"the server is shutting down")"));
  EXPECT_THAT(rest, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(engine.live(), 0U);
}

TEST_F(ServerHttpTest, DestructionWithEverythingOpenIsClean) {
  start();
  engine.run();
  std::vector<std::unique_ptr<HttpConnection>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<HttpConnection>(port()));
    if (i % 3 != 0) clients.back()->send(post_text(kChat, chat_body(1000000, i % 2 == 0)));
  }
  engine.wait_for_submission(13);
  server.reset();
  EXPECT_EQ(engine.live(), 0U);
}

TEST_F(ServerHttpTest, SaysWhyItCannotListen) {
  start();
  ServerConfig other = config;
  other.port = port();
  const auto taken = Server::start(engine, clock, other);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().kind, ErrorKind::usage);
  EXPECT_EQ(taken.error().message,
            "cannot listen on 127.0.0.1:" + std::to_string(port()) +
                ": something else is listening there; stop it, choose another port, or 0 to let the "
                "system choose");
  other.port = 0;
  other.host = "example";
  EXPECT_EQ(Server::start(engine, clock, other).error().message,
            "cannot listen on 'example': not an IP address; accepted: an address of this machine such as "
            "127.0.0.1, 0.0.0.0 "
            "(all of them) or ::1");
  other.host = "192.0.2.1";
  EXPECT_EQ(Server::start(engine, clock, other).error().message,
            "cannot listen on 192.0.2.1:0: that is no address of this machine; accepted: 127.0.0.1, 0.0.0.0 "
            "(all of them) or "
            "one that 'ip address' shows");
  EXPECT_EQ(server->url(), "http://127.0.0.1:" + std::to_string(port()));
}

}  // namespace
}  // namespace dsbench::engine::server
