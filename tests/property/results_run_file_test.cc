#include "results/run_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/files.h"
#include "tests/fakes/sample_run.h"

namespace dsbench::results {
namespace {

TEST(RunFileProperty, parsing_inverts_printing) {
  Rng rng{21, "run file"};
  for (int i = 0; i < 300; ++i) {
    const std::string text = print_run(random_run(rng));
    const auto parsed = parse_run(text, "test");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message << "\n" << text;
    ASSERT_EQ(print_run(*parsed), text);
  }
}

TEST(RunFile, golden) {
  const auto path = std::filesystem::path{DSBENCH_SOURCE_DIR} / "tests/golden/results/run.json";
  // DSBENCH_UPDATE_GOLDEN=1 writes the file anew, to be read and committed.
  if (std::getenv("DSBENCH_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(write_run(path, sample_run()).has_value());
  }
  const auto golden = read_file(path);
  ASSERT_TRUE(golden.has_value()) << golden.error().message;
  EXPECT_EQ(print_run(sample_run()), *golden) << "a changed key or number format is a change of the schema";
  const auto read = read_run(path);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->seed, 18'446'744'073'709'551'615ULL);
  EXPECT_EQ(read->stages[1].invalid_causes.size(), 1U);
  EXPECT_EQ(read->recovery.time, std::chrono::seconds{12});
  EXPECT_EQ(read->profile_json, sample_run().profile_json);
}

TEST(RunFile, a_newer_major_or_another_schema_is_refused) {
  EXPECT_EQ(parse_run(R"({"schema":"dsbench.run/2"})", "x/run.json").error().message,
            "cannot read 'x/run.json': its schema is 'dsbench.run/2', this dsbench reads up to "
            "'dsbench.run/1'; use a newer dsbench");
  EXPECT_EQ(parse_run(R"({"schema":"dsbench.fleet/1"})", "f.json").error().message,
            "cannot read 'f.json' as a run: its schema is 'dsbench.fleet/1', expected 'dsbench.run/1'");
  EXPECT_EQ(parse_run("{}", "f.json").error().message,
            "cannot read 'f.json' as a run: its schema is 'none', expected 'dsbench.run/1'");
  EXPECT_EQ(parse_run("{\"schema\":", "f.json").error().message,
            "cannot read 'f.json' as a run: it is not JSON (byte 11)");
  EXPECT_EQ(parse_run("[]", "f.json").error().message,
            "cannot read 'f.json' as a run: found a JSON array, expected an object");
}

TEST(RunFile, unknown_keys_are_tolerated_and_wrong_types_are_not) {
  const std::string head = R"({"schema":"dsbench.run/1","verdict":"READY","validity":{"valid":true})";
  const auto run =
      parse_run(head + R"(,"brand_new":{"a":[1]},"knee":{"offered_rps":12.5,"also_new":1}})", "r");
  ASSERT_TRUE(run.has_value()) << run.error().message;
  EXPECT_EQ(run->verdict, Verdict::ready);
  EXPECT_EQ(run->knee.offered, Rate::per_second(12.5));
  EXPECT_FALSE(run->knee.lower.has_value());
  EXPECT_EQ(parse_run(head + R"(,"stages":[{"ttft":{"count":"many"}}]})", "r").error().message,
            "cannot read 'r' as a run: stages[0].ttft.count: expected a whole number in range, found string");
  EXPECT_EQ(parse_run(head + R"(,"collapse":{"verdict":"maybe"}})", "r").error().message,
            "cannot read 'r' as a run: collapse.verdict: expected one of 'collapsed', 'none', 'undecided', "
            "'not_tested', found "
            "string");
  EXPECT_EQ(parse_run(R"({"schema":"dsbench.run/1","verdict":"READY"})", "r").error().message,
            "cannot read 'r' as a run: validity: this key is missing");
  EXPECT_EQ(parse_run(head + R"(,"requests":-1e400})", "r").error().message,
            "cannot read 'r' as a run: it has a number that no double can hold");
}

TEST(RunFile, bytes_that_are_no_utf8_do_not_stop_the_printing) {
  RunSummary run = sample_run();
  run.sentence = "broken \xff\xfe text";
  const auto read = parse_run(print_run(run), "r");
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->sentence, "broken \uFFFD\uFFFD text");
}

}  // namespace
}  // namespace dsbench::results
