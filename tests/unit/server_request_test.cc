#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "engine/server/api_request.h"

namespace dsbench::engine::server {
namespace {

using testing::ElementsAre;

const ApiModel kModel{.name = "tiny", .vocabulary = 256, .max_model_len = 100};

ApiResult<ApiRequest> chat(const std::string& rest) {
  return parse_generate(ApiKind::chat, R"({"messages":[{"role":"user","content":"hi"}])" + rest + "}",
                        kModel);
}
ApiResult<ApiRequest> completion(const std::string& fields) {
  return parse_generate(ApiKind::completion, "{" + fields + "}", kModel);
}

TEST(ServerRequest, TakesEveryFieldOfAChat) {
  const auto request =
      parse_generate(ApiKind::chat, R"({"model":"tiny","messages":[{"role":"system","content":"ab"},
      {"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"\u00e9"}]},{"role":"assistant","content":null}],
      "max_tokens":7,"min_tokens":3,"ignore_eos":true,"seed":-1,"temperature":0.5,"top_p":1,"n":1,"stream":true,
      "stream_options":{"include_usage":true},"stop":null,"logprobs":false,"user":"somebody","tools":[]})",
                     kModel);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->kind, ApiKind::chat);
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
  EXPECT_THAT(request->generate.prompt, ElementsAre('a', 'b', 'c', 0xC3, 0xA9));
  EXPECT_EQ(request->generate.max_tokens, 7);
  EXPECT_EQ(request->generate.min_tokens, 3);
  EXPECT_TRUE(request->generate.ignore_eos);
  EXPECT_EQ(request->generate.seed, ~std::uint64_t{0});
  EXPECT_FLOAT_EQ(request->generate.temperature, 0.5F);
}

TEST(ServerRequest, ImagesAreOpaque) {
  const auto of_chat = parse_generate(ApiKind::chat, R"({"messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"text","text":"ab"}]}]})",
                                      kModel);
  ASSERT_TRUE(of_chat) << of_chat.error().message;
  EXPECT_THAT(of_chat->generate.prompt, ElementsAre('a', 'b'));
  const auto of_responses = parse_generate(ApiKind::responses, R"({"input":[{"role":"user","content":[
        {"type":"input_image","image_url":"data:image/png;base64,AAAA"},{"type":"input_text","text":"ab"}]}]})",
                                           kModel);
  ASSERT_TRUE(of_responses) << of_responses.error().message;
  EXPECT_EQ(of_responses->prompt_tokens, 2);
  const auto of_messages =
      parse_generate(ApiKind::messages, R"({"max_tokens":3,"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"text","text":"ab"}]}]})",
                     kModel);
  ASSERT_TRUE(of_messages) << of_messages.error().message;
  EXPECT_EQ(of_messages->prompt_tokens, 2);
}

TEST(ServerRequest, AnImageWithoutDataIsRefused) {
  for (const auto& [part, param] : std::vector<std::pair<std::string, std::string>>{
           {R"({"type":"image_url"})", "messages[0].content[0].image_url"},
           {R"({"type":"image_url","image_url":{"url":7}})", "messages[0].content[0].image_url"},
           {R"({"type":"image","source":"x"})", "messages[0].content[0].source"},
           {R"({"type":"image","source":{"type":"base64"}})", "messages[0].content[0].source.data"}}) {
    const auto request =
        parse_generate(ApiKind::chat, R"({"messages":[{"role":"user","content":[)" + part + "]}]}", kModel);
    ASSERT_FALSE(request) << part;
    EXPECT_EQ(request.error().param, param);
  }
}

TEST(ServerRequest, DefaultsAreOpenAIs) {
  const auto of_chat = chat("");
  ASSERT_TRUE(of_chat) << of_chat.error().message;
  EXPECT_EQ(of_chat->generate.max_tokens, 98);  // the rest of the context
  EXPECT_FLOAT_EQ(of_chat->generate.temperature, 1);
  EXPECT_EQ(of_chat->generate.seed, 0U);
  EXPECT_EQ(of_chat->generate.min_tokens, 0);
  EXPECT_FALSE(of_chat->generate.ignore_eos);
  EXPECT_FALSE(of_chat->stream);

  const auto of_text = completion(R"("prompt":"hi")");
  ASSERT_TRUE(of_text) << of_text.error().message;
  EXPECT_EQ(of_text->generate.max_tokens, 16);
  EXPECT_FLOAT_EQ(of_text->generate.temperature, 1);
}

TEST(ServerRequest, PromptHasThreeForms) {
  EXPECT_THAT(completion(R"("prompt":"ab")")->generate.prompt, ElementsAre('a', 'b'));
  EXPECT_THAT(completion(R"("prompt":["ab"])")->generate.prompt, ElementsAre('a', 'b'));
  EXPECT_THAT(completion(R"("prompt":[0,255])")->generate.prompt, ElementsAre(0, 255));
}

TEST(ServerRequest, MaxCompletionTokensIsTheNewNameOfMaxTokens) {
  EXPECT_EQ(chat(R"(,"max_completion_tokens":5)")->generate.max_tokens, 5);
  EXPECT_EQ(chat(R"(,"max_completion_tokens":5,"max_tokens":9)")->generate.max_tokens, 5);
  EXPECT_EQ(chat(R"(,"max_completion_tokens":null,"max_tokens":9)")->generate.max_tokens, 9);
}

struct Refused {
  std::string fields;
  std::string param;
  std::string message;
};

TEST(ServerRequest, RefusesWhatItCannotGiveInAChat) {
  const std::vector<Refused> table{
      {R"(,"max_tokens":0)", "max_tokens", "'max_tokens' must be an integer from 1 to 2147483647; found 0"},
      {R"(,"max_tokens":"5")", "max_tokens",
       "'max_tokens' must be an integer from 1 to 2147483647; found \"5\""},
      {R"(,"max_tokens":5.5)", "max_tokens",
       "'max_tokens' must be an integer from 1 to 2147483647; found 5.5"},
      {R"(,"max_tokens":18446744073709551615)", "max_tokens",
       "'max_tokens' must be an integer from 1 to 2147483647; found 18446744073709551615"},
      {R"(,"max_tokens":4,"min_tokens":5)", "min_tokens",
       "'min_tokens' must be an integer from 0 to 4; found 5"},
      {R"(,"min_tokens":-1,"max_tokens":9)", "min_tokens",
       "'min_tokens' must be an integer from 0 to 9; found -1"},
      {R"(,"ignore_eos":1)", "ignore_eos", "'ignore_eos' must be true or false; found 1"},
      {R"(,"seed":1.5)", "seed", "'seed' must be an integer; found 1.5"},
      {R"(,"temperature":2.5)", "temperature", "'temperature' must be a number from 0 to 2; found 2.5"},
      {R"(,"temperature":"hot")", "temperature", "'temperature' must be a number from 0 to 2; found \"hot\""},
      {R"(,"top_p":0.9)", "top_p", "'top_p' is accepted only as 1; found 0.9"},
      {R"(,"n":2)", "n", "'n' is accepted only as 1; found 2"},
      {R"(,"n":"1")", "n", "'n' must be a number; found \"1\""},
      {R"(,"stop":"\n")", "stop", "'stop' is not supported by this server; leave it out"},
      {R"(,"stop":["x"])", "stop", "'stop' is not supported by this server; leave it out"},
      {R"(,"logprobs":true)", "logprobs", "'logprobs' is not supported by this server; leave it out"},
      {R"(,"stream":"yes")", "stream", "'stream' must be true or false; found \"yes\""},
      {R"(,"stream":true,"stream_options":5)", "stream_options",
       "'stream_options' must be an object; found 5"},
      {R"(,"stream_options":{"include_usage":true})", "stream_options",
       "'stream_options' is accepted only with \"stream\": true"},
      {R"(,"stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage",
       "'stream_options.include_usage' must be true or false; found 1"},
      {R"(,"model":3)", "model", "'model' must be a string; found 3"},
  };
  for (const auto& row : table) {
    const auto request = chat(row.fields);
    ASSERT_FALSE(request) << row.fields;
    EXPECT_EQ(request.error().status, 400) << row.fields;
    EXPECT_EQ(request.error().type, "invalid_request_error");
    EXPECT_EQ(request.error().param, row.param) << row.fields;
    EXPECT_EQ(request.error().message, row.message) << row.fields;
  }
}

TEST(ServerRequest, RefusesABadPromptOrMessages) {
  const std::vector<Refused> chats{
      {R"({})", "messages", "'messages' is missing; accepted: a non-empty array of {role, content}"},
      {R"({"messages":[]})", "messages",
       "'messages' must be a non-empty array of {role, content}; found an array of 0"},
      {R"({"messages":"hi"})", "messages",
       "'messages' must be a non-empty array of {role, content}; found \"hi\""},
      {R"({"messages":["hi"]})", "messages[0]",
       "'messages[0]' must be an object {role, content}; found \"hi\""},
      {R"({"messages":[{"content":"hi"}]})", "messages[0].role",
       "'messages[0].role' is missing; accepted: a string"},
      {R"({"messages":[{"role":1}]})", "messages[0].role", "'messages[0].role' must be a string; found 1"},
      {R"({"messages":[{"role":"user","content":7}]})", "messages[0].content",
       "'messages[0].content' must be a string or an array of text parts; found 7"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", "messages[0].content[0].image_url",
       "'messages[0].content[0].image_url' must be a URL (a data: URL will do)"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text",
       "'messages[0].content[0].text' is missing; accepted: a string"},
      {R"({"messages":[{"role":"user","content":""}]})", "messages",
       "'messages' holds no text; accepted: at least one byte, because a byte is a token"},
  };
  for (const auto& row : chats) {
    const auto request = parse_generate(ApiKind::chat, row.fields, kModel);
    ASSERT_FALSE(request) << row.fields;
    EXPECT_EQ(request.error().param, row.param) << row.fields;
    EXPECT_EQ(request.error().message, row.message) << row.fields;
  }
  const std::string forms = "a string, an array of token ids, or an array that holds one string";
  const std::vector<Refused> completions{
      {"", "prompt", "'prompt' is missing; accepted: " + forms},
      {R"("prompt":5)", "prompt", "'prompt' must be " + forms + "; found 5"},
      {R"("prompt":"")", "prompt",
       "'prompt' holds no text; accepted: at least one byte, because a byte is a token"},
      {R"("prompt":[])", "prompt",
       "'prompt' holds no text; accepted: at least one byte, because a byte is a token"},
      {R"("prompt":["a","b"])", "prompt", "'prompt' holds 2 strings; accepted: " + forms},
      {R"("prompt":[1,256])", "prompt[1]", "'prompt[1]' must be a token id from 0 to 255; found 256"},
      {R"("prompt":[-1])", "prompt[0]", "'prompt[0]' must be a token id from 0 to 255; found -1"},
      {R"("prompt":[1,"a"])", "prompt[1]", "'prompt[1]' must be a token id from 0 to 255; found \"a\""},
  };
  for (const auto& row : completions) {
    const auto request = completion(row.fields);
    ASSERT_FALSE(request) << row.fields;
    EXPECT_EQ(request.error().param, row.param) << row.fields;
    EXPECT_EQ(request.error().message, row.message) << row.fields;
  }
}

TEST(ServerRequest, RefusesWhatIsNoJsonObject) {
  const std::vector<Refused> table{
      {"", "", "the request body is empty; accepted: a JSON object"},
      {"{\"a\":", "",
       "the request body is not valid JSON: error at byte 6 of 5; accepted: a JSON object in UTF-8"},
      {"[1,2]", "", "the request body must be a JSON object; found an array of 2"},
      {"{\"prompt\":\"\xff\"}", "",
       "the request body is not valid JSON: error at byte 12 of 14; accepted: a JSON object in UTF-8"},
      {"{\"seed\":1e999}", "", "the request body is not valid JSON; accepted: a JSON object in UTF-8"},
  };
  for (const auto& row : table) {
    const auto request = parse_generate(ApiKind::completion, row.fields, kModel);
    ASSERT_FALSE(request) << row.fields;
    EXPECT_EQ(request.error().status, 400);
    EXPECT_EQ(request.error().message, row.message) << row.fields;
  }
}

TEST(ServerRequest, AnotherModelIsNotFound) {
  const auto request = chat(R"(,"model":"gpt-4o")");
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().status, 404);
  EXPECT_EQ(request.error().code, "model_not_found");
  EXPECT_EQ(request.error().message, "the model 'gpt-4o' does not exist here; this server has 'tiny'");
}

TEST(ServerRequest, TokenizeCountsBytes) {
  EXPECT_THAT(*parse_tokenize(R"({"prompt":"h\u00e9"})", kModel), ElementsAre('h', 0xC3, 0xA9));
  EXPECT_THAT(*parse_tokenize(R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]})",
                              kModel),
              ElementsAre('a', 'b'));
  EXPECT_EQ(parse_tokenize("{}", kModel).error().message,
            "neither 'prompt' nor 'messages' is given; accepted: one of them");
  EXPECT_EQ(parse_tokenize(R"({"prompt":[1]})", kModel).error().message,
            "'prompt' must be a string; found an array of 1");
}

// Nothing that a client can send makes the parser throw or crash, and whatever it accepts keeps its promises.
TEST(ServerRequest, SurvivesDamagedBodies) {
  const std::string good =
      R"({"model":"tiny","messages":[{"role":"user","content":[{"type":"text","text":"hi \u00e9"}]}],)"
      R"("max_tokens":7,"seed":3,"temperature":0.5,"stream":true,"stream_options":{"include_usage":true}})";
  Rng rng{7, "damage"};
  const auto check = [](const std::string& body) {
    for (const ApiKind kind : {ApiKind::chat, ApiKind::completion}) {
      const auto request = parse_generate(kind, body, kModel);
      if (request) {
        EXPECT_FALSE(request->generate.prompt.empty());
        EXPECT_GE(request->generate.max_tokens, 1);
        EXPECT_LE(request->generate.min_tokens, request->generate.max_tokens);
      } else {
        EXPECT_FALSE(request.error().message.empty());
      }
    }
  };
  for (std::size_t n = 0; n < good.size(); ++n) check(good.substr(0, n));
  for (int i = 0; i < 5000; ++i) {
    std::string body = good;
    for (std::uint64_t edits = 1 + rng.below(3); edits > 0; --edits)
      body[rng.below(body.size())] = static_cast<char>(rng.below(256));
    check(body);
  }
  check(std::string(200000, '['));
}

}  // namespace
}  // namespace dsbench::engine::server
