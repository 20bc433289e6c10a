#include "engine/server/manners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/server/caller.h"
#include "engine/server/local_peer.h"
#include "engine/server/metrics.h"
#include "engine/server/patience.h"
#include "engine/server/reply.h"
#include "engine/server/stream_renderer.h"

namespace dsbench::engine::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const Manners& of(std::string_view name) {
  return *find_manners(name);
}

TEST(ServerManners, HasFourNamesAndTheFirstIsTheDefault) {
  std::vector<std::string> names;
  for (const Manners& manners : all_manners()) names.emplace_back(manners.name);
  EXPECT_THAT(names, testing::ElementsAre("openai", "vllm", "deepseek-2025-02", "deepseek-2026"));
  EXPECT_EQ(openai_manners().name, "openai");
  EXPECT_EQ(find_manners("deepseek"), nullptr);
}

TEST(ServerManners, ErrorsByteForByte) {
  const ApiError field{.status = 400, .message = "m", .param = "n"};
  const ApiError limited{.status = 429, .message = "m", .type = "rate_limit_error", .code = "rate_limited"};
  struct Row {
    std::string_view manners;
    const ApiError& error;
    int status;
    std::string body;
  };
  for (
      const auto& [manners, error, status, body] : {
          Row{"openai", field, 400,
              R"({"error":{"message":"m","type":"invalid_request_error","param":"n","code":null}})"},
          Row{"openai", limited, 429,
              R"({"error":{"message":"m","type":"rate_limit_error","param":null,"code":"rate_limited"}})"},
          Row{"vllm", field, 400,
              R"({"error":{"message":"m","type":"BadRequestError","param":"n","code":400}})"},
          Row{"vllm", limited, 429,
              R"({"error":{"message":"m","type":"Too Many Requests","param":null,"code":429}})"},
          Row{"deepseek-2026", field, 422,
              R"({"error":{"message":"m; correct the request's parameters","type":"invalid_request_error","param":"n","code":"invalid_request_error"}})"},
          Row{"deepseek-2026", limited, 429,
              R"({"error":{"message":"m; pace the requests, or turn to another provider for a while","type":"rate_limit_error","param":null,"code":"invalid_request_error"}})"},
      }) {
    EXPECT_EQ(render_error(ApiKind::chat, error, of(manners)), body) << manners;
    EXPECT_EQ(http_status(ApiKind::chat, error, of(manners)), status) << manners;
  }
}

TEST(ServerManners, StatusesAreEachServicesOwn) {
  const ApiError unreadable{.status = 400, .message = "not JSON"};
  const ApiError too_long{
      .status = 400, .message = "m", .param = "prompt", .code = "context_length_exceeded"};
  const ApiError model = unknown_model("x", {.name = "tiny"});
  EXPECT_EQ(http_status(ApiKind::chat, unreadable, of("deepseek-2025-02")), 400);
  EXPECT_EQ(http_status(ApiKind::chat, too_long, of("deepseek-2025-02")), 400);
  EXPECT_EQ(http_status(ApiKind::chat, model, of("deepseek-2025-02")), 400);
  EXPECT_EQ(http_status(ApiKind::chat, model, of("vllm")), 404);
  EXPECT_EQ(http_status(ApiKind::messages, {.status = 503, .message = "m"}, of("deepseek-2026")), 529);
  EXPECT_TRUE(of("openai").sends_retry_after);
  EXPECT_FALSE(of("deepseek-2026").sends_retry_after);
}

std::string stream_of(AnswerIdentity who, const Finish& finish) {
  who.id = "i";
  who.created = 1;
  who.model = "m";
  who.include_usage = true;
  const auto sse = make_stream_renderer(who);
  std::string out;
  sse->open(out);
  sse->token(out, 'h');
  sse->token(out, 'i');
  sse->close(out, finish);
  return out;
}

const Finish kLength{.reason = FinishReason::length,
                     .prompt_tokens = 5,
                     .output_tokens = 2,
                     .cached_tokens = 3,
                     .message = ""};

TEST(ServerManners, AReasoningStreamByteForByte) {
  AnswerIdentity who;
  who.reasoning_tokens = 1;
  who.manners = &of("deepseek-2026");
  const std::string head =
      R"(data: {"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[)";
  const std::string rest = "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
  EXPECT_EQ(
      stream_of(who, kLength),
      head + R"({"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""},)" + rest +  //
          head + R"({"index":0,"delta":{"content":null,"reasoning_content":"h"},)" + rest +                //
          head + R"({"index":0,"delta":{"content":"i","reasoning_content":null},)" + rest +                //
          head +
          "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":null}\n\n" +
          head +
          R"(],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_cache_hit_tokens":3,"prompt_cache_miss_tokens":2,"completion_tokens_details":{"reasoning_tokens":1}}})"
          "\n\ndata: [DONE]\n\n");
}

TEST(ServerManners, UsageNamesTheCacheInEachServicesWords) {
  for (const std::string_view name : {"openai", "vllm"}) {
    AnswerIdentity who;
    who.manners = &of(name);
    EXPECT_THAT(stream_of(who, kLength),
                HasSubstr(R"("total_tokens":7,"prompt_tokens_details":{"cached_tokens":3}})"));
    EXPECT_THAT(stream_of(who, kLength), Not(HasSubstr("reasoning")));
  }
}

TEST(ServerManners, AWholeAnswerKeepsItsReasoningApart) {
  AnswerIdentity who;
  who.reasoning_tokens = 4;
  who.manners = &of("deepseek-2025-02");
  const std::string answer = render_answer(who, {.answer = "a", .reasoning = "r"}, kLength);
  EXPECT_THAT(answer, HasSubstr(R"("message":{"role":"assistant","content":"a","reasoning_content":"r"})"));
  // It cannot have reasoned for longer than it spoke.
  EXPECT_THAT(answer, HasSubstr(R"("completion_tokens_details":{"reasoning_tokens":2})"));
}

TEST(ServerManners, AnErrorOnAStreamIsFollowedByDoneOnlyWhereTheServiceDoesThat) {
  for (const auto& [name, done] :
       {std::pair{"openai", false}, std::pair{"vllm", true}, std::pair{"deepseek-2026", false}}) {
    AnswerIdentity who;
    who.manners = &of(name);
    std::string out;
    make_stream_renderer(who)->fail(out, {.status = 500, .message = "m"});
    EXPECT_THAT(out, StartsWith("data: {\"error\":{\"message\":\"m"));
    EXPECT_EQ(out.find("[DONE]") != std::string::npos, done) << name;
  }
}

TEST(ServerPatience, KeepsAliveAfterSilenceAndCutsOff) {
  Manners manners = of("deepseek-2025-02");
  Patience patience{manners, seconds{100}};
  using Due = Patience::Due;
  EXPECT_EQ(patience.due(seconds{109}), Due::nothing);
  EXPECT_EQ(patience.due(seconds{110}), Due::keep_alive);
  patience.said(seconds{110});
  EXPECT_EQ(patience.due(seconds{119}), Due::nothing);
  EXPECT_EQ(patience.due(seconds{120}), Due::keep_alive);
  patience.started();
  EXPECT_EQ(patience.due(seconds{100} + minutes{30} - Nanos{1}), Due::keep_alive);
  EXPECT_EQ(patience.due(seconds{100} + minutes{30}), Due::cut_off);

  Patience waiting{of("deepseek-2026"), Nanos{0}};
  EXPECT_EQ(waiting.due(minutes{10}), Due::cut_off);
  waiting.started();
  EXPECT_EQ(waiting.due(minutes{600}), Due::keep_alive);

  const Patience endless{of("openai"), Nanos{0}};
  EXPECT_EQ(endless.due(minutes{600}), Due::nothing);
}

struct ManneredReply : testing::Test {
  Reply reply(std::string_view name, bool stream) {
    Reply::Setup setup;
    setup.identity = {.kind = ApiKind::chat,
                      .id = "i",
                      .created = 1,
                      .model = "m",
                      .prompt_tokens = 3,
                      .manners = &of(name)};
    setup.stream = stream;
    setup.date = "D";
    setup.submitted = seconds{0};
    return {std::move(setup), metrics};
  }
  static std::string take(Reply& from) {
    std::string out;
    from.take(out);
    return out;
  }
  ServerMetrics metrics{"m"};
};

TEST_F(ManneredReply, AWaitingStreamHasItsHeadAtOnceAndComments) {
  Reply r = reply("deepseek-2025-02", true);
  r.begin();
  EXPECT_THAT(take(r), StartsWith("HTTP/1.1 200 OK\r\n"));
  r.on_time(seconds{9});
  EXPECT_FALSE(r.ready());
  r.on_time(seconds{10});
  EXPECT_EQ(take(r), "e\r\n: keep-alive\n\n\r\n");
  r.on_time(seconds{11});
  EXPECT_FALSE(r.ready());
  r.on_token('a', seconds{19});
  take(r);
  r.on_time(seconds{28});
  EXPECT_FALSE(r.ready());  // the token was a sign of life
  EXPECT_THAT(metrics.render({}, 0), HasSubstr("dsbench_keep_alives_total{model_name=\"m\"} 1\n"));
}

TEST_F(ManneredReply, AWaitingWholeAnswerGetsBlankLinesAndThenItsJson) {
  Reply r = reply("deepseek-2025-02", false);
  r.begin();
  EXPECT_FALSE(r.ready());  // an error would still be a status
  r.on_time(seconds{10});
  const std::string first = take(r);
  EXPECT_THAT(first, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(first, EndsWith("chunked\r\n\r\n1\r\n\n\r\n"));
  r.on_token('a', seconds{11});
  r.on_finished(kLength, seconds{12});
  const std::string rest = take(r);
  EXPECT_THAT(rest, HasSubstr("\r\n{\"id\":\"i\""));
  EXPECT_THAT(rest, EndsWith("}\r\n0\r\n\r\n"));
  EXPECT_TRUE(r.done());
  EXPECT_TRUE(r.keep_alive());
}

TEST_F(ManneredReply, TheCutOffClosesWhatWaitsAndInterruptsWhatRuns) {
  Reply waiting = reply("deepseek-2025-02", true);
  waiting.begin();
  take(waiting);
  waiting.on_time(minutes{30});
  EXPECT_THAT(take(waiting), IsEmpty());  // not even the last chunk
  EXPECT_TRUE(waiting.done());
  EXPECT_FALSE(waiting.keep_alive());

  for (const bool stream : {true, false}) {
    Reply running = reply("deepseek-2025-02", stream);
    running.begin();
    running.on_started(seconds{1});
    running.on_token('a', seconds{2});
    running.on_time(minutes{30});
    const std::string all = take(running);
    EXPECT_THAT(all, HasSubstr("\"finish_reason\":\"insufficient_system_resource\""));
    EXPECT_EQ(all.find("[DONE]") != std::string::npos, stream);
    EXPECT_FALSE(running.ended_by_engine());  // the session cancels it
  }

  Reply started = reply("deepseek-2026", true);
  started.begin();
  started.on_started(seconds{1});
  started.on_time(minutes{60});
  EXPECT_FALSE(started.ended());
  EXPECT_THAT(metrics.render({}, 0), HasSubstr("dsbench_cut_offs_total{model_name=\"m\"} 3\n"));
}

TEST_F(ManneredReply, AnEndThatTheServerMakesIsAnErrorUnlessTheServiceHasAWordForIt) {
  Finish aborted;
  aborted.reason = FinishReason::aborted;
  for (const auto& [name, word] :
       {std::pair{"openai", false}, std::pair{"vllm", false}, std::pair{"deepseek-2026", true}}) {
    Reply r = reply(name, true);
    r.begin();
    r.on_token('a', seconds{1});
    r.on_finished(aborted, seconds{2});
    const std::string all = take(r);
    EXPECT_EQ(all.find("insufficient_system_resource") != std::string::npos, word) << name;
    EXPECT_EQ(all.find("{\"error\":") != std::string::npos, !word) << name;
  }
  // Nothing had been generated: an error everywhere.
  Reply r = reply("deepseek-2026", false);
  r.begin();
  r.on_finished(aborted, seconds{2});
  EXPECT_EQ(r.status(), 503);
}

ApiRequest caller(const CallerHeaders& headers, std::string_view manners, std::string user = "",
                  std::string user_id = "") {
  ApiRequest request;
  request.user = std::move(user);
  request.user_id = std::move(user_id);
  const auto ok = read_caller(headers, of(manners), seconds{100}, request);
  EXPECT_TRUE(ok) << ok.error().message;
  return request;
}

TEST(ServerCaller, AKeyIsAnAccountAndIsNeverSpeltOut) {
  const std::string account = caller({.authorization = "Bearer sk-secret"}, "openai").generate.account;
  EXPECT_THAT(account, testing::MatchesRegex("key-[0-9a-f]{16}"));
  EXPECT_EQ(caller({.authorization = "bearer  sk-secret "}, "vllm").generate.account, account);
  EXPECT_EQ(caller({.api_key = "sk-secret"}, "vllm").generate.account, account);
  EXPECT_NE(caller({.authorization = "Bearer sk-other"}, "openai").generate.account, account);
  EXPECT_EQ(caller({}, "openai").generate.account, "");
  EXPECT_THAT(caller({}, "openai", "ann").generate.account, testing::MatchesRegex("user-[0-9a-f]{16}"));
  EXPECT_THAT(caller({.api_key = "k"}, "deepseek-2026", "", "ann").generate.account, HasSubstr("/user-"));
  EXPECT_EQ(caller({.api_key = "k"}, "deepseek-2026", "ann").generate.account,
            caller({.api_key = "k"}, "deepseek-2025-02", "", "bob").generate.account);
}

TEST(ServerCaller, ReadsTenantAndTimeoutAndSaysWhatItCannotRead) {
  const ApiRequest request = caller({.tenant = "free", .timeout = "1500ms"}, "openai");
  EXPECT_EQ(request.generate.tenant, "free");
  EXPECT_EQ(request.generate.expiry, seconds{100} + milliseconds{1500});
  EXPECT_EQ(caller({.timeout = "2.5"}, "openai").generate.expiry, seconds{100} + milliseconds{2500});
  EXPECT_FALSE(caller({}, "openai").generate.expiry);

  const auto refused = [](const CallerHeaders& headers, std::string_view manners) {
    ApiRequest ignored;
    const auto refusal = read_caller(headers, of(manners), seconds{100}, ignored);
    return refusal ? "0" : std::to_string(refusal.error().status) + " " + refusal.error().message;
  };
  EXPECT_EQ(refused({.tenant = "a b"}, "openai"),
            "400 the x-dsbench-tenant header is no tenant's name; accepted: up to 64 of A-Z, a-z, 0-9, '.', "
            "'_' and '-'");
  EXPECT_EQ(
      refused({.timeout = "soon"}, "openai"),
      "400 the x-request-timeout header holds 'soon'; accepted: a duration or a number of seconds, above "
      "0 and up to a day, as in 30s, 500ms or 30");
  EXPECT_EQ(refused({.timeout = "-1"}, "openai").substr(0, 3), "400");
  EXPECT_EQ(refused({.authorization = "Basic abc"}, "deepseek-2026"),
            "401 the Authorization header holds no key; accepted: 'Bearer KEY'");
  EXPECT_EQ(refused({.authorization = "Basic abc"}, "openai"), "0");
}

TEST(ServerCaller, AnAttemptIsWhatTheClientSaysItIs) {
  EXPECT_EQ(caller({}, "openai").generate.attempt, 0);
  EXPECT_EQ(caller({.attempt = "3"}, "openai").generate.attempt, 3);
  EXPECT_EQ(caller({.retry_count = "2"}, "openai").generate.attempt, 2);
  EXPECT_EQ(caller({.attempt = "1", .retry_count = "2"}, "openai").generate.attempt, 1);
  EXPECT_EQ(caller({.retry_count = "often"}, "openai").generate.attempt, 0);
  for (const char* wrong : {"-1", "second", "1.5", "9999999"}) {
    ApiRequest ignored;
    const auto refusal = read_caller({.attempt = wrong}, of("openai"), seconds{100}, ignored);
    ASSERT_FALSE(refusal) << wrong;
    EXPECT_EQ(refusal.error().message,
              std::string("the x-dsbench-attempt header holds '") + wrong +
                  "'; accepted: a whole number from 0 (the first attempt) to 1000000");
  }
}

TEST(ServerPeer, OnlyThisMachineIsLocal) {
  const auto local = [](const char* address) {
    return is_local_peer(boost::asio::ip::make_address(address));
  };
  for (const char* here : {"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(local(here)) << here;
  for (const char* away :
       {"10.0.0.1", "192.0.2.7", "0.0.0.0", "::", "fe80::1", "2001:db8::1", "::ffff:10.0.0.1"})
    EXPECT_FALSE(local(away)) << away;
}

TEST(ServerCaller, TheBodySaysPriorityAndUser) {
  const ApiModel model{.name = "tiny"};
  const auto request = parse_generate(ApiKind::completion,
                                      R"({"prompt":"x","priority":-3,"user":"ann","user_id":"bob"})", model);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->generate.priority, -3);
  EXPECT_EQ(request->user, "ann");
  EXPECT_EQ(request->user_id, "bob");
  const auto wrong = parse_generate(ApiKind::completion, R"({"prompt":"x","priority":"high"})", model);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().param, "priority");
}

}  // namespace
}  // namespace dsbench::engine::server
