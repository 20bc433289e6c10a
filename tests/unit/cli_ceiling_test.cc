#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "cli/ceiling.h"
#include "core/files.h"

namespace dsbench::cli {
namespace {

using testing::HasSubstr;

Ceiling sample() {
  Ceiling c;
  c.measured_at = "2026-11-22T11:36:48Z";
  c.dsbench_version = "0.1.0";
  c.dsbench_commit = "abc";
  c.cpu_model = "Some CPU";
  c.cores = 4;
  c.threads = 1;
  c.requests = Rate::per_second(50'000);
  c.events = Rate::per_second(150'000.5);
  c.packed_events = Rate::per_second(1'200'000);
  c.streams = 8000;
  c.lag_rate = Rate::per_second(10'000);
  c.send_lag_p50 = Nanos{12'000};
  c.send_lag_p99 = Nanos{300'000};
  c.platform_jitter_p99 = Nanos{250'000};
  c.requests_limited_by = "generator";
  return c;
}

CeilingLoad load(double requests, double events, std::int64_t streams) {
  return {"Some CPU", 4, 1, Rate::per_second(requests), Rate::per_second(events), streams};
}

TEST(Ceiling, ComesBackAsItWasWritten) {
  const auto again = parse_ceiling(print_ceiling(sample()));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(print_ceiling(*again), print_ceiling(sample()));
  EXPECT_EQ(again->events, sample().events);
  EXPECT_EQ(again->send_lag_p99, sample().send_lag_p99);
}

TEST(Ceiling, ThatCannotBeReadIsRefusedAndToAReaderThereIsNone) {
  for (const char* bad :
       {"", "{", "[]", "{}", R"({"schema":"dsbench.ceiling/2"})", R"({"schema":"dsbench.ceiling/1"})",
        R"({"schema":"dsbench.ceiling/1","measured_at":3})"}) {
    EXPECT_FALSE(parse_ceiling(bad)) << bad;
  }
  EXPECT_THAT(parse_ceiling(R"({"schema":"dsbench.ceiling/2"})").error().message,
              HasSubstr("accepted is \"dsbench.ceiling/1\""));
  EXPECT_FALSE(read_ceiling("/nowhere/at/all.json"));
  EXPECT_FALSE(read_ceiling(""));
}

TEST(Ceiling, LiesWhereTheCacheIs) {
  ::setenv("XDG_CACHE_HOME", "/some/cache", 1);
  EXPECT_EQ(ceiling_path(), "/some/cache/dsbench/ceiling.json");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::setenv("HOME", "/home/x", 1);
  EXPECT_EQ(ceiling_path(), "/home/x/.cache/dsbench/ceiling.json");
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(ceiling_path(), "");
  EXPECT_FALSE(write_ceiling(ceiling_path(), sample()));
  const auto folder = std::filesystem::temp_directory_path() / "dsbench-cli-ceiling-test";
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(write_ceiling(folder / "a/b.json", sample()));
  ASSERT_TRUE(read_ceiling(folder / "a/b.json"));
  EXPECT_EQ(read_ceiling(folder / "a/b.json")->streams, 8000);
  std::filesystem::remove_all(folder);
}

TEST(Ceiling, ARunBeyondFourFifthsOfItIsToldTheWorst) {
  EXPECT_FALSE(beyond_ceiling(sample(), load(40'000, 120'000, 6400)));
  const auto said = beyond_ceiling(sample(), load(41'000, 20'000, 7900));
  ASSERT_TRUE(said);
  EXPECT_THAT(*said, HasSubstr("7900 concurrent streams, 99 % of the 8000"));
  EXPECT_THAT(*said, HasSubstr("use more --threads or more hosts"));
  EXPECT_TRUE(beyond_ceiling(sample(), load(41'000, 0, 0)));
  EXPECT_TRUE(beyond_ceiling(sample(), load(0, 121'000, 0)));
}

TEST(Ceiling, OfAnotherMachineSaysNothingAndThreadsScaleIt) {
  CeilingLoad other = load(49'000, 0, 0);
  other.cpu_model = "Other CPU";
  EXPECT_FALSE(beyond_ceiling(sample(), other));
  CeilingLoad more = load(49'000, 0, 0);
  more.threads = 2;
  EXPECT_FALSE(beyond_ceiling(sample(), more));
  more.requests = Rate::per_second(170'000);
  more.threads = 64;  // on four cores: as four
  EXPECT_TRUE(beyond_ceiling(sample(), more));
  more.requests = Rate::per_second(150'000);
  EXPECT_FALSE(beyond_ceiling(sample(), more));
}

}  // namespace
}  // namespace dsbench::cli
