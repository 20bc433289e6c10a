#include "engine/server/model_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/rng.h"
#include "engine/server/api_request.h"
#include "engine/server/stream_renderer.h"
#include "profiles/tokenizer/byte_level.h"

namespace dsbench::engine::server {
namespace {

using Json = nlohmann::json;

std::shared_ptr<const ModelText> model_text(const char* chat_template = "auto") {
  const auto directory =
      std::filesystem::path(DSBENCH_SOURCE_DIR) / "tests" / "fixtures" / "parity" / "tokenizer-v3";
  auto files = profiles::load_tokenizer_files(directory, chat_template);
  return std::make_shared<const ModelText>(std::move(*files.value()));
}

ApiModel model() {
  return {.name = "m", .vocabulary = 640, .max_model_len = 4096, .text = model_text()};
}

// What the writer gives for tokens one by one, and whether each piece was whole.
std::string written(const std::shared_ptr<const ModelText>& text, const std::vector<TokenId>& tokens) {
  TokenWriter writer(text);
  std::string all;
  for (const TokenId token : tokens) {
    std::string piece;
    writer.append(piece, token);
    EXPECT_EQ(profiles::make_valid_utf8(piece), piece);
    all += piece;
  }
  writer.end(all);
  return all;
}

TEST(TokenWriter, HoldsACharacterUntilItIsWhole) {
  const auto text = model_text();
  const std::string rocket = "🚀";  // not in the sample that the vocabulary was made of: a token a byte or two
  const std::vector<TokenId> tokens = text->tokenizer().encode(rocket).value();
  ASSERT_GT(tokens.size(), 1u);
  TokenWriter writer(text);
  std::string out;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) writer.append(out, tokens[i]);
  EXPECT_EQ(out, "");
  EXPECT_TRUE(writer.holds());
  writer.append(out, tokens.back());
  EXPECT_EQ(out, rocket);
  EXPECT_FALSE(writer.holds());
  // Cut off in the middle, it is one replacement character.
  EXPECT_EQ(written(text, {tokens.begin(), tokens.end() - 1}), "\xEF\xBF\xBD");
}

TEST(TokenWriter, SpecialTokensHaveNoText) {
  const auto text = model_text();
  const std::vector<TokenId> tokens = text->tokenizer().encode("a<｜end▁of▁sentence｜>b<think>").value();
  EXPECT_EQ(written(text, tokens), "ab<think>");
}

// Any tokens, in whatever order: the pieces together are the bytes together.
TEST(TokenWriter, GivesWhatAllBytesTogetherGive) {
  const auto text = model_text();
  Rng rng(4, "token writer");
  for (int i = 0; i < 300; ++i) {
    std::vector<TokenId> tokens;
    std::string bytes;
    for (std::uint64_t n = rng.below(40); n > 0; --n) {
      tokens.push_back(static_cast<TokenId>(rng.below(640)));
      if (!text->tokenizer().is_special(tokens.back())) bytes += text->tokenizer().bytes(tokens.back());
    }
    EXPECT_EQ(written(text, tokens), profiles::make_valid_utf8(bytes));
  }
}

TEST(ModelText, PromptsHaveWhatTheModelWantsAroundThem) {
  const auto text = model_text();
  const auto hello = text->tokenizer().encode("Hello, world!").value();
  auto prompt = text->prompt("Hello, world!").value();
  EXPECT_EQ(prompt.front(), 0);  // add_bos_token
  prompt.erase(prompt.begin());
  EXPECT_EQ(prompt, hello);
  EXPECT_EQ(text->chat(std::vector<profiles::ChatMessage>{{"user", "hi"}}).value(),
            text->tokenizer().encode("<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>").value());
}

TEST(ModelText, RequestsAreTokenised) {
  const ApiModel m = model();
  const auto& t = m.text->tokenizer();
  const auto chat = parse_generate(
      ApiKind::chat, R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]})", m);
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->generate.prompt, t.encode("<｜begin▁of▁sentence｜>S<｜User｜>U<｜Assistant｜>").value());
  EXPECT_EQ(chat->prompt_tokens, static_cast<std::int32_t>(chat->generate.prompt.size()));
  const auto anthropic = parse_generate(
      ApiKind::messages, R"({"system":"S","max_tokens":4,"messages":[{"role":"user","content":"U"}]})", m);
  EXPECT_EQ(anthropic->generate.prompt, chat->generate.prompt);
  const auto responses = parse_generate(ApiKind::responses, R"({"instructions":"S","input":"U"})", m);
  EXPECT_EQ(responses->generate.prompt, chat->generate.prompt);
  const auto completion = parse_generate(ApiKind::completion, R"({"prompt":"U"})", m);
  EXPECT_EQ(completion->generate.prompt, m.text->prompt("U").value());
  EXPECT_EQ(parse_tokenize(R"({"prompt":"U"})", m).value(), m.text->prompt("U").value());
  const auto tool = parse_generate(ApiKind::chat, R"({"messages":[{"role":"tool","content":"U"}]})", m);
  ASSERT_FALSE(tool);
  EXPECT_EQ(tool.error().status, 400);
  EXPECT_EQ(tool.error().message,
            "messages[0]: the role 'tool' is not supported by the chat template deepseek-v3; accepted: "
            "system, user, "
            "assistant");
}

// All streams, with text that needs escapes.
TEST(ModelText, StreamsAreValidJson) {
  const auto text = model_text();
  const std::string said = "\"quoted\"\\ new\nline\ttab \x01 深🚀";
  std::vector<TokenId> tokens = text->tokenizer().encode(said).value();
  for (const ApiKind kind : {ApiKind::chat, ApiKind::completion, ApiKind::messages, ApiKind::responses}) {
    AnswerIdentity identity;
    identity.kind = kind;
    identity.id = "x";
    identity.model = "m";
    identity.writer = std::make_shared<TokenWriter>(text);
    const auto renderer = make_stream_renderer(identity);
    std::string out;
    for (const TokenId token : tokens) renderer->token(out, token);
    std::string heard;
    for (std::size_t at = out.find("data: "); at != std::string::npos; at = out.find("data: ", at + 1)) {
      const Json event = Json::parse(out.substr(at + 6, out.find('\n', at) - at - 6));
      if (kind == ApiKind::chat) heard += event["choices"][0]["delta"]["content"].get<std::string>();
      if (kind == ApiKind::completion) heard += event["choices"][0]["text"].get<std::string>();
      if (kind == ApiKind::messages) heard += event["delta"]["text"].get<std::string>();
      if (kind == ApiKind::responses) heard += event["delta"].get<std::string>();
    }
    EXPECT_EQ(heard, said);
  }
}

}  // namespace
}  // namespace dsbench::engine::server
