// Against Hugging Face's tokenizers and transformers: scripts/make_parity_fixtures made the files and what
// they make of the samples.
#include "profiles/tokenizer/tokenizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/files.h"
#include "core/rng.h"
#include "profiles/tokenizer/byte_level.h"
#include "profiles/tokenizer/chat_template.h"
#include "profiles/tokenizer/tokenizer_files.h"

namespace dsbench::profiles {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(DSBENCH_SOURCE_DIR) / "tests" / "fixtures" / "parity" / name;
}

Json read_json(const std::filesystem::path& path) {
  return Json::parse(read_file(path).value());
}

std::string decode(const Tokenizer& tokenizer, const std::vector<Tokenizer::Id>& ids) {
  std::string out;
  for (const Tokenizer::Id id : ids) out += tokenizer.bytes(id);
  return out;
}

class TokenizerParity : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerParity, TheSampleBecomesTheSameTokens) {
  const auto tokenizer = Tokenizer::load(fixture(GetParam()) / "tokenizer.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Json samples = read_json(fixture(GetParam()) / "samples.json").at("samples");
  ASSERT_GT(samples.size(), 300u);
  for (const Json& sample : samples) {
    const auto text = sample.at("text").get<std::string>();
    const auto ids = tokenizer->encode(text);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, sample.at("ids").get<std::vector<Tokenizer::Id>>()) << sample.at("text").dump();
    EXPECT_EQ(make_valid_utf8(decode(*tokenizer, *ids)), sample.at("decoded").get<std::string>());
    EXPECT_EQ(decode(*tokenizer, *ids), text);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TokenizerParity,
                         testing::Values("tokenizer-v3", "tokenizer-v2", "tokenizer-gpt2"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

Tokenizer v3() {
  return Tokenizer::load(fixture("tokenizer-v3") / "tokenizer.json").value();
}

TEST(Tokenizer, GivesBackAnyText) {
  const Tokenizer tokenizer = v3();
  Rng rng(5, "tokenizer texts");
  for (int i = 0; i < 500; ++i) {
    std::string text;
    const auto length = rng.below(60);
    for (std::uint64_t j = 0; j < length; ++j) text += static_cast<char>(rng.below(256));
    const auto ids = tokenizer.encode(text);
    ASSERT_TRUE(ids);
    EXPECT_EQ(decode(tokenizer, *ids), make_valid_utf8(text));
  }
}

// Pieces of one kind of character are as long as the text: what is quadratic would take hours here.
TEST(Tokenizer, EncodesLongPieces) {
  const Tokenizer tokenizer = v3();
  for (const std::string_view unit : {"a", " ", "ab", "\n", "é", "深", "!", "1", "<", " x"}) {
    std::string text;
    while (text.size() < 1u << 20) text += unit;
    const auto ids = tokenizer.encode(text);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(decode(tokenizer, *ids), text);
  }
}

TEST(Tokenizer, KnowsItsSpecialTokens) {
  const Tokenizer tokenizer = v3();
  const auto bos = tokenizer.id_of("<｜begin▁of▁sentence｜>");
  ASSERT_TRUE(bos);
  EXPECT_TRUE(tokenizer.is_special(*bos));
  EXPECT_FALSE(tokenizer.is_special(tokenizer.id_of("<think>").value()));
  EXPECT_EQ(tokenizer.bytes(*bos), "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(tokenizer.bytes(-1), "");
  EXPECT_EQ(tokenizer.bytes(tokenizer.size()), "");
  EXPECT_EQ(tokenizer.size(), 640);
}

// One change to a good file, and what is said of it.
struct Refusal {
  const char* pointer;
  const char* value;
  const char* words;
};

class Refused : public testing::TestWithParam<Refusal> {};

TEST_P(Refused, ByName) {
  Json json = read_json(fixture("tokenizer-v3") / "tokenizer.json");
  json[Json::json_pointer(GetParam().pointer)] = Json::parse(GetParam().value);
  const auto tokenizer = Tokenizer::parse(json.dump(), "tokenizer.json");
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr(GetParam().words));
  EXPECT_THAT(tokenizer.error().message, HasSubstr("tokenizer.json: "));
}

INSTANTIATE_TEST_SUITE_P(
    Parts, Refused,
    testing::Values(
        Refusal{"/model/type", R"("Unigram")", "model: 'Unigram' is not supported; accepted: BPE"},
        Refusal{"/model/byte_fallback", "true", "model.byte_fallback: found true; accepted: false"},
        Refusal{"/model/dropout", "0.1", "model.dropout: found 0.1; accepted: null"},
        Refusal{"/model/vocab", "{}", "model.vocab: is no object of tokens"},
        Refusal{"/model/vocab/a", "-4", "model.vocab: found -4; accepted are token ids"},
        Refusal{"/model/merges/0", R"("abc")", R"(model.merges[0]: found "abc"; accepted)"},
        Refusal{"/model/merges/0", R"(["q", "深"])", "needs a token '深', which the vocabulary lacks"},
        Refusal{"/normalizer", R"({"type": "NFC"})", "normalizer: 'NFC' is not supported; accepted: none"},
        Refusal{"/pre_tokenizer", R"({"type": "Metaspace"})", "pre_tokenizer: 'Metaspace' is not supported"},
        Refusal{"/pre_tokenizer", "null", "pre_tokenizer: '' is not supported"},
        Refusal{"/pre_tokenizer/pretokenizers/0/behavior", R"("MergedWithNext")",
                R"(behavior: found "MergedWithNext"; accepted: Isolated, Removed)"},
        Refusal{"/pre_tokenizer/pretokenizers/0/pattern", R"({"Regex": "\\h+"})",
                R"(holds \h, which is not supported)"},
        Refusal{"/pre_tokenizer/pretokenizers/0/pattern", R"({"Regex": "(a"})", "is not understood"},
        Refusal{"/pre_tokenizer/pretokenizers/0/pattern", R"({"Regex": "[a&&b]"})",
                "an intersection of classes"},
        Refusal{"/pre_tokenizer/pretokenizers/3/add_prefix_space", "true", "add_prefix_space: found true"},
        Refusal{"/decoder", R"({"type": "WordPiece"})",
                "decoder: 'WordPiece' is not supported; accepted: ByteLevel"},
        Refusal{"/post_processor", R"({"type": "BertProcessing"})",
                "post_processor: 'BertProcessing' is not supported"},
        Refusal{"/added_tokens/0/lstrip", "true", "'lstrip' is not supported; accepted: false"},
        Refusal{"/truncation", R"({"max_length": 5})", "'truncation' is not supported; accepted: null"}));

TEST(Tokenizer, IgnoresMergesWhereTheFileSaysSo) {
  Json json = read_json(fixture("tokenizer-v3") / "tokenizer.json");
  json["model"]["vocab"]["zqz"] = 640;  // no merge leads there
  const auto id = [](const Json& j) { return Tokenizer::parse(j.dump(), "t").value().encode("zqz").value(); };
  EXPECT_EQ(id(json).size(), 3u);
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(id(json), std::vector<Tokenizer::Id>{640});
}

TEST(Tokenizer, ReadsATemplateOfEnds) {
  Json json = read_json(fixture("tokenizer-v3") / "tokenizer.json");
  json["post_processor"] = Json::parse(
      R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
          "special_tokens": {"B": {"id": "B", "ids": [0], "tokens": ["B"]}}}]})");
  const Tokenizer tokenizer = Tokenizer::parse(json.dump(), "t").value();
  EXPECT_THAT(tokenizer.before_text(), testing::ElementsAre(0));
  EXPECT_THAT(tokenizer.after_text(), testing::IsEmpty());
}

// What a broken file must not do is crash; what it must do is say something, or be read.
TEST(TokenizerFuzz, TruncatedAndCorruptedFilesAreRefusedOrRead) {
  const std::string good = read_file(fixture("tokenizer-gpt2") / "tokenizer.json").value();
  Rng rng(9, "tokenizer corruption");
  for (int i = 0; i < 60; ++i) {
    const auto cut = Tokenizer::parse(std::string_view(good).substr(0, rng.below(good.size())), "t");
    ASSERT_FALSE(cut);
    EXPECT_FALSE(cut.error().message.empty());
  }
  for (int i = 0; i < 200; ++i) {
    std::string bad = good;
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n)
      bad[rng.below(bad.size())] = static_cast<char>(rng.below(256));
    const auto tokenizer = Tokenizer::parse(bad, "t");
    if (!tokenizer) {
      EXPECT_FALSE(tokenizer.error().message.empty());
    } else {
      EXPECT_TRUE(tokenizer->encode("Hello, 世界! <think>"));
    }
  }
}

TEST(Utf8, KnowsWhatIsUnfinished) {
  EXPECT_EQ(unfinished_utf8("abc"), 0u);
  EXPECT_EQ(unfinished_utf8(""), 0u);
  EXPECT_EQ(unfinished_utf8("a\xE6"), 1u);
  EXPECT_EQ(unfinished_utf8("a\xE6\xB7"), 2u);
  EXPECT_EQ(unfinished_utf8("a\xE6\xB7\xB1"), 0u);
  EXPECT_EQ(unfinished_utf8("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(unfinished_utf8("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(unfinished_utf8("\x80\x80"), 0u);  // can never become a character
  EXPECT_EQ(unfinished_utf8("\xFF"), 0u);
  EXPECT_EQ(unfinished_utf8("\xE0\x80"), 0u);
  EXPECT_EQ(make_valid_utf8("a\xE6\xB7z\xFF\xF0\x9F"), "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(ChatTemplate, WritesWhatTransformersWrites) {
  const Json chat = read_json(fixture("chat") / "chat.json");
  ASSERT_GT(chat.at("cases").size(), 40u);
  for (const Json& one : chat.at("cases")) {
    const auto name = one.at("template").get<std::string>();
    auto recognised = ChatTemplate::recognise(chat.at("templates").at(name).get<std::string>(), name);
    ASSERT_TRUE(recognised) << recognised.error().message;
    recognised->set_special_tokens(chat.at("bos_token").get<std::string>(),
                                   chat.at("eos_token").get<std::string>());
    std::vector<ChatMessage> messages;
    for (const Json& m : one.at("messages")) {
      ChatMessage& message = messages.emplace_back();
      message.role = m.at("role").get<std::string>();
      if (!m.at("content").is_null()) message.content = m.at("content").get<std::string>();
      for (const Json& call : m.value("tool_calls", Json::array())) {
        const Json& function = call.at("function");
        message.tool_calls.push_back({call.at("type").get<std::string>(),
                                      function.at("name").get<std::string>(),
                                      function.at("arguments").get<std::string>()});
      }
    }
    const ChatSettings settings{.thinking = one.value("thinking", false)};
    EXPECT_EQ(recognised->render(messages, settings).value(), one.at("text").get<std::string>())
        << name << one.at("messages");
  }
}

TEST(ChatTemplate, NamesAreTheFamilies) {
  const std::vector<ChatMessage> talk{
      {"system", "S"}, {"user", "U"}, {"assistant", "<think>t</think>A"}, {"user", "V"}};
  const auto text = [&](const char* name) {
    auto t = ChatTemplate::named(name).value();
    t.set_special_tokens("<s>", "</s>");
    return t.render(talk).value();
  };
  EXPECT_EQ(text("none"), "SU<think>t</think>AV");
  EXPECT_EQ(text("deepseek-v2"), "<s>S\n\nUser: U\n\nAssistant: <think>t</think>A</s>User: V\n\nAssistant:");
  EXPECT_EQ(text("deepseek-v3"),
            "<s>S<｜User｜>U<｜Assistant｜><think>t</think>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜>");
  EXPECT_EQ(text("deepseek-r1"),
            "<s>S<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜><think>\n");
  EXPECT_EQ(text("deepseek-v3.1"),
            "<s>S<｜User｜>U<｜Assistant｜></think>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜></think>");
  EXPECT_THAT(ChatTemplate::named("llama").error().message,
              HasSubstr("no chat template 'llama'; accepted: none, deepseek-v2"));
}

TEST(ChatTemplate, RefusesOthers) {
  const auto other =
      ChatTemplate::recognise("{% for m in messages %}<|im_start|>{{ m['role'] }}{% endfor %}", "x.json");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message,
              HasSubstr("the chat template of x.json is not one that we know; accepted are"));
  const std::vector<ChatMessage> talk{{"user", "U"}, {"tool", "42"}};
  const auto message = [&](const char* name, const ChatSettings& settings) {
    const auto rendered = ChatTemplate::named(name).value().render(talk, settings);
    return rendered ? std::string{} : rendered.error().message;
  };
  EXPECT_THAT(message("deepseek-v2", {}),
              HasSubstr("messages[1]: the role 'tool' is not supported by the chat template deepseek-v2; "
                        "accepted: system, user, assistant"));
  EXPECT_THAT(message("deepseek-v3", {.tools = {{"f", "", ""}}}),
              HasSubstr("tools: the chat template deepseek-v3 has no place for descriptions of tools"));
  EXPECT_THAT(
      message("deepseek-v3", {.thinking = true}),
      HasSubstr("thinking: the chat template deepseek-v3 has no thinking; accepted with deepseek-v3.1"));
  EXPECT_EQ(message("deepseek-r1", {.thinking = true}), "");
  EXPECT_EQ(message("none", {.thinking = true, .tools = {{"f", "", ""}}}), "");
  // A template whose text does not write tools is not told of them.
  const Json chat = read_json(fixture("chat") / "chat.json");
  const auto bare = ChatTemplate::recognise(chat.at("templates").at("v3.1").get<std::string>(), "x").value();
  EXPECT_THAT(bare.render(talk).error().message, HasSubstr("the role 'tool' is not supported"));
}

TEST(ChatTemplate, DescribesToolsAsTheModelCardOfV31Does) {
  const std::vector<ChatMessage> talk{{"system", "S"}, {"user", "U"}};
  const auto text =
      ChatTemplate::named("deepseek-v3.1")
          .value()
          .render(talk,
                  {.thinking = true,
                   .tools = {{"add", "Adds.", R"({"type": "object", "properties": {}})"}, {"now", "", ""}}});
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text,
            "<｜begin▁of▁sentence｜>S\n\n## Tools\nYou have access to the following tools:\n\n"
            "### add\nDescription: Adds.\n\nParameters: {\"type\": \"object\", \"properties\": {}}\n\n"
            "### now\nDescription: \n\nParameters: {}\n\n"
            "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments"
            "<｜tool▁call▁end｜>{additional_tool_calls}<｜tool▁calls▁end｜>\n\n"
            "Where:\n"
            "- `tool_call_name` must be an exact match to one of the available tools\n"
            "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
            "- For multiple tool calls, chain them directly without separators or spaces"
            "<｜User｜>U<｜Assistant｜><think>");
}

TEST(TokenizerFiles, AreReadTogether) {
  const auto files = load_tokenizer_files(fixture("tokenizer-v3"), "auto");
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_TRUE(*files);
  EXPECT_THAT((*files)->before_text, testing::ElementsAre(0));  // add_bos_token
  EXPECT_EQ((*files)->chat.name(), "deepseek-v3");
  const std::vector<ChatMessage> talk{{"user", "hi"}};
  EXPECT_EQ((*files)->chat.render(talk).value(), "<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>");
  EXPECT_EQ(load_tokenizer_files(fixture("tokenizer-v3"), "deepseek-v2").value()->chat.name(), "deepseek-v2");
  EXPECT_FALSE(load_tokenizer_files(fixture("fp8"), "auto").value());
  EXPECT_THAT(load_tokenizer_files(fixture("fp8"), "deepseek-v3").error().message,
              HasSubstr("has no tokenizer.json"));
}

}  // namespace
}  // namespace dsbench::profiles
