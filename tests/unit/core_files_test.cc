#include "core/files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace dsbench {
namespace {

namespace fs = std::filesystem;

TEST(WriteFileAtomically, ReplacesTheOldFileAndLeavesNoTemporary) {
  const fs::path dir = fs::temp_directory_path() / "dsbench_core_files_test";
  fs::remove_all(dir);
  fs::create_directories(dir);
  ASSERT_TRUE(write_file_atomically(dir / "a.json", "one"));
  ASSERT_TRUE(write_file_atomically(dir / "a.json", "two"));
  EXPECT_EQ(*read_file(dir / "a.json"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir), fs::directory_iterator{}), 1);
  fs::remove_all(dir);
}

TEST(WriteFileAtomically, SaysWhyItCouldNot) {
  const auto refused = write_file_atomically("/nonexistent-folder/a.json", "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::io);
  EXPECT_EQ(refused.error().message, "cannot write '/nonexistent-folder/a.json': No such file or directory");
}

TEST(ReadFile, SaysWhatIsWrong) {
  EXPECT_EQ(read_file("/nonexistent").error().message,
            "cannot read '/nonexistent': No such file or directory");
  EXPECT_EQ(read_file("/tmp").error().message, "cannot read '/tmp': it is a directory, a file was expected");
}

// It opens, and cannot be read: the world's fault, not ours.
TEST(ReadFile, SaysThatReadingFailed) {
  const auto refused = read_file("/proc/self/mem");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::io);
  EXPECT_EQ(refused.error().message, "cannot read '/proc/self/mem': Input/output error");
}

TEST(ReadFile, ReadsFilesThatTellNoSize) {
  EXPECT_NE(read_file("/proc/self/status").value().find("Name:"), std::string::npos);
}

}  // namespace
}  // namespace dsbench
