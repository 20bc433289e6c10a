#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/rng.h"
#include "loadgen/codec/body_pattern.h"
#include "loadgen/codec/http_codec.h"
#include "loadgen/codec/http_template.h"
#include "loadgen/codec/prompt_text.h"
#include "tests/fakes/codec_streams.h"

namespace dsbench::loadgen {
namespace {

using ::testing::HasSubstr;
using testing::tell;
using testing::tell_pieces;

HttpTemplate parsed(const std::string& json) {
  const auto made = parse_http_template(json, "t.json", ".");
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : HttpTemplate{};
}
std::string complaint(const std::string& json) {
  const auto made = parse_http_template(json, "t.json", ".");
  return made ? "" : made.error().message;
}

const std::string whole_template = R"json({
  "schema": "dsbench.http/1",  // comments are taken
  "description": "a search service",
  "method": "POST",
  "path": "/search?index=all",
  "headers": [{"name": "Content-Type", "value": "text/plain"}, {"name": "X-Client", "value": "dsbench"}],
  "body": "{{request}}/{{attempt}} {\"a\":{\"b\":{\"c\":1}}} {{seed}}: {{prompt}} ({{prompt_tokens}}, {{output_tokens}})",
                  "expect" : {
  "status" : [ 200, 404 ], "body_contains" : "hit", "body_matches" : "took \\d+ ms$"
}
})json";

TEST(HttpTemplate, IsWhatTheFileSays) {
  const HttpCodec codec{parsed(whole_template)};
  EXPECT_EQ(codec.method(), "POST");
  EXPECT_EQ(codec.path(), "/search?index=all");
  EXPECT_EQ(codec.headers().at(1), (std::pair<std::string, std::string>{"X-Client", "dsbench"}));
  EXPECT_EQ(codec.models_path(), "");
  Body body;
  PromptCache prompts;
  codec.encode({.request = 12, .attempt = 1, .prompt_tokens = 9, .output_tokens = 4, .prompt_seed = 7},
               prompts, body);
  std::string prompt;
  append_prompt(7, 9, prompt);
  EXPECT_EQ(body.str(), "12/1 {\"a\":{\"b\":{\"c\":1}}} 7: " + prompt + " (9, 4)");
}

TEST(HttpTemplate, NeedsLittle) {
  const HttpTemplate made = parsed(R"({"schema":"dsbench.http/1"})");
  EXPECT_EQ(made.method, "GET");
  EXPECT_EQ(made.path, "/");
  EXPECT_TRUE(made.body.empty());
  const HttpCodec codec{made};
  EXPECT_TRUE(codec.make_reader()->expects(204));
  EXPECT_FALSE(codec.make_reader()->expects(304));
}

TEST(HttpTemplate, RefusalsSayWhatIsAccepted) {
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/2"})"),
              HasSubstr("reads dsbench.http/1 to dsbench.http/1"));
  EXPECT_THAT(
      complaint(R"({"schema":"dsbench.http/1","method":"HEAD"})"),
      HasSubstr("t.json: method: found the string \"HEAD\"; accepted: GET, POST, PUT, PATCH, DELETE"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","path":"search"})"),
              HasSubstr("accepted: begins with a slash"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","path":"/a/{{seed}}"})"),
              HasSubstr("one run asks for one path"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","path":"/a\r\nX: y"})"),
              HasSubstr("t.json: path: found"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","body":"a"})"), HasSubstr("body: a GET has none"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","method":"POST","body":"a","body_file":"b"})"),
              HasSubstr("t.json: body_file: "));
  EXPECT_THAT(
      complaint(R"({"schema":"dsbench.http/1","method":"POST","body":"{{promt}}"})"),
      HasSubstr("no placeholder '{{promt}}'; accepted between double braces: seed, request, attempt, prompt, "
                "prompt_tokens, output_tokens"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","headers":[{"name":"A:","value":"b"}]})"),
              HasSubstr("headers[0].name: found 'A:'"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","headers":[{"name":"A","value":"b\r\nC: d"}]})"),
              HasSubstr("headers[0].value: has control characters"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","expect":{"status":[99]}})"),
              HasSubstr("expect.status: found 99; accepted: whole numbers from 200 to 599"));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","expect":{"body_matches":"(a"}})"),
              HasSubstr("expect.body_matches: '(a' is no regular expression: "));
  EXPECT_THAT(complaint(R"({"schema":"dsbench.http/1","expects":{}})"),
              HasSubstr("unknown key 'expects'; did you mean 'expect'?"));
  EXPECT_THAT(complaint("{"), HasSubstr("not valid JSON"));
}

TEST(HttpTemplate, ABodyMayBeAFile) {
  const auto folder = std::filesystem::temp_directory_path() / "dsbench-codec-http-test";
  std::filesystem::create_directories(folder);
  std::ofstream{folder / "t.json"} << R"({"schema":"dsbench.http/1","method":"PUT","body_file":"b.xml"})";
  std::ofstream{folder / "b.xml"} << "<q>{{prompt_tokens}}</q>";
  const auto made = load_http_template(folder / "t.json");
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->body.size(), 3u);
  EXPECT_EQ(made->body[1].kind, HttpTemplate::Piece::Kind::prompt_tokens);
  std::filesystem::remove(folder / "b.xml");
  const auto missing = load_http_template(folder / "t.json");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::io);
  EXPECT_THAT(missing.error().message, HasSubstr("b.xml"));
  std::filesystem::remove_all(folder);
}

TEST(HttpReader, IsOneTokenAtTheHeadAndJudgesTheBody) {
  const auto reader = HttpCodec{parsed(whole_template)}.make_reader();
  const auto says = [&](const std::string& body) { return tell(*reader, body, {}, 404).steps; };
  EXPECT_TRUE(reader->expects(404));
  EXPECT_FALSE(reader->expects(201));
  EXPECT_EQ(says("a hit, took 12 ms"), "1 done");
  EXPECT_EQ(says("a hit, took 12 ms."), "1 malformed");
  EXPECT_EQ(says("a hi t, took 12 ms"), "1 malformed");
  EXPECT_EQ(says(""), "1 malformed");
  const auto any = HttpCodec{parsed(R"({"schema":"dsbench.http/1"})")}.make_reader();
  EXPECT_EQ(tell(*any, "", {}, 204).steps, "1 done");
  EXPECT_EQ(tell(*any, "anything").steps, "1 done");
  any->begin(0);
  EXPECT_FALSE(any->next());
  const std::string body = "hihit a hit, took 12 ms";
  for (std::size_t at = 0; at <= body.size(); ++at) EXPECT_EQ(tell(*reader, body, {at}).steps, "1 done");
  for (std::size_t size = 1; size < 9; ++size) EXPECT_EQ(tell_pieces(*reader, body, size).steps, "1 done");
}

TEST(BodySearch, AgreesWithFindHoweverCut) {
  Rng rng{3, "body search"};
  int found = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string wanted, text;
    for (auto n = rng.below(6); n > 0; --n) wanted += "ab"[rng.below(2)];
    for (auto n = rng.below(40); n > 0; --n) text += "ab"[rng.below(2)];
    BodySearch search{wanted};
    const std::size_t cut = rng.below(text.size() + 1);
    search.feed(std::string_view{text}.substr(0, cut));
    search.feed(std::string_view{text}.substr(cut));
    ASSERT_EQ(search.found(), text.find(wanted) != std::string::npos) << wanted << " in " << text;
    found += search.found() ? 1 : 0;
  }
  EXPECT_GT(found, 1'000);
  EXPECT_LT(found, 4'900);
}

TEST(BodyPattern, GivesUpOnWhatWouldTakeForEver) {
  const auto pattern = BodyPattern::compile("^(a+)+$");
  ASSERT_TRUE(pattern);
  EXPECT_TRUE(pattern->matches("aaaa"));
  EXPECT_FALSE(pattern->matches(std::string(40, 'a') + "b"));
}

}  // namespace
}  // namespace dsbench::loadgen
