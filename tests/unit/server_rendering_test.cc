#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "engine/server/http_head.h"
#include "engine/server/rendering.h"
#include "engine/server/routes.h"
#include "engine/server/token_text.h"

namespace dsbench::engine::server {
namespace {

std::string text_of(TokenId token) {
  std::string out;
  append_token_text(out, token);
  return out;
}

TEST(ServerTokenText, IsReadableWhereItCanBe) {
  EXPECT_EQ(text_of('a'), "a");
  EXPECT_EQ(text_of(' '), " ");
  EXPECT_EQ(text_of('"'), "\u0122");
  EXPECT_EQ(text_of('\\'), "\u015c");
  EXPECT_EQ(text_of('\n'), "\u010a");
  EXPECT_EQ(text_of(0), "\u0100");
  EXPECT_EQ(text_of(255), "\u01ff");
  EXPECT_EQ(text_of(256), "\u4e00");
  EXPECT_EQ(text_of(21247), "\u9fff");
  EXPECT_EQ(text_of(21248), "\U000f0000");
  EXPECT_EQ(text_of(21248 + 0xFFFE), "\U00100000");
  EXPECT_EQ(text_of(-1), "\ufffd");
}

// DeepSeek-V3's vocabulary is 129 280.
TEST(ServerTokenText, IsOneUnescapedCharacterAndTellsTokensApart) {
  std::set<std::string> seen;
  for (TokenId token = 0; token < 129280; ++token) {
    const std::string text = text_of(token);
    ASSERT_TRUE(seen.insert(text).second) << token;
    std::size_t characters = 0;
    for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    ASSERT_EQ(characters, 1U) << token;
    if (token % 97 == 0 || token < 300) {
      ASSERT_EQ(json_quoted(text), '"' + text + '"') << token;
    }
  }
}

AnswerIdentity identity(ApiKind kind, bool include_usage = false) {
  return {.kind = kind, .id = "id-1", .created = 1700000000, .model = "tiny", .include_usage = include_usage};
}

const Finish kLength{.reason = FinishReason::length, .prompt_tokens = 5, .output_tokens = 2, .message = ""};

std::string stream_of(const AnswerIdentity& who, const Finish& finish) {
  SseRenderer sse{who};
  std::string out;
  sse.open(out);
  sse.token(out, 'h');
  sse.token(out, '"');
  sse.close(out, finish);
  return out;
}

TEST(ServerRendering, ChatStreamByteForByte) {
  EXPECT_EQ(
      stream_of(identity(ApiKind::chat), kLength),
      R"(data: {"id":"id-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

data: {"id":"id-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"content":"h"},"logprobs":null,"finish_reason":null}]}

data: {"id":"id-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"content":"Ģ"},"logprobs":null,"finish_reason":null}]}

data: {"id":"id-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}

data: [DONE]

)");
}

TEST(ServerRendering, CompletionStreamWithUsageByteForByte) {
  EXPECT_EQ(
      stream_of(identity(ApiKind::completion, true), kLength),
      R"(data: {"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny","choices":[{"index":0,"text":"h","logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny","choices":[{"index":0,"text":"Ģ","logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}],"usage":null}

data: {"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0}}}

data: [DONE]

)");
}

TEST(ServerRendering, WholeAnswersByteForByte) {
  Finish stop = kLength;
  stop.reason = FinishReason::stop;
  EXPECT_EQ(
      render_answer(identity(ApiKind::chat), {.answer = "hi"}, stop),
      R"({"id":"id-1","object":"chat.completion","created":1700000000,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0}}})");
  EXPECT_EQ(
      render_answer(identity(ApiKind::completion), {.answer = "hi"}, kLength),
      R"({"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny","choices":[{"index":0,"text":"hi","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0}}})");
}

TEST(ServerRendering, ErrorsModelsAndTokens) {
  EXPECT_EQ(
      render_error({.status = 400, .message = "say \"please\"", .param = "n"}),
      R"({"error":{"message":"say \"please\"","type":"invalid_request_error","param":"n","code":null}})");
  EXPECT_EQ(
      render_error_event({.status = 500, .message = "m", .type = "server_error", .code = "engine_failed"}),
      "data: "
      "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"engine_failed\"}}"
      "\n\n");
  const ApiModel model{.name = "tiny", .vocabulary = 256, .max_model_len = 4096};
  EXPECT_EQ(
      render_models(model, 7),
      R"({"object":"list","data":[{"id":"tiny","object":"model","created":7,"owned_by":"dsbench","max_model_len":4096}]})");
  const std::vector<TokenId> tokens{104, 105};
  EXPECT_EQ(render_tokenized(tokens, model), R"({"count":2,"max_model_len":4096,"tokens":[104,105]})");
  EXPECT_EQ(json_quoted("a\xff"), "\"a\ufffd\"");
}

TEST(ServerHttpHead, ByteForByte) {
  EXPECT_EQ(response_head(405, "application/json", 12, {.http11 = true, .keep_alive = false}, "D",
                          "Allow: POST\r\n"),
            "HTTP/1.1 405 Method Not Allowed\r\nDate: D\r\nAllow: POST\r\nContent-Type: application/json\r\n"
            "Content-Length: 12\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(response_head(200, "", 0, {}, "D"), "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(response_head(200, "", 0, {.http11 = false, .keep_alive = true}, "D"),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(stream_head({}, "D"),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: "
            "no-cache\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(http_date(std::chrono::seconds{1795347408}), "Sun, 22 Nov 2026 11:36:48 GMT");
  EXPECT_EQ(http_date(Nanos{0}), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(ServerHttpHead, ChunksCarryTheirLengthAndAnEmptyOneIsNone) {
  std::string out;
  append_chunk(out, std::string(26, 'x'));
  append_chunk(out, "");
  EXPECT_EQ(out, "1a\r\n" + std::string(26, 'x') + "\r\n");
}

TEST(ServerRoutes, PathsAndTheirMethods) {
  EXPECT_EQ(find_route("/v1/chat/completions").endpoint, Endpoint::chat_completions);
  EXPECT_EQ(find_route("/v1/chat/completions").method, "POST");
  EXPECT_EQ(find_route("/metrics?x=1").endpoint, Endpoint::metrics);
  EXPECT_EQ(find_route("/v1/models/a%2Fb%zz").argument, "a/b%zz");
  EXPECT_EQ(find_route("/v1/models/tiny").handler, "/v1/models/{model}");
  EXPECT_EQ(find_route("/v1/models/").endpoint, Endpoint::none);
  EXPECT_EQ(find_route("/V1/models").endpoint, Endpoint::none);
  EXPECT_EQ(find_route("").endpoint, Endpoint::none);
}

}  // namespace
}  // namespace dsbench::engine::server
