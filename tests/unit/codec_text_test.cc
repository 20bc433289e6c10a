#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "loadgen/codec/json_scanner.h"
#include "tests/fakes/codec_streams.h"

namespace dsbench::loadgen {
namespace {

using testing::codec_of;
using testing::frame;
using testing::tell;
using testing::tell_pieces;
using testing::typed;

std::string said(const std::string& json_string) {
  const std::string document = "{\"a\":" + json_string + "}";
  JsonScanner scan{document};
  bool any = false;
  std::string out;
  EXPECT_TRUE(scan.document([&](const JsonString&) { return scan.text(any, &out); })) << document;
  return out;
}

TEST(AnswerText, EscapesSayWhatTheyStandFor) {
  EXPECT_EQ(said(R"("plain")"), "plain");
  EXPECT_EQ(said(R"("a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
  EXPECT_EQ(said(R"("\u0041\u00e9\u4F60\u20AC")"), "Aé你€");
  EXPECT_EQ(said(R"("\ud83d\ude00!")"), "😀!");
  // Halves of a pair: alone, the wrong way round, before something else, at the end.
  EXPECT_EQ(said(R"("\ud83d")"), "\uFFFD");
  EXPECT_EQ(said(R"("\ude00\ud83d")"), "\uFFFD\uFFFD");
  EXPECT_EQ(said(R"("\ud83d\u0041")"), "\uFFFDA");
  EXPECT_EQ(said(R"("\ud83d\n")"), "\uFFFD\n");
  EXPECT_EQ(said("\"\xC3\xA9\""), "é");
}

struct Row {
  const char* api;
  bool streaming;
  std::string stream, answer, reasoning;
};

TEST(AnswerText, IsWhatTheAnswerSaysHoweverItIsCut) {
  const std::string done = "data: [DONE]\n\n";
  const Row rows[] = {
      {"chat", true,
       frame(
           R"({"choices":[{"delta":{"role":"assistant","content":null,"reasoning_content":"so \u2026"}}]})") +
           frame(R"({"choices":[{"delta":{"content":"Hé","reasoning":""}}]})") +
           frame(R"({"choices":[{"delta":{"content":"\nllo"},"finish_reason":"stop"}]})") + done,
       "Hé\nllo", "so …"},
      {"chat", true,
       frame(
           R"({"choices":[{"delta":{"tool_calls":[{"function":{"name":"look","arguments":"{\"x\":"}}]}}]})") +
           frame(R"({"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"1}"}}]}}]})") +
           frame(R"({"choices":[{"delta":{},"finish_reason":"tool_calls"}]})") + done,
       "look{\"x\":1}", ""},
      {"chat", false,
       R"({"choices":[{"message":{"content":"whole","reasoning_content":"why"},"finish_reason":"stop"}]})",
       "whole", "why"},
      {"completions", true, frame(R"({"choices":[{"text":" a\tb","finish_reason":"stop"}]})") + done, " a\tb",
       ""},
      {"responses", true,
       typed("response.reasoning_text.delta", R"("delta":"hm")") +
           typed("response.output_text.delta", R"("delta":"an")") +
           typed("response.output_text.delta", R"("delta":"swer")") +
           typed("response.content_part.delta", R"("delta":"nothing")") +
           typed("response.completed", R"("response":{})"),
       "answer", "hm"},
      {"anthropic", true,
       typed("message_start", R"("message":{})") +
           typed("content_block_delta", R"("delta":{"type":"thinking_delta","thinking":"hm"})") +
           typed("content_block_delta", R"("delta":{"type":"signature_delta","signature":"xyz"})") +
           typed("content_block_delta", R"("delta":{"type":"text_delta","text":"ok"})") +
           typed("message_delta", R"("delta":{"stop_reason":"end_turn"})") + typed("message_stop"),
       "ok", "hm"},
      {"tgi", true,
       frame(R"({"token":{"id":1,"text":" a","special":false},"generated_text":null})") +
           frame(R"({"token":{"id":2,"text":"</s>","special":true},"generated_text":" a"})"),
       " a", ""},
      {"triton", true, frame(R"({"text_output":"one "})") + frame(R"({"text_output":["two"]})"), "one two",
       ""},
      {"kserve", false, R"({"outputs":[{"name":"text_output","data":["all ","of it"]}]})", "all of it", ""},
  };
  for (const Row& row : rows) {
    const auto codec = codec_of(row.api, row.streaming);
    ASSERT_TRUE(codec->tells_text()) << row.api;
    const auto reader = codec->make_reader();
    AnswerText text;
    reader->keep_text(&text);
    for (std::size_t at = 0; at <= row.stream.size(); ++at) {
      text.clear();
      const auto told = tell(*reader, row.stream, {at});
      ASSERT_TRUE(told.steps.ends_with("done")) << row.api << ": " << told.steps;
      ASSERT_EQ(text.answer, row.answer) << row.api << " cut at " << at;
      ASSERT_EQ(text.reasoning, row.reasoning) << row.api << " cut at " << at;
    }
    text.clear();
    tell_pieces(*reader, row.stream, 1);
    EXPECT_EQ(text.answer, row.answer) << row.api;
    text.clear();
    reader->keep_text(nullptr);
    tell(*reader, row.stream);
    EXPECT_TRUE(text.empty()) << row.api;
  }
  EXPECT_FALSE(codec_of("sglang")->tells_text());
}

TEST(AnswerText, ChangesNothingOfWhatIsTold) {
  const struct {
    const char* api;
    std::string stream;
  } rows[] = {{"chat", testing::chat_stream(9)},
              {"responses", testing::responses_stream(9)},
              {"anthropic", testing::anthropic_stream(9)},
              {"sglang", testing::sglang_stream(9)},
              {"tgi", testing::tgi_stream(9)},
              {"triton", testing::triton_stream(9)}};
  for (const auto& row : rows) {
    const auto codec = codec_of(row.api);
    AnswerText text;
    const auto keeps = codec->make_reader();
    keeps->keep_text(&text);
    EXPECT_EQ(tell(*keeps, row.stream), tell(*codec->make_reader(), row.stream)) << row.api;
    EXPECT_EQ(text.empty(), !codec->tells_text()) << row.api;
  }
}

}  // namespace
}  // namespace dsbench::loadgen
