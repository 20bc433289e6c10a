#include "results/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "core/files.h"
#include "results/host_facts.h"

namespace dsbench::results {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// A folder to be in, gone afterwards.
class RunDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "dsbench-run-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    before_ = fs::current_path();
    fs::current_path(folder_);
  }
  void TearDown() override {
    fs::current_path(before_);
    std::error_code ec;
    fs::remove_all(folder_, ec);
  }
  fs::path folder_, before_;
};

constexpr Nanos wall{1'795'347'408'123'456'789};  // 2026-11-22T11:36:48Z

TEST_F(RunDirectoryTest, is_created_with_its_parents) {
  const auto run = create_run_directory(fs::path{"a/b/run"}, wall, Bytes{1000});
  ASSERT_TRUE(run.has_value()) << run.error().message;
  EXPECT_TRUE(fs::is_directory("a/b/run"));
  EXPECT_EQ(run->records(), fs::path{"a/b/run/records.sqlite"});
  EXPECT_TRUE(create_run_directory(fs::path{"a/b/run"}, wall, Bytes{1000}).has_value())
      << "an empty one is taken";
}

TEST_F(RunDirectoryTest, has_a_name_of_its_time_when_none_is_wanted) {
  EXPECT_EQ(create_run_directory(std::nullopt, wall, Bytes{0})->path,
            fs::path{"dsbench-run-20261122-113648"});
  EXPECT_EQ(create_run_directory(std::nullopt, wall, Bytes{0})->path,
            fs::path{"dsbench-run-20261122-113648-2"});
}

TEST_F(RunDirectoryTest, is_never_written_over) {
  fs::create_directory("used");
  for (const char* name : {"run.json", "report.html", "a", "b", "c"}) {
    ASSERT_TRUE(write_file_atomically(fs::path{"used"} / name, "x").has_value());
  }
  const auto used = create_run_directory(fs::path{"used"}, wall, Bytes{0});
  ASSERT_FALSE(used.has_value());
  EXPECT_EQ(used.error().kind, ErrorKind::usage);
  EXPECT_EQ(used.error().message,
            "cannot write a run to 'used': found a, b, c and 2 more there, a new or an empty folder is "
            "accepted; a run is never "
            "written over");
  const auto file = create_run_directory(fs::path{"used/a"}, wall, Bytes{0});
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().message,
            "cannot write a run to 'used/a': found a file there, a new or an empty folder is accepted");
  const auto below = create_run_directory(fs::path{"used/a/run"}, wall, Bytes{0});
  ASSERT_FALSE(below.has_value());
  EXPECT_THAT(below.error().message, HasSubstr("used/a/run"));
}

TEST_F(RunDirectoryTest, needs_room) {
  const auto run = create_run_directory(fs::path{"big"}, wall, Bytes{std::int64_t{1} << 60});
  ASSERT_FALSE(run.has_value());
  EXPECT_EQ(run.error().kind, ErrorKind::io);
  EXPECT_THAT(run.error().message, HasSubstr("are free; free some, or write elsewhere with --out"));
}

TEST_F(RunDirectoryTest, is_found_by_folder_or_by_file) {
  ASSERT_TRUE(create_run_directory(fs::path{"run"}, wall, Bytes{0}).has_value());
  EXPECT_EQ(find_run_directory("run").error().message,
            "'run' is no run: it has no run.json; a folder that dsbench rehearse or load wrote is accepted");
  ASSERT_TRUE(write_file_atomically("run/run.json", "{}").has_value());
  EXPECT_EQ(find_run_directory("run")->path, fs::path{"run"});
  EXPECT_EQ(find_run_directory("run/run.json")->path, fs::path{"run"});
  ASSERT_TRUE(create_run_directory(fs::path{"cut"}, wall, Bytes{0}).has_value());
  ASSERT_TRUE(write_file_atomically("cut/records.sqlite", "").has_value());
  EXPECT_EQ(find_run_directory("cut").error().message,
            "the run in 'cut' was cut off before it wrote its run.json; dsbench report cut makes one of what it "
            "recorded, which is in records.sqlite");
  EXPECT_EQ(find_run_directory("nowhere").error().message,
            "cannot find a run at 'nowhere': a run folder or its run.json is accepted");
}

TEST(HostFacts, say_what_bears_on_the_numbers_and_not_who_we_are) {
  const auto facts = describe_host();
  std::string all;
  for (const auto& [key, value] : facts) {
    EXPECT_FALSE(key.empty());
    EXPECT_FALSE(value.empty()) << key;
    all += key + " ";
  }
  for (const char* key : {"cores", "memory_bytes", "kernel", "open_files_limit"})
    EXPECT_THAT(all, HasSubstr(key));
  EXPECT_THAT(all, Not(HasSubstr("host")));
}

}  // namespace
}  // namespace dsbench::results
