#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/server/api_request.h"
#include "engine/server/stream_renderer.h"

// Anthropic's Messages and OpenAI's Responses: what is read, and what is sent.
namespace dsbench::engine::server {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

const ApiModel kModel{.name = "tiny", .vocabulary = 256, .max_model_len = 100};
const Finish kLength{.reason = FinishReason::length, .prompt_tokens = 5, .output_tokens = 2, .message = ""};
const Finish kStop{.reason = FinishReason::stop, .prompt_tokens = 5, .output_tokens = 2, .message = ""};

std::string prompt_of(const ApiRequest& request) {
  return {request.generate.prompt.begin(), request.generate.prompt.end()};
}

AnswerIdentity identity(ApiKind kind) {
  return {.kind = kind,
          .id = "id-1",
          .created = 1700000000,
          .model = "tiny",
          .include_usage = false,
          .prompt_tokens = 5};
}

struct Event {
  std::string name;
  Json data;
};

std::vector<Event> events_of(const std::string& text) {
  std::vector<Event> events;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find("\n\n", at);
    EXPECT_NE(end, std::string::npos);
    const std::string event = text.substr(at, end - at);
    at = end + 2;
    const auto line = event.find('\n');
    EXPECT_EQ(event.substr(0, 7), "event: ");
    EXPECT_EQ(event.substr(line + 1, 6), "data: ");
    events.push_back({event.substr(7, line - 7), Json::parse(event.substr(line + 7))});
    EXPECT_EQ(events.back().data["type"], events.back().name);
  }
  return events;
}

std::vector<Event> stream_of(ApiKind kind, const Finish& finish) {
  const auto renderer = make_stream_renderer(identity(kind));
  std::string out;
  renderer->open(out);
  renderer->token(out, 'h');
  renderer->token(out, '"');
  renderer->close(out, finish);
  return events_of(out);
}

std::vector<std::string> names_of(const std::vector<Event>& events) {
  std::vector<std::string> names;
  for (const Event& e : events) names.push_back(e.name);
  return names;
}

TEST(AnthropicRequest, SystemAndMessagesAreThePrompt) {
  const auto request = parse_generate(
      ApiKind::messages,
      R"({"model":"tiny","system":[{"type":"text","text":"ab"}],"messages":[{"role":"user","content":"cd"},
          {"role":"assistant","content":[{"type":"text","text":"ef"}]}],"max_tokens":7,"stream":true,"ignore_eos":true,
          "top_k":5,"metadata":{"user_id":"x"}})",
      kModel);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(prompt_of(*request), "abcdef");
  EXPECT_EQ(request->prompt_tokens, 6);
  EXPECT_EQ(request->generate.max_tokens, 7);
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->generate.ignore_eos);
}

TEST(AnthropicRequest, RefusesWhatAnthropicRefuses) {
  struct Row {
    const char* fields;
    const char* message;
  };
  for (const Row& row :
       {Row{R"({"messages":[{"role":"user","content":"x"}]})",
            "'max_tokens' is missing; accepted: an integer of at least 1"},
        Row{R"({"max_tokens":1})", "'messages' is missing"},
        Row{R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}],"temperature":1.5})",
            "'temperature' must be a number from 0 to 1; found 1.5"},
        Row{R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}],"stop_sequences":["a"]})",
            "'stop_sequences' is not supported"},
        Row{R"({"max_tokens":1,"system":3,"messages":[{"role":"user","content":"x"}]})",
            "'system' must be"}}) {
    const auto request = parse_generate(ApiKind::messages, row.fields, kModel);
    ASSERT_FALSE(request) << row.fields;
    EXPECT_THAT(request.error().message, HasSubstr(row.message));
  }
}

TEST(ResponsesRequest, InputIsTextOrMessages) {
  const auto plain = parse_generate(ApiKind::responses,
                                    R"({"instructions":"ab","input":"cd","max_output_tokens":3})", kModel);
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(prompt_of(*plain), "abcd");
  EXPECT_EQ(plain->generate.max_tokens, 3);
  const auto items = parse_generate(
      ApiKind::responses,
      R"({"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"xy"}]},{"role":"user","content":"z"}]})",
      kModel);
  ASSERT_TRUE(items) << items.error().message;
  EXPECT_EQ(prompt_of(*items), "xyz");
  EXPECT_EQ(items->generate.max_tokens, 97);  // the rest of the context
  const auto none = parse_generate(ApiKind::responses, "{}", kModel);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().param, "input");
  EXPECT_FALSE(parse_generate(ApiKind::responses, R"({"input":[]})", kModel));
}

TEST(AnthropicStream, HasTheEventsInTheirOrder) {
  const auto events = stream_of(ApiKind::messages, kLength);
  EXPECT_THAT(names_of(events),
              ElementsAre("message_start", "content_block_start", "ping", "content_block_delta",
                          "content_block_delta", "content_block_stop", "message_delta", "message_stop"));
  EXPECT_EQ(events[0].data["message"]["usage"]["input_tokens"], 5);
  EXPECT_EQ(events[3].data["delta"], Json::parse(R"({"type":"text_delta","text":"h"})"));
  EXPECT_EQ(events[6].data["delta"]["stop_reason"], "max_tokens");
  EXPECT_EQ(events[6].data["usage"]["output_tokens"], 2);
  EXPECT_EQ(stream_of(ApiKind::messages, kStop)[6].data["delta"]["stop_reason"], "end_turn");
}

TEST(ResponsesStream, HasTheEventsInTheirOrderAndNumbered) {
  const auto events = stream_of(ApiKind::responses, kStop);
  EXPECT_THAT(names_of(events),
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.content_part.added", "response.output_text.delta",
                          "response.output_text.delta", "response.output_text.done",
                          "response.content_part.done", "response.output_item.done", "response.completed"));
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].data["sequence_number"], i);
  const Json& last = events.back().data["response"];
  EXPECT_EQ(last["status"], "completed");
  EXPECT_EQ(last["usage"]["total_tokens"], 7);
  EXPECT_EQ(last["output"][0]["content"][0]["text"], events[6].data["text"]);
  EXPECT_EQ(events[6].data["text"], "h\u0122");
  const auto cut = stream_of(ApiKind::responses, kLength);
  EXPECT_EQ(cut.back().name, "response.incomplete");
  EXPECT_EQ(cut.back().data["response"]["incomplete_details"]["reason"], "max_output_tokens");
}

TEST(ApiAnswers, WholeOnesSayTheSame) {
  const Json message = Json::parse(render_answer(identity(ApiKind::messages), {.answer = "hi"}, kStop));
  EXPECT_EQ(message["content"][0]["text"], "hi");
  EXPECT_EQ(message["stop_reason"], "end_turn");
  EXPECT_EQ(message["usage"], Json::parse(R"({"input_tokens":5,"output_tokens":2})"));
  const Json response = Json::parse(render_answer(identity(ApiKind::responses), {.answer = "hi"}, kLength));
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "hi");
}

TEST(ApiErrors, HaveEachApisShape) {
  const ApiError busy{
      .status = 503, .message = "the queue is full", .type = "server_error", .code = "queue_full"};
  EXPECT_EQ(render_error(ApiKind::messages, busy),
            R"({"type":"error","error":{"type":"overloaded_error","message":"the queue is full"}})");
  EXPECT_EQ(http_status(ApiKind::messages, busy), 529);
  EXPECT_EQ(http_status(ApiKind::responses, busy), 503);
  EXPECT_EQ(render_error(ApiKind::responses, busy), render_error(busy));
  EXPECT_EQ(Json::parse(render_error(ApiKind::messages, {.status = 404, .message = "m"}))["error"]["type"],
            "not_found_error");
  std::string out;
  make_stream_renderer(identity(ApiKind::messages))->fail(out, busy);
  EXPECT_EQ(events_of(out)[0].data["error"]["type"], "overloaded_error");
  out.clear();
  make_stream_renderer(identity(ApiKind::responses))->fail(out, busy);
  EXPECT_EQ(events_of(out)[0].data["code"], "queue_full");
}

}  // namespace
}  // namespace dsbench::engine::server
