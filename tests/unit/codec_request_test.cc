#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/image_bytes.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"
#include "tests/fakes/codec_streams.h"

namespace dsbench::loadgen {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Role = PromptPart::Role;

std::string text_of(std::uint64_t seed, std::int64_t tokens) {
  std::string text;
  append_prompt(seed, tokens, text);
  return text;
}

Attempt plain() {
  return {.request = 3, .prompt_tokens = 50, .output_tokens = 40, .prompt_seed = 0xFFFF'FFFF'FFFF'FFFFULL};
}
Attempt conversation() {
  Attempt a{.request = 3, .prompt_tokens = 20'061, .output_tokens = 40};
  a.parts = std::make_shared<PromptParts>(PromptParts{{1, 20'000, Role::system},
                                                      {2, 20, Role::system},
                                                      {3, 10, Role::user},
                                                      {4, 11, Role::assistant},
                                                      {5, 9, Role::user},
                                                      {6, 11, Role::system}});
  return a;
}

json encoded(const Codec& codec, const Attempt& attempt) {
  Body body;
  PromptCache prompts;
  codec.encode(attempt, prompts, body);
  return json::parse(body.str());
}

std::shared_ptr<const Codec> made(CodecConfig config) {
  auto codec = make_codec(config);
  return codec ? *codec : nullptr;
}
std::string refusal(CodecConfig config) {
  const auto codec = make_codec(config);
  return codec ? "" : codec.error().message;
}

const std::string whole_prompt = text_of(0xFFFF'FFFF'FFFF'FFFFULL, 50);
const std::string whole_conversation =
    text_of(1, 20'000) + text_of(2, 20) + text_of(3, 10) + text_of(4, 11) + text_of(5, 9) + text_of(6, 11);

TEST(CodecRequest, ChatInOnePiece) {
  const auto codec = made({.api = "chat", .model = "m", .stream = false});
  const json doc = encoded(*codec, plain());
  EXPECT_EQ(doc["stream"], false);
  EXPECT_FALSE(doc.contains("stream_options"));
  EXPECT_EQ(doc["messages"], json::parse(R"([{"role":"user","content":")" + whole_prompt + "\"}]"));
}

TEST(CodecRequest, ResponsesIsAListOfInputMessages) {
  const auto codec = testing::codec_of("responses");
  EXPECT_EQ(codec->path(), "/v1/responses");
  const json doc = encoded(*codec, conversation());
  EXPECT_EQ(doc["model"], "m");
  EXPECT_EQ(doc["stream"], true);
  EXPECT_EQ(doc["store"], false);
  EXPECT_EQ(doc["max_output_tokens"], 40);
  ASSERT_EQ(doc["input"].size(), 5u);
  EXPECT_EQ(doc["input"][0], json({{"role", "system"}, {"content", text_of(1, 20'000) + text_of(2, 20)}}));
  EXPECT_EQ(doc["input"][4], json({{"role", "system"}, {"content", text_of(6, 11)}}));
  Attempt tiny = plain();
  tiny.output_tokens = 1;
  EXPECT_EQ(encoded(*codec, tiny)["max_output_tokens"], 16);  // OpenAI takes no less
}

TEST(CodecRequest, AnthropicHasItsSystemOutside) {
  const auto codec = testing::codec_of("anthropic");
  EXPECT_EQ(codec->path(), "/v1/messages");
  EXPECT_THAT(codec->headers(), ::testing::ElementsAre(std::pair{"anthropic-version", "2023-06-01"}));
  EXPECT_EQ(codec->key_header("k"), (std::pair<std::string, std::string>{"x-api-key", "k"}));
  const json doc = encoded(*codec, conversation());
  EXPECT_EQ(doc["model"], "m");
  EXPECT_EQ(doc["stream"], true);
  EXPECT_EQ(doc["max_tokens"], 40);
  EXPECT_EQ(doc["system"], text_of(1, 20'000) + text_of(2, 20));
  ASSERT_EQ(doc["messages"].size(), 3u);
  EXPECT_EQ(doc["messages"][0], json({{"role", "user"}, {"content", text_of(3, 10)}}));
  EXPECT_EQ(doc["messages"][1], json({{"role", "assistant"}, {"content", text_of(4, 11)}}));
  // A late word of the system's is the user's, and joins what the user says.
  EXPECT_EQ(doc["messages"][2], json({{"role", "user"}, {"content", text_of(5, 9) + text_of(6, 11)}}));
  EXPECT_EQ(doc.size(), 5u);  // nothing that the API does not know
}

TEST(CodecRequest, AnthropicWithoutASystemOrWithNothingElse) {
  const auto codec = testing::codec_of("anthropic");
  EXPECT_FALSE(encoded(*codec, plain()).contains("system"));
  Attempt only = plain();
  only.parts = std::make_shared<PromptParts>(PromptParts{{1, 5, Role::system}});
  const json doc = encoded(*codec, only);
  EXPECT_FALSE(doc.contains("system"));
  EXPECT_EQ(doc["messages"], json::array({{{"role", "user"}, {"content", text_of(1, 5)}}}));
  only.parts = std::make_shared<PromptParts>();  // no parts: the prompt is the user's
  EXPECT_EQ(encoded(*codec, only)["messages"][0]["content"], whole_prompt);
}

// A turn with an image, one that said it, and one with two.
Attempt with_images() {
  Attempt a{.request = 1, .prompt_tokens = 46, .output_tokens = 40};
  PromptPart small{7, 0}, large{8, 0};
  small.image_bytes = 300;
  large.image_bytes = 20'001;
  large.detail = ImageDetail::low;
  a.parts = std::make_shared<PromptParts>(PromptParts{{1, 9, Role::system},
                                                      small,
                                                      {2, 10, Role::user},
                                                      {3, 11, Role::assistant},
                                                      small,
                                                      large,
                                                      {4, 8, Role::user},
                                                      {5, 8, Role::user}});
  return a;
}

TEST(CodecRequest, ChatCarriesImagesAsDataUrls) {
  const auto codec = made({.api = "chat", .model = "m"});
  EXPECT_TRUE(codec->takes_images());
  const json doc = encoded(*codec, with_images());
  const auto image = [](std::uint64_t seed, std::int64_t bytes, const char* detail) {
    return json{{"type", "image_url"},
                {"image_url",
                 {{"url", "data:image/png;base64," + base64(image_bytes(seed, bytes))}, {"detail", detail}}}};
  };
  const auto words = [](const std::string& text) { return json{{"type", "text"}, {"text", text}}; };
  ASSERT_EQ(doc["messages"].size(), 4u);
  EXPECT_EQ(doc["messages"][0], json({{"role", "system"}, {"content", text_of(1, 9)}}));
  EXPECT_EQ(doc["messages"][1],
            json({{"role", "user"}, {"content", {image(7, 300, "auto"), words(text_of(2, 10))}}}));
  EXPECT_EQ(doc["messages"][2], json({{"role", "assistant"}, {"content", text_of(3, 11)}}));
  EXPECT_EQ(doc["messages"][3],
            json({{"role", "user"},
                  {"content",
                   {image(7, 300, "auto"), image(8, 20'001, "low"), words(text_of(4, 8) + text_of(5, 8))}}}));
}

TEST(CodecRequest, ResponsesCarryImages) {
  const auto codec = testing::codec_of("responses");
  EXPECT_TRUE(codec->takes_images());
  const json doc = encoded(*codec, with_images());
  ASSERT_EQ(doc["input"].size(), 4u);
  EXPECT_EQ(doc["input"][1]["content"],
            json::array({{{"type", "input_image"},
                          {"image_url", "data:image/png;base64," + base64(image_bytes(7, 300))},
                          {"detail", "auto"}},
                         {{"type", "input_text"}, {"text", text_of(2, 10)}}}));
  EXPECT_EQ(doc["input"][2], json({{"role", "assistant"}, {"content", text_of(3, 11)}}));
  EXPECT_EQ(doc["input"][3]["content"][1]["detail"], "low");
}

TEST(CodecRequest, AnthropicCarriesImages) {
  const auto codec = testing::codec_of("anthropic");
  EXPECT_TRUE(codec->takes_images());
  const json doc = encoded(*codec, with_images());
  EXPECT_EQ(doc["system"], text_of(1, 9));
  ASSERT_EQ(doc["messages"].size(), 3u);
  EXPECT_EQ(doc["messages"][0]["content"],
            json::array(
                {{{"type", "image"},
                  {"source",
                   {{"type", "base64"}, {"media_type", "image/png"}, {"data", base64(image_bytes(7, 300))}}}},
                 {{"type", "text"}, {"text", text_of(2, 10)}}}));
  EXPECT_EQ(doc["messages"][2]["content"].size(), 3u);
}

TEST(CodecRequest, OthersHaveNoPlaceForImages) {
  for (const char* api : {"completions", "sglang", "tgi", "triton", "kserve"}) {
    const auto codec = made({.api = api, .model = "m", .stream = std::string{api} != "kserve"});
    ASSERT_TRUE(codec) << api;
    EXPECT_FALSE(codec->takes_images()) << api;
  }
  const auto text = encoded(*made({.api = "completions", .model = "m"}), with_images());
  EXPECT_EQ(text["prompt"], text_of(1, 9) + text_of(2, 10) + text_of(3, 11) + text_of(4, 8) + text_of(5, 8));
}

TEST(CodecRequest, AnImageIsBuiltOnceAndShared) {
  const auto codec = made({.api = "chat", .model = "m"});
  PromptCache prompts;
  Body first, second;
  codec->encode(with_images(), prompts, first);
  codec->encode(with_images(), prompts, second);
  const auto picture = prompts.image(8, 20'001);
  EXPECT_EQ(picture.use_count(), 4);  // the cache, two bodies and this
  EXPECT_EQ(first.str(), second.str());
}

TEST(ImageBytes, AreAPngOfExactlySoManyBytes) {
  for (const std::int64_t bytes : {128, 129, 140, 141, 300, 1'000, 65'536, 65'537, 200'000}) {
    const std::string png = image_bytes(5, bytes);
    EXPECT_EQ(std::ssize(png), bytes);
    EXPECT_TRUE(png.starts_with("\x89PNG\r\n\x1a\n"));
    EXPECT_TRUE(png.ends_with("IEND\xae\x42\x60\x82"));  // its CRC, as every PNG ends
    EXPECT_EQ(png, image_bytes(5, bytes));
    EXPECT_NE(png, image_bytes(6, bytes));
  }
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("\xff\xfe\xfd\xfc"), "//79/A==");
}

TEST(CodecRequest, PromptsAreMeasuredByTheScale) {
  const TokenScale scale{.bytes_per_token = 4, .request_overhead = 6, .message_overhead = 3};
  PromptCache prompts;
  prompts.set_scale(scale);
  Body body;
  const auto codec = made({.api = "chat", .model = "m"});
  Attempt a{.request = 1, .prompt_tokens = 0, .output_tokens = 4};
  a.parts = std::make_shared<PromptParts>(PromptParts{
      {1, 100, Role::system}, {2, 50, Role::system}, {3, 40, Role::user}, {4, 2, Role::assistant}});
  codec->encode(a, prompts, body);
  const json doc = json::parse(body.str());
  EXPECT_EQ(doc["messages"][0]["content"].get<std::string>().size(), (100 - 6 + 50) * 4u);
  EXPECT_EQ(doc["messages"][1]["content"].get<std::string>().size(), (40 - 3) * 4u);
  EXPECT_EQ(doc["messages"][2]["content"].get<std::string>().size(), 1u) << "never nothing";
  testing::codec_of("anthropic")->encode(a, prompts, body);
  const json other = json::parse(body.str());
  EXPECT_EQ(other["system"].get<std::string>().size(), (100 - 6 + 50) * 4u);
  EXPECT_EQ(other["messages"][0]["content"].get<std::string>().size(), (40 - 3) * 4u);
}

TEST(CodecRequest, Sglang) {
  const auto codec = testing::codec_of("sglang");
  EXPECT_EQ(codec->path(), "/generate");
  const json doc = encoded(*codec, conversation());
  EXPECT_EQ(doc["text"], whole_conversation);
  EXPECT_EQ(doc["stream"], true);
  EXPECT_EQ(doc["sampling_params"],
            json({{"temperature", 0}, {"max_new_tokens", 40}, {"min_new_tokens", 40}, {"ignore_eos", true}}));
  const auto loose = made({.api = "sglang", .exact_lengths = false});
  EXPECT_EQ(encoded(*loose, plain())["sampling_params"], json({{"temperature", 0}, {"max_new_tokens", 40}}));
}

TEST(CodecRequest, Tgi) {
  const auto codec = testing::codec_of("tgi");
  EXPECT_EQ(codec->path(), "/generate_stream");
  const json doc = encoded(*codec, plain());
  EXPECT_EQ(doc["inputs"], whole_prompt);
  EXPECT_EQ(doc["parameters"],
            json({{"do_sample", false}, {"details", true}, {"seed", 0x7FFF'FFFF}, {"max_new_tokens", 40}}));
}

TEST(CodecRequest, TritonAndKserveHaveTheModelInTheirPath) {
  const auto triton = made({.api = "triton", .model = "deep seek/v3"});
  EXPECT_EQ(triton->path(), "/v2/models/deep%20seek%2Fv3/generate_stream");
  const json doc = encoded(*triton, conversation());
  EXPECT_EQ(doc["text_input"], whole_conversation);
  EXPECT_EQ(doc["parameters"]["max_tokens"], 40);
  EXPECT_EQ(doc["parameters"]["min_tokens"], 40);
  EXPECT_EQ(doc["parameters"]["stream"], true);
  const auto kserve = testing::codec_of("kserve");
  EXPECT_EQ(kserve->path(), "/v2/models/m/infer");
  const json inputs = encoded(*kserve, plain())["inputs"];
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(
      inputs[0],
      json({{"name", "text_input"}, {"shape", {1, 1}}, {"datatype", "BYTES"}, {"data", {whole_prompt}}}));
  EXPECT_EQ(inputs[1],
            json({{"name", "max_tokens"}, {"shape", {1, 1}}, {"datatype", "INT32"}, {"data", {40}}}));
}

TEST(CodecRequest, NamesAreQuoted) {
  EXPECT_EQ(json_quoted("a\"\n\\b"), R"("a\"\n\\b")");
  EXPECT_EQ(json::parse(json_quoted("\xFF")), "\xEF\xBF\xBD");
  EXPECT_EQ(url_segment("a-Z_0.~ /%"), "a-Z_0.~%20%2F%25");
}

TEST(CodecNames, RefusalsNameWhatIsAccepted) {
  EXPECT_THAT(
      refusal({.api = "antropic"}),
      HasSubstr("no API 'antropic'; accepted: chat, completions, responses, anthropic, sglang, tgi, triton, "
                "kserve, http:FILE; did you mean 'anthropic'?"));
  EXPECT_THAT(refusal({.api = ""}), HasSubstr("no API ''; accepted: chat"));
  EXPECT_EQ(refusal({.api = "triton"}),
            "the API triton has the model in its path and no list of models; name the model");
  EXPECT_EQ(refusal({.api = "anthropic", .stream = false}),
            "the API anthropic is read as a stream only; in one piece: chat, completions, kserve");
  EXPECT_THAT(refusal({.api = "http:/nowhere/x.json"}), HasSubstr("/nowhere/x.json"));
  for (const ApiName& api : apis()) EXPECT_FALSE(api.help.empty()) << api.name;
}

}  // namespace
}  // namespace dsbench::loadgen
