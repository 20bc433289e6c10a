#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/rng.h"
#include "loadgen/codec/chunk_scanner.h"
#include "loadgen/codec/openai_codec.h"
#include "loadgen/codec/prompt_text.h"
#include "tests/fakes/scripted_http_server.h"

namespace dsbench::loadgen {
namespace {

using nlohmann::json;
using results::Reason;

TEST(Scanner, Table) {
  struct Row {
    const char* name;
    const char* text;
    ChunkFacts facts;
  };
  const Row rows[] = {
      {"content", R"({"choices":[{"delta":{"content":"a"}}]})", {.answers = 1}},
      {"spaces", " {\t\"choices\" :\n[ { \"delta\" : { \"content\" : \"a\" } } ] }\r\n", {.answers = 1}},
      {"role chunk", R"({"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]})", {}},
      {"null content", R"({"choices":[{"delta":{"content":null}}]})", {}},
      {"reasoning", R"({"choices":[{"delta":{"reasoning_content":"a","content":null}}]})", {.reasonings = 1}},
      {"completions", R"({"choices":[{"text":"a","index":0}]})", {.answers = 1}},
      {"an escaped key", R"({"\u0063hoices":[{"d\u0065lta":{"content":"a"}}]})", {.answers = 1}},
      {"only an escape", R"({"choices":[{"delta":{"content":"\n"}}]})", {.answers = 1}},
      {"half a character", R"({"choices":[{"delta":{"content":"\ud83d"}}]})", {.answers = 1}},
      {"content elsewhere",
       R"({"content":"a","x":{"choices":[{"delta":{"content":"a"}}]},"choices":[]})",
       {}},
      {"braces in strings", R"({"id":"}]{[\"\\","choices":[{"delta":{"content":"}"}}]})", {.answers = 1}},
      {"finish", R"({"choices":[{"finish_reason":"stop","delta":{}}]})", {.has_finish_reason = true}},
      {"insufficient",
       R"({"choices":[{"delta":{},"finish_reason":"insufficient_system_resource"}]})",
       {.has_finish_reason = true, .insufficient_resource = true}},
      {"usage",
       R"({"usage":{"completion_tokens":7,"prompt_tokens":5,"details":{"completion_tokens":9}},"choices":[]})",
       {.usage = {.prompt_tokens = 5, .output_tokens = 7}}},
      {"usage null", R"({"choices":[],"usage":null})", {}},
      {"usage of nonsense", R"({"usage":{"completion_tokens":-1,"prompt_tokens":1.5}})", {}},
      {"usage too large", R"({"usage":{"completion_tokens":99999999999999999999}})", {}},
      {"error", R"({"error":{"message":"no"}})", {.is_error = true}},
      {"error null", R"({"error":null})", {}},
      {"older vLLM", R"({"object":"error","message":"no","code":400})", {.is_error = true}},
      {"empty object", "{}", {}},
  };
  for (const Row& row : rows) {
    const auto facts = scan_chunk(row.text);
    ASSERT_TRUE(facts) << row.name;
    EXPECT_EQ(*facts, row.facts) << row.name;
  }
}

TEST(Scanner, RefusesWhatIsNotOneObject) {
  for (const char* text : {"",
                           " ",
                           "[]",
                           "1",
                           "null",
                           "[DONE]",
                           "{",
                           "}",
                           "{}{}",
                           "{} x",
                           R"({"a"})",
                           R"({"a":})",
                           R"({"a":1,})",
                           R"({,"a":1})",
                           R"({"a":01})",
                           R"({"a":1.})",
                           R"({"a":-})",
                           R"({"a":1e})",
                           R"({"a":tru})",
                           R"({"a":"\x"})",
                           R"({"a":"\u12g4"})",
                           R"({"a":"b)",
                           "{\"a\":\"\n\"}",
                           R"({"a":[1,]})",
                           R"({"a":[1 2]})",
                           R"({'a':1})",
                           R"({"a":.5})",
                           R"({"a":+1})"}) {
    EXPECT_FALSE(scan_chunk(text)) << text;
  }
  std::string deep = "{\"a\":";
  for (int i = 0; i < 70; ++i) deep += '[';
  EXPECT_FALSE(scan_chunk(deep));
}

// What the scanner must find, from a DOM.
ChunkFacts facts_by_dom(const json& doc) {
  ChunkFacts f;
  const auto text = [](const json& holder, const char* key) {
    return holder.contains(key) && holder[key].is_string() &&
           !holder[key].get_ref<const std::string&>().empty();
  };
  const auto function = [&](const json& call) {
    return call.is_object() && (text(call, "name") || text(call, "arguments"));
  };
  if (doc.contains("choices") && doc["choices"].is_array()) {
    for (const json& choice : doc["choices"]) {
      if (!choice.is_object()) continue;
      bool answer = text(choice, "text"), reasoning = false;
      if (choice.contains("delta") && choice["delta"].is_object()) {
        const json& delta = choice["delta"];
        answer = answer || text(delta, "content") || text(delta, "refusal");
        reasoning = text(delta, "reasoning_content") || text(delta, "reasoning");
        if (delta.contains("function_call")) answer = answer || function(delta["function_call"]);
        if (delta.contains("tool_calls") && delta["tool_calls"].is_array()) {
          for (const json& call : delta["tool_calls"]) {
            if (call.is_object() && call.contains("function")) answer = answer || function(call["function"]);
          }
        }
      }
      if (answer) {
        ++f.answers;
      } else if (reasoning) {
        ++f.reasonings;
      }
      if (choice.contains("finish_reason") && choice["finish_reason"].is_string()) {
        f.has_finish_reason = true;
        if (choice["finish_reason"] == "insufficient_system_resource") f.insufficient_resource = true;
        if (choice["finish_reason"] == "abort" || choice["finish_reason"] == "error") f.is_error = true;
      }
    }
  }
  if (doc.contains("error") && !doc["error"].is_null()) f.is_error = true;
  if (doc.contains("object") && doc["object"] == "error") f.is_error = true;
  if (doc.contains("usage") && doc["usage"].is_object()) {
    const auto count = [](const json& u, const char* key, std::optional<std::int32_t>& out) {
      if (!u.is_object() || !u.contains(key) || !u[key].is_number_unsigned() ||
          u[key].get<std::uint64_t>() > 0x7FFF'FFFF)
        return;
      out = u[key].get<std::int32_t>();
    };
    const json& u = doc["usage"];
    count(u, "prompt_tokens", f.usage.prompt_tokens);
    count(u, "completion_tokens", f.usage.output_tokens);
    if (u.contains("prompt_tokens_details"))
      count(u["prompt_tokens_details"], "cached_tokens", f.usage.cached_prompt_tokens);
    if (u.contains("completion_tokens_details"))
      count(u["completion_tokens_details"], "reasoning_tokens", f.usage.reasoning_tokens);
  }
  return f;
}

// Writes JSON in odd but lawful ways: any spacing, escapes where none are needed, members in any order.
class OddWriter {
 public:
  explicit OddWriter(Rng& rng) : rng_{rng} {}
  std::string write(const json& v) {
    space();
    if (v.is_object()) {
      out_ += '{';
      std::vector<std::string> keys;
      for (const auto& item : v.items()) keys.push_back(item.key());
      for (std::size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[rng_.below(i)]);
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i > 0) out_ += ',';
        space();
        string(keys[i]);
        space();
        out_ += ':';
        write(v[keys[i]]);
      }
      space();
      out_ += '}';
    } else if (v.is_array()) {
      out_ += '[';
      for (std::size_t i = 0; i < v.size(); ++i) {
        if (i > 0) out_ += ',';
        write(v[i]);
      }
      space();
      out_ += ']';
    } else if (v.is_string()) {
      string(v.get_ref<const std::string&>());
    } else {
      out_ += v.dump();
    }
    space();
    return out_;
  }

 private:
  void space() {
    while (rng_.below(4) == 0) out_ += " \t\n\r"[rng_.below(4)];
  }
  void string(const std::string& s) {
    out_ += '"';
    for (const char c : s) {
      const auto u = static_cast<unsigned char>(c);
      if (u < 0x20 || c == '"' || c == '\\' || (u < 0x80 && rng_.below(6) == 0)) {
        char code[8];
        std::snprintf(code, sizeof code, rng_.below(2) == 0 ? "\\u%04x" : "\\u%04X", u);
        out_ += code;
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }
  Rng& rng_;
  std::string out_;
};

json random_value(Rng& rng, int depth) {
  static const char* const words[] = {"",         "a",
                                      "choices",  "delta",
                                      "content",  "error",
                                      "usage",    "insufficient_system_resource",
                                      "ü \"\\/",  "stop",
                                      "text",     "\n\t",
                                      "object",   "finish_reason",
                                      "reasoning"};
  switch (rng.below(depth > 0 ? 9 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return true;
    case 2:
      return static_cast<std::int64_t>(rng.below(100'000)) - 50;
    case 3:
      return rng.normal();
    case 4:
      return rng.next();
    case 5:
      return words[rng.below(std::size(words))];
    case 6: {
      json list = json::array();
      for (auto n = rng.below(4); n > 0; --n) list.push_back(random_value(rng, depth - 1));
      return list;
    }
    default: {
      json object = json::object();
      for (auto n = rng.below(5); n > 0; --n)
        object[words[rng.below(std::size(words))]] = random_value(rng, depth - 1);
      return object;
    }
  }
}

json random_chunk(Rng& rng) {
  json doc = random_value(rng, 3);
  if (!doc.is_object()) doc = json::object();
  const auto maybe = [&] { return rng.below(2) == 0; };
  const auto text = [&]() -> json { return maybe() ? json("abc") : random_value(rng, 1); };
  if (maybe()) {
    json choice = json::object(), delta = json::object();
    for (const char* key : {"content", "reasoning_content", "role", "tool_calls"}) {
      if (maybe()) delta[key] = text();
    }
    if (maybe())
      delta["tool_calls"] = {{{"index", 0}, {"function", {{"name", text()}, {"arguments", text()}}}}};
    if (maybe()) choice["delta"] = delta;
    if (maybe()) choice["text"] = text();
    if (maybe()) choice["finish_reason"] = text();
    if (maybe()) choice["logprobs"] = random_value(rng, 3);
    doc["choices"] = json::array({choice});
    if (maybe()) doc["choices"].push_back(random_value(rng, 2));
  }
  if (maybe())
    doc["usage"] = {{"prompt_tokens", text()},
                    {"completion_tokens", rng.below(1000)},
                    {"x", random_value(rng, 2)},
                    {"prompt_tokens_details", {{"cached_tokens", rng.below(100)}}},
                    {"completion_tokens_details", random_value(rng, 1)}};
  if (rng.below(8) == 0) doc["error"] = random_value(rng, 2);
  return doc;
}

TEST(Scanner, AgreesWithADomOnRandomDocuments) {
  Rng rng{11, "scanner documents"};
  int with_content = 0;
  for (int i = 0; i < 20'000; ++i) {
    const json doc = random_chunk(rng);
    const std::string text = OddWriter{rng}.write(doc);
    ASSERT_EQ(json::parse(text), doc);
    const auto facts = scan_chunk(text);
    ASSERT_TRUE(facts) << text;
    ASSERT_EQ(*facts, facts_by_dom(json::parse(text))) << text;
    with_content += facts->answers > 0 ? 1 : 0;
  }
  EXPECT_GT(with_content, 2'000);
  EXPECT_LT(with_content, 18'000);
}

// Damaged documents: the scanner must refuse exactly what the DOM parser refuses. (Repeated keys, lone
// surrogates and bytes above 0x7F aside, where the two differ on purpose: the damage here makes none of the
// last two, and facts are compared only when writing the parsed document again shows that no key was lost.)
TEST(Scanner, RefusesWhatADomParserRefuses) {
  Rng rng{12, "scanner damage"};
  constexpr std::string_view letters = "{}[]:,\"\\ \n0123456789.eE+-truefalsn/bx";
  int refused = 0, kept = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string text = random_chunk(rng).dump(-1, ' ', true);
    if (text.find("\\u") != std::string::npos) continue;
    for (auto n = rng.below(3); n > 0 && !text.empty(); --n) {
      const std::size_t at = rng.below(text.size());
      switch (rng.below(3)) {
        case 0:
          text[at] = letters[rng.below(letters.size())];
          break;
        case 1:
          text.erase(at, 1 + rng.below(3));
          break;
        default:
          text.insert(at, 1, letters[rng.below(letters.size())]);
          break;
      }
    }
    const json doc = json::parse(text, nullptr, false);
    const auto facts = scan_chunk(text);
    // Numbers beyond the range of a double are lawful JSON; the DOM parser refuses them.
    if (!doc.is_object() && facts) {
      ASSERT_NE(text.find_first_of("eE"), std::string::npos) << text;
      continue;
    }
    ASSERT_EQ(facts.has_value(), doc.is_object()) << text;
    facts ? ++kept : ++refused;
  }
  EXPECT_GT(refused, 5'000);
  EXPECT_GT(kept, 5'000);
}

TEST(Prompt, IsExactPlainAndAFunctionOfItsSeed) {
  for (const std::int64_t n : {0, 1, 2, 11, 12, 13, 100, 4097}) {
    std::string a, b, c;
    append_prompt(1, n, a);
    append_prompt(1, n, b);
    append_prompt(2, n, c);
    EXPECT_EQ(a.size(), static_cast<std::size_t>(n));
    EXPECT_EQ(a, b);
    if (n > 10) {
      EXPECT_NE(a, c);
    }
    for (const char ch : a) EXPECT_TRUE(ch == ' ' || (ch >= 'a' && ch <= 'z'));
    if (n > 0) {
      EXPECT_TRUE(a.front() != ' ' && a.back() != ' ');
    }
  }
}

TEST(Request, IsTheJsonItShouldBe) {
  const Attempt attempt{.request = 3,
                        .attempt = 0,
                        .prompt_tokens = 50,
                        .output_tokens = 16,
                        .prompt_seed = 0xFFFF'FFFF'FFFF'FFFFULL};
  Body body;
  PromptCache prompts;
  body.text() = "left over";
  OpenAiCodec{Api::chat, "deep \"seek\"\n/v3", true}.encode(attempt, prompts, body);
  const json chat = json::parse(body.str());
  EXPECT_EQ(chat["model"], "deep \"seek\"\n/v3");
  ASSERT_EQ(chat["messages"].size(), 1u);
  EXPECT_EQ(chat["messages"][0]["role"], "user");
  std::string prompt;
  append_prompt(attempt.prompt_seed, 50, prompt);
  EXPECT_EQ(chat["messages"][0]["content"], prompt);
  EXPECT_EQ(chat["stream"], true);
  EXPECT_EQ(chat["stream_options"]["include_usage"], true);
  EXPECT_EQ(chat["max_tokens"], 16);
  EXPECT_EQ(chat["min_tokens"], 16);
  EXPECT_EQ(chat["ignore_eos"], true);
  EXPECT_EQ(chat["temperature"], 0);
  EXPECT_EQ(chat["seed"], 0x7FFF'FFFF);
  const OpenAiCodec text{Api::completions, "m", false};
  text.encode(attempt, prompts, body);
  const json completions = json::parse(body.str());
  EXPECT_EQ(completions["prompt"], prompt);
  EXPECT_FALSE(completions.contains("ignore_eos"));
  EXPECT_FALSE(completions.contains("min_tokens"));
  EXPECT_EQ(text.path(), "/v1/completions");
}

TEST(Request, OfPartsIsAConversation) {
  using Role = PromptPart::Role;
  Attempt attempt{.output_tokens = 1};
  attempt.parts = std::make_shared<PromptParts>(PromptParts{{1, 40'000, Role::system},
                                                            {2, 9, Role::user},
                                                            {3, 20'000, Role::user},
                                                            {4, 5, Role::assistant},
                                                            {5, 7, Role::user}});
  const auto text_of = [](std::uint64_t seed, std::int64_t tokens) {
    std::string text;
    append_prompt(seed, tokens, text);
    return text;
  };
  Body body, again;
  PromptCache prompts;
  const OpenAiCodec chat{Api::chat, "m", true};
  chat.encode(attempt, prompts, body);
  EXPECT_FALSE(body.contiguous());
  EXPECT_EQ(body.size(), body.str().size());
  const json doc = json::parse(body.str());
  ASSERT_EQ(doc["messages"].size(), 4u);
  EXPECT_EQ(doc["messages"][0], json({{"role", "system"}, {"content", text_of(1, 40'000)}}));
  EXPECT_EQ(doc["messages"][1], json({{"role", "user"}, {"content", text_of(2, 9) + text_of(3, 20'000)}}));
  EXPECT_EQ(doc["messages"][2], json({{"role", "assistant"}, {"content", text_of(4, 5)}}));
  EXPECT_EQ(doc["messages"][3], json({{"role", "user"}, {"content", text_of(5, 7)}}));
  // The long parts are built once.
  chat.encode(attempt, prompts, again);
  const std::size_t at = again.str().find(text_of(1, 40'000));
  EXPECT_EQ(again.at(at).data(), body.at(at).data());
  for (std::size_t most : {std::size_t{1}, std::size_t{7}, std::size_t{30'000}}) {
    std::string whole;
    while (true) {
      const std::string_view piece = body.at(whole.size(), most);
      if (piece.empty()) break;
      ASSERT_LE(piece.size(), most);
      whole += piece;
    }
    EXPECT_EQ(whole, body.str());
  }
  OpenAiCodec{Api::completions, "m", true}.encode(attempt, prompts, body);
  EXPECT_EQ(json::parse(body.str())["prompt"],
            text_of(1, 40'000) + text_of(2, 9) + text_of(3, 20'000) + text_of(4, 5) + text_of(5, 7));
}

struct Judged {
  int tokens = 0;
  std::string end;  // "done", the reason's word, or "open:" and the word that the end of the body gives
};
Judged judge(const std::string& stream, std::size_t piece) {
  OpenAiReader reader;
  reader.begin(200);
  Judged j;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    const std::string part = stream.substr(at, piece);
    reader.feed(part);
    while (const auto step = reader.next()) {
      if (step->kind == ReplyReader::Step::Kind::tokens) ++j.tokens;
      if (step->kind == ReplyReader::Step::Kind::done) j.end = "done";
      if (step->kind == ReplyReader::Step::Kind::failed) j.end = results::to_word(step->reason);
    }
  }
  if (j.end.empty()) j.end = "open:" + std::string{results::to_word(reader.end_of_body().reason)};
  return j;
}

TEST(Stream, Verdicts) {
  using testing::chunk;
  using testing::done_marker;
  using testing::finish;
  const std::string error = "data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n";
  struct Row {
    const char* name;
    std::string stream;
    int tokens;
    const char* end;
  };
  const Row rows[] = {
      {"whole", testing::whole_stream(3), 3, "done"},
      {"content in the finishing chunk",
       "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\n" + done_marker(), 1, "done"},
      {"no end marker", chunk("a") + finish(), 1, "open:closed_early"},
      {"no finish reason", chunk("a") + done_marker(), 1, "closed_early"},
      {"end marker without its blank line", chunk("a") + finish() + "data: [DONE]\n", 1, "open:closed_early"},
      {"no token", finish() + done_marker(), 0, "empty"},
      {"insufficient", chunk("a") + finish("insufficient_system_resource") + done_marker(), 1,
       "insufficient_resource"},
      {"insufficient beside content",
       "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"insufficient_system_resource\"}]}\n\n", 1,
       "insufficient_resource"},
      {"error frame", chunk("a") + error + done_marker(), 1, "error_frame"},
      {"error event", chunk("a") + "event: error\ndata: boom\n\n", 1, "error_frame"},
      {"data that is no JSON", chunk("a") + "data: boom\n\n", 1, "malformed"},
      {"JSON, not a stream", "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", 0, "open:malformed"},
      {"HTML", "<html>\n<body>Bad gateway</body>\n</html>\n", 0, "open:malformed"},
      {"nothing", "", 0, "open:closed_early"},
      {"only keep-alives", ": keep-alive\n\n: keep-alive\n\n", 0, "open:closed_early"},
      {"cut in the first frame", chunk("a").substr(0, 30), 0, "open:closed_early"},
      {"keep-alives between", ": keep-alive\n\n" + chunk("a") + ": keep-alive\n\n" + finish() + done_marker(),
       1, "done"},
      {"nothing counts after the end", finish() + chunk("a") + done_marker() + chunk("a") + error, 1, "done"},
  };
  for (const Row& row : rows) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
      const Judged j = judge(row.stream, piece);
      EXPECT_EQ(j.tokens, row.tokens) << row.name << " in pieces of " << piece;
      EXPECT_EQ(j.end, row.end) << row.name << " in pieces of " << piece;
    }
  }
}

TEST(Stream, UsageIsReadAndForgottenByTheNextAnswer) {
  OpenAiReader reader;
  reader.begin(200);
  const std::string whole = testing::whole_stream(4, 9);
  reader.feed(whole);
  auto last = ReplyReader::Step{};
  while (const auto step = reader.next()) last = *step;
  EXPECT_EQ(last.kind, ReplyReader::Step::Kind::done);
  EXPECT_EQ(reader.usage().output_tokens, 4);
  EXPECT_EQ(reader.usage().prompt_tokens, 9);
  reader.begin(200);
  EXPECT_FALSE(reader.usage().output_tokens);
  reader.feed(whole);
  EXPECT_TRUE(reader.next());
}

}  // namespace
}  // namespace dsbench::loadgen
