#include "profiles/json_object.h"

#include <gtest/gtest.h>

#include "profiles/catalog.h"

namespace dsbench::profiles {
namespace {

TEST(JsonObject, ReadsWhatIsThere) {
  auto root = JsonObject::parse(
      R"({"schema": "dsbench.slo/1", "ttft": "1s", "n": 3, "parts": [{"rate": "5/s"}]})", "x.json");
  ASSERT_TRUE(root);
  root->schema("slo", 1);
  EXPECT_EQ(root->duration("ttft"), Nanos{1'000'000'000});
  EXPECT_EQ(root->integer("n"), 3);
  int parts = 0;
  root->each("parts", [&](JsonObject& part) {
    ++parts;
    EXPECT_EQ(part.rate("rate"), 5_rps);
  });
  EXPECT_EQ(parts, 1);
  EXPECT_TRUE(root->finish());
}

TEST(JsonObject, SaysEverythingThatIsWrongAtOnce) {
  auto root = JsonObject::parse(
      R"({"schema": "dsbench.slo/9", "ttfd": "1s", "n": "many", "parts": [{"rate": 5}]})", "x.json");
  ASSERT_TRUE(root);
  root->schema("slo", 1);
  (void)root->duration("ttft");
  (void)root->integer("n");
  (void)root->choice("law", {"poisson", "gamma"});
  root->each("parts", [&](JsonObject& part) { (void)part.rate("rate"); });
  const auto verdict = root->finish();
  ASSERT_FALSE(verdict);
  EXPECT_EQ(
      verdict.error().message,
      "x.json: schema: found 'dsbench.slo/9'; this dsbench reads dsbench.slo/1 to dsbench.slo/1\n"
      "x.json: ttft: required, but missing\n"
      "x.json: n: expected a whole number, found the string \"many\"\n"
      "x.json: law: required, but missing\n"
      "x.json: parts[0].rate: '5' is not a rate; write a number with its unit, as in 12.5/s, 300/m or 40/h\n"
      "x.json: unknown key 'ttfd'; did you mean 'ttft'?");
}

TEST(JsonObject, NamesTheLineOfASyntaxError) {
  const auto root = JsonObject::parse("{\n\"a\": 1,\n\"b\" 2}", "x.json");
  ASSERT_FALSE(root);
  EXPECT_TRUE(root.error().message.starts_with("x.json: line 3: not valid JSON")) << root.error().message;
}

TEST(Catalog, RefusesAnUnknownName) {
  const auto missing = find_profile("model", "no-such-thing-at-all");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().message.starts_with("no model profile 'no-such-thing-at-all'; shipped: "));
}

}  // namespace
}  // namespace dsbench::profiles
