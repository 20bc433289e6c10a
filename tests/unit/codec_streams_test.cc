#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "core/rng.h"
#include "loadgen/codec/codec.h"
#include "tests/fakes/codec_streams.h"

namespace dsbench::loadgen {
namespace {

using testing::codec_of;
using testing::frame;
using testing::tell;
using testing::tell_pieces;
using testing::Told;
using testing::typed;

struct Row {
  const char* name;
  const char* api;
  std::string stream;
  std::string steps;
};

// However a stream is cut, the same is told: at every place once, in pieces of some sizes, and at random.
void expect_the_same_however_cut(const std::string& api, const std::string& stream, bool streaming,
                                 const Told& whole) {
  const auto reader = codec_of(api, streaming)->make_reader();
  for (std::size_t at = 0; at <= stream.size(); ++at)
    ASSERT_EQ(tell(*reader, stream, {at}), whole) << api << " cut at " << at << " of " << stream;
  for (const std::size_t size : {1, 2, 3, 7, 64})
    ASSERT_EQ(tell_pieces(*reader, stream, size), whole)
        << api << " in pieces of " << size << " of " << stream;
  Rng rng{5, "cuts"};
  for (int i = 0; i < 50; ++i) {
    std::set<std::size_t> cuts;
    for (auto n = rng.below(12); n > 0; --n) cuts.insert(rng.below(stream.size() + 1));
    ASSERT_EQ(tell(*reader, stream, {cuts.begin(), cuts.end()}), whole) << api;
  }
}

void expect_rows(const std::vector<Row>& rows, bool streaming = true) {
  for (const Row& row : rows) {
    const auto reader = codec_of(row.api, streaming)->make_reader();
    const Told whole = tell(*reader, row.stream);
    EXPECT_EQ(whole.steps, row.steps) << row.api << ": " << row.name;
    expect_the_same_however_cut(row.api, row.stream, streaming, whole);
  }
}

std::string chunk(const std::string& delta, const std::string& finish = "null",
                  const std::string& more = "") {
  return frame("{\"choices\":[{\"index\":0,\"delta\":" + delta + ",\"finish_reason\":" + finish + "}]" + more +
              "}");
}
const std::string chat_done = "data: [DONE]\n\n";

TEST(Chat, TellsTokensReasoningAndUsage) {
  const auto reader = codec_of("chat")->make_reader();
  const Told told = tell(*reader, testing::chat_stream(6));
  EXPECT_EQ(told.steps, "r1 r1 r1 1 1 1 done");
  EXPECT_EQ(told.usage, (ReplyReader::Usage{17, 6, 8, 3}));
  EXPECT_EQ(told.comments, 2u);
  expect_the_same_however_cut("chat", testing::chat_stream(6), true, told);
}

TEST(Chat, Verdicts) {
  const std::string usage = frame(R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}})");
  expect_rows({
      {"DeepSeek's cut-off", "chat",
       chunk(R"({"content":"a"})") + chunk("{}", R"("insufficient_system_resource")") + usage + chat_done,
       "1 insufficient_resource"},
      {"no end marker", "chat", chunk(R"({"content":"a"})", R"("stop")") + usage, "1 closed_early"},
      {"keep-alives and an end", "chat", ": keep-alive\n\n: keep-alive\n\n\n\n", "closed_early"},
      {"an error after a 200", "chat",
       chunk(R"({"content":"a"})") + frame(R"({"error":{"message":"x","code":500}})"), "1 error_frame"},
      {"vLLM aborted", "chat", chunk(R"({"content":"a"})") + chunk("{}", R"("abort")") + chat_done,
       "1 error_frame"},
      {"a call of a tool", "chat",
       chunk(
           R"({"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]})") +
           chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]})") +
           chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":""}}]})") +
           chunk("{}", R"("tool_calls")") + chat_done,
       "1 1 done"},
      {"a refusal", "chat", chunk(R"({"refusal":"no"})", R"("stop")") + chat_done, "1 done"},
      {"two choices in one frame", "chat",
       frame(R"({"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]})") +
           frame(
               R"({"choices":[{"index":0,"delta":{"reasoning_content":"a"}},{"index":1,"delta":{"content":"b"}}]})") +
           chunk("{}", R"("stop")") + chat_done,
       "2 2 done"},
      {"usage in every frame", "chat",
       chunk(R"({"content":"abc"})", "null", R"(,"usage":{"completion_tokens":3})") +
           chunk(R"({"content":"de"})", "null", R"(,"usage":{"completion_tokens":5})") +
           chunk(R"({"content":"."})", R"("stop")", R"(,"usage":{"completion_tokens":6})") + chat_done,
       "3 2 1 done"},
      {"a usage of nothing", "chat",
       chunk(R"({"content":"a"})", R"("stop")", R"(,"usage":{"completion_tokens":0})") + chat_done, "1 done"},
      {"the last usage makes up for frames of several tokens", "chat",
       chunk(R"({"content":"a b c"})") +
           chunk(R"({"content":" d"})", R"("stop")", R"(,"usage":{"completion_tokens":4})") + chat_done,
       "1 3 done"},
  });
}

TEST(ChatInOnePiece, Verdicts) {
  const auto answer = [](const std::string& message, const std::string& finish) {
    return R"({"id":"x","object":"chat.completion","choices":[{"index":0,"message":)" + message +
           ",\"finish_reason\":\"" + finish +
           R"("}],"usage":{"prompt_tokens":3,"completion_tokens":5,"prompt_cache_hit_tokens":2}})";
  };
  expect_rows(
      {
          {"whole", "chat", answer(R"({"role":"assistant","content":"a}]\"{ b"})", "stop"), "5 done"},
          {"blank lines before it", "chat", "\n\n\r\n \n" + answer(R"({"content":"a"})", "length") + "\n",
           "5 done"},
          {"reasoning only", "chat", answer(R"({"content":"","reasoning_content":"a"})", "length"),
           "r5 done"},
          {"a call", "chat",
           answer(R"({"content":null,"tool_calls":[{"function":{"name":"f"}}]})", "tool_calls"), "5 done"},
          {"cut off by DeepSeek", "chat", answer(R"({"content":"a"})", "insufficient_system_resource"),
           "5 insufficient_resource"},
          {"empty", "chat", answer(R"({"content":""})", "stop"), "empty"},
          {"error", "chat", R"({"error":{"message":"x"}})", "error_frame"},
          {"cut", "chat", answer(R"({"content":"a"})", "stop").substr(0, 60), "closed_early"},
          {"nothing", "chat", "", "closed_early"},
          {"only blank lines", "chat", "\n\n\n", "closed_early"},
          {"HTML", "chat", "<html></html>", "malformed"},
          {"a stream", "chat", testing::chat_stream(2), "malformed"},
          {"broken", "chat", R"({"choices":[}]})", "malformed"},
          {"text", "completions", R"({"choices":[{"text":"a","finish_reason":"stop"}]})", "1 done"},
          {"text of two", "completions", R"({"choices":[{"text":"a"},{"text":"b"}]})", "2 done"},
      },
      false);
  const auto reader = codec_of("chat", false)->make_reader();
  const Told told = tell(*reader, "\n\n" + answer(R"({"content":"a"})", "stop"));
  EXPECT_EQ(told.comments, 2u);
  EXPECT_EQ(told.usage.prompt_tokens, 3);
  EXPECT_EQ(told.usage.cached_prompt_tokens, 2);
}

TEST(Responses, TellsTokensReasoningAndUsage) {
  const auto reader = codec_of("responses")->make_reader();
  const Told told = tell(*reader, testing::responses_stream(5));
  EXPECT_EQ(told.steps, "r1 r1 1 1 1 done");
  EXPECT_EQ(told.usage, (ReplyReader::Usage{17, 5, 8, 2}));
  expect_the_same_however_cut("responses", testing::responses_stream(5), true, told);
}

TEST(Responses, Verdicts) {
  const std::string delta = typed("response.output_text.delta", R"("delta":"a")");
  const std::string completed = typed("response.completed", R"("response":{"usage":{"output_tokens":1}})");
  const auto incomplete = [](const std::string& reason) {
    return typed("response.incomplete",
                 R"("response":{"status":"incomplete","incomplete_details":{"reason":")" + reason +
                     R"("},"usage":{"output_tokens":16}})");
  };
  expect_rows({
      {"as long as asked", "responses", delta + incomplete("max_output_tokens"), "1 done"},
      {"filtered", "responses", delta + incomplete("content_filter"), "1 done"},
      {"incomplete for another reason", "responses", delta + incomplete("server_gone"), "1 error_frame"},
      {"failed", "responses",
       delta + typed("response.failed", R"("response":{"error":{"code":"server_error"}})"), "1 error_frame"},
      {"error event", "responses", delta + typed("error", R"("code":"x","message":"y")"), "1 error_frame"},
      {"error envelope", "responses", frame(R"({"error":{"message":"x"}})"), "error_frame"},
      {"an error that is no JSON", "responses", "event: error\ndata: boom\n\n", "error_frame"},
      {"no end", "responses", delta + typed("response.output_text.done", R"("text":"a")"), "1 closed_early"},
      {"an end marker of another API", "responses", delta + chat_done, "1 closed_early"},
      {"no names of events", "responses",
       frame(R"({"type":"response.output_text.delta","delta":"a"})") +
           frame(R"({"type":"response.completed"})"),
       "1 done"},
      {"names only on their line", "responses",
       "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\nevent: response.completed\ndata: "
       "{}\n\n",
       "1 done"},
      {"a call", "responses", typed("response.function_call_arguments.delta", R"("delta":"{")") + completed,
       "1 done"},
      {"an empty delta", "responses", typed("response.output_text.delta", R"("delta":"")") + completed,
       "empty"},
      {"an audio delta is no text", "responses",
       typed("response.audio.delta", R"("delta":"abc")") + delta + completed, "1 done"},
      {"nothing counts after the end", "responses", delta + completed + delta + chat_done, "1 done"},
      {"no JSON", "responses", delta + "data: {\n\n", "1 malformed"},
  });
}

TEST(Anthropic, TellsTokensReasoningAndUsage) {
  const auto reader = codec_of("anthropic")->make_reader();
  const Told told = tell(*reader, testing::anthropic_stream(5));
  EXPECT_EQ(told.steps, "r1 r1 1 1 1 done");
  // 9 read afresh and 8 from the cache; the API does not tell reasoning apart.
  EXPECT_EQ(told.usage, (ReplyReader::Usage{17, 5, 8, std::nullopt}));
  EXPECT_EQ(told.comments, 1u);  // the ping
  expect_the_same_however_cut("anthropic", testing::anthropic_stream(5), true, told);
}

TEST(Anthropic, Verdicts) {
  const std::string delta = typed("content_block_delta", R"("delta":{"type":"text_delta","text":"a"})");
  const std::string stop =
      typed("message_delta", R"("delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1})");
  const std::string end = typed("message_stop");
  expect_rows({
      {"overloaded in the middle", "anthropic",
       delta + typed("error", R"("error":{"type":"overloaded_error","message":"Overloaded"})"),
       "1 error_frame"},
      {"no stop reason", "anthropic", delta + end, "1 closed_early"},
      {"a stop reason of null", "anthropic",
       delta + typed("message_delta", R"("delta":{"stop_reason":null})") + end, "1 closed_early"},
      {"no message_stop", "anthropic", delta + stop, "1 closed_early"},
      {"a tool's input", "anthropic",
       typed("content_block_delta", R"("delta":{"type":"input_json_delta","partial_json":""})") +
           typed("content_block_delta", R"("delta":{"type":"input_json_delta","partial_json":"{\"a\":"})") +
           stop + end,
       "1 done"},
      {"no content", "anthropic", stop + end, "empty"},
      {"only a signature", "anthropic",
       typed("content_block_delta", R"("delta":{"type":"signature_delta","signature":"a"})") + stop + end,
       "empty"},
      {"an error envelope", "anthropic", frame(R"({"error":{"type":"api_error"}})"), "error_frame"},
      {"an event that is not known yet", "anthropic", delta + typed("telemetry", R"("x":[1])") + stop + end,
       "1 done"},
      {"pings and no answer", "anthropic", typed("ping") + typed("ping"), "closed_early"},
      {"JSON, not a stream", "anthropic", R"({"type":"message","content":[]})", "malformed"},
  });
  const auto reader = codec_of("anthropic")->make_reader();
  const Told huge = tell(*reader, typed("message_start", R"("message":{"usage":{"input_tokens":2147483647,)"
                                                         R"("cache_read_input_tokens":2147483647}})"));
  EXPECT_EQ(huge.usage.prompt_tokens, 2147483647);
}

TEST(Sglang, CountsIncrementsOfTokens) {
  const auto reader = codec_of("sglang")->make_reader();
  const Told told = tell(*reader, testing::sglang_stream(4));
  EXPECT_EQ(told.steps, "1 1 1 1 done");
  EXPECT_EQ(told.usage, (ReplyReader::Usage{17, 4, 8, std::nullopt}));
  expect_the_same_however_cut("sglang", testing::sglang_stream(4), true, told);
}

TEST(Sglang, Verdicts) {
  const auto event = [](int tokens, const std::string& finish = "null") {
    return frame(R"({"text":"abc","meta_info":{"completion_tokens":)" + std::to_string(tokens) +
                ",\"finish_reason\":" + finish + "}}");
  };
  const std::string length = R"({"type":"length","length":7})";
  expect_rows({
      {"several tokens in one event", "sglang", event(3) + event(7, length) + chat_done, "3 4 done"},
      {"nothing new in the last event", "sglang", event(7) + event(7, length) + chat_done, "7 done"},
      {"no end marker", "sglang", event(7, length), "7 closed_early"},
      {"no finish reason", "sglang", event(7) + chat_done, "7 closed_early"},
      {"the queue is full", "sglang",
       event(0, R"({"type":"abort","message":"The request queue is full.","status_code":503})") + chat_done,
       "error_frame"},
      {"error", "sglang", event(1) + frame(R"({"error":{"message":"x"}})") + chat_done, "1 error_frame"},
      {"no counts", "sglang",
       frame(R"({"text":"a"})") + frame(R"({"text":"ab","meta_info":{"finish_reason":"stop"}})") + chat_done,
       "1 1 done"},
      {"no token", "sglang", event(0, R"({"type":"stop"})") + chat_done, "empty"},
  });
}

TEST(Tgi, TellsTokensAndUsage) {
  const auto reader = codec_of("tgi")->make_reader();
  const Told told = tell(*reader, testing::tgi_stream(4));
  EXPECT_EQ(told.steps, "1 1 1 1 done");
  EXPECT_EQ(told.usage, (ReplyReader::Usage{17, 4, std::nullopt, std::nullopt}));
  expect_the_same_however_cut("tgi", testing::tgi_stream(4), true, told);
}

TEST(Tgi, Verdicts) {
  const std::string token =
      "data:{\"token\":{\"id\":5,\"text\":\"a\",\"special\":false},\"generated_text\":null}\n\n";
  const std::string end_of_text =
      "data:{\"token\":{\"id\":2,\"text\":\"</"
      "s>\",\"special\":true},\"generated_text\":\"a\",\"details\":null}\n\n";
  expect_rows({
      {"a special token at the end", "tgi", token + end_of_text, "1 done"},
      {"no end", "tgi", token + token, "1 1 closed_early"},
      {"only an end", "tgi", end_of_text, "empty"},
      {"an error", "tgi",
       token + "data:{\"error\":\"Request failed during generation\",\"error_type\":\"generation\"}\n\n",
       "1 error_frame"},
      {"an error event", "tgi",
       "event:error\ndata:{\"error\":\"overloaded\",\"error_type\":\"overloaded\"}\n\n", "error_frame"},
      {"nothing counts after the end", "tgi", token + end_of_text + token, "1 done"},
  });
}

TEST(Triton, TellsTokens) {
  const auto reader = codec_of("triton")->make_reader();
  const Told told = tell(*reader, testing::triton_stream(3));
  EXPECT_EQ(told.steps, "1 1 1 done");
  EXPECT_EQ(told.usage, ReplyReader::Usage{});
  expect_the_same_however_cut("triton", testing::triton_stream(3), true, told);
}

TEST(Triton, Verdicts) {
  const std::string token = frame(R"({"model_name":"m","text_output":"a"})");
  expect_rows({
      {"an empty last text", "triton", token + frame(R"({"model_name":"m","text_output":""})"), "1 done"},
      {"a list of texts", "triton", frame(R"({"text_output":["a"]})"), "1 done"},
      {"an error in the middle", "triton", token + frame(R"({"error":"boom"})"), "1 error_frame"},
      {"cut in an event", "triton", token + token.substr(0, 30), "1 closed_early"},
      {"cut before the blank line", "triton", token + token.substr(0, token.size() - 1), "1 closed_early"},
      {"nothing", "triton", "", "empty"},
      {"HTML", "triton", "<html>\n", "malformed"},
  });
}

TEST(Kserve, Verdicts) {
  expect_rows({
      {"whole", "kserve",
       R"({"model_name":"m","outputs":[{"name":"text_output","datatype":"BYTES","shape":[1],"data":["a"]}]})",
       "1 done"},
      {"no data", "kserve", R"({"outputs":[{"name":"text_output","data":[]}]})", "empty"},
      {"an error", "kserve", R"({"error":"boom"})", "error_frame"},
      {"cut", "kserve", R"({"outputs":[{"name")", "closed_early"},
  });
}

// Whatever a server sends, where the network cuts it changes nothing: whole streams, damaged.
TEST(EveryApi, TellsTheSameOfDamagedStreamsHoweverCut) {
  const std::vector<std::pair<std::string, std::string>> streams{
      {"chat", testing::chat_stream(4)},
      {"responses", testing::responses_stream(3)},
      {"anthropic", testing::anthropic_stream(3)},
      {"sglang", testing::sglang_stream(3)},
      {"tgi", testing::tgi_stream(3)},
      {"triton", testing::triton_stream(3)},
      {"kserve", R"({"outputs":[{"data":["a\"}"]}]})"}};
  Rng rng{8, "damage"};
  constexpr std::string_view letters = "{}[]:,\"\\ \r\n0dataevent:[DONE]";
  std::set<std::string> ends;
  for (const auto& [api, whole] : streams) {
    const auto reader = codec_of(api)->make_reader();
    for (int i = 0; i < 400; ++i) {
      std::string stream = whole;
      for (auto n = 1 + rng.below(3); n > 0; --n) {
        const std::size_t at = rng.below(stream.size());
        switch (rng.below(3)) {
          case 0:
            stream[at] = letters[rng.below(letters.size())];
            break;
          case 1:
            stream.erase(at, 1 + rng.below(30));
            break;
          default:
            stream.insert(at, 1, letters[rng.below(letters.size())]);
            break;
        }
        if (stream.empty()) stream = " ";
      }
      const Told told = tell(*reader, stream);
      ends.insert(told.steps.substr(told.steps.rfind(' ') + 1));
      for (const std::size_t size : {1, 5, 64})
        ASSERT_EQ(tell_pieces(*reader, stream, size), told) << api << stream;
      ASSERT_EQ(tell(*reader, stream, {rng.below(stream.size())}), told) << api << stream;
    }
  }
  EXPECT_TRUE(ends.contains("done"));
  EXPECT_TRUE(ends.contains("malformed"));
  EXPECT_TRUE(ends.contains("closed_early"));
}

}  // namespace
}  // namespace dsbench::loadgen
