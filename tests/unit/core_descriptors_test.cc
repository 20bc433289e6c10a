#include "core/descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace dsbench {
namespace {

// Places in the kernel's table of this process' descriptors.
std::int64_t table_size() {
  std::ifstream status{"/proc/self/status"};
  for (std::string key; status >> key; status.ignore(4096, '\n')) {
    std::int64_t places = 0;
    if (key == "FDSize:" && status >> places) return places;
  }
  return 0;
}

std::int64_t soft_limit() {
  rlimit limit{};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  return limit.rlim_cur == RLIM_INFINITY ? kLargestTable : static_cast<std::int64_t>(limit.rlim_cur);
}

TEST(Descriptors, TheTableIsMadeLargeEnoughBeforehandAndNoDescriptorStaysOpen) {
  const std::int64_t wanted = std::min<std::int64_t>(1000, soft_limit());
  std::thread{[&] { reserve_descriptors(wanted); }}.join();  // of a process with threads
  EXPECT_GE(table_size(), wanted);
  const int before = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(before);
  reserve_descriptors(wanted);
  const int after = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(after);
  EXPECT_EQ(before, after);
}

TEST(Descriptors, NeitherMoreThanTheLimitNorMoreThanTheLargestTableIsReserved) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit few = limit;
  few.rlim_cur = std::min<rlim_t>(limit.rlim_cur, 700);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::int64_t before = table_size();
  reserve_descriptors(kLargestTable * 16);
  EXPECT_LE(table_size(), std::max<std::int64_t>(before, 1024));  // the power of two above
  EXPECT_GE(table_size(), static_cast<std::int64_t>(few.rlim_cur));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  reserve_descriptors(kLargestTable * 16);
  EXPECT_LE(table_size(), std::max(before, kLargestTable));
  reserve_descriptors(0);
  reserve_descriptors(-1);
}

TEST(Descriptors, TheSoftLimitIsRaisedToTheHardOne) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit few = limit;
  few.rlim_cur = std::min<rlim_t>(limit.rlim_max, 256);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::int64_t now = raise_descriptor_limit();
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, limit.rlim_max);
  if (limit.rlim_max != RLIM_INFINITY) {
    EXPECT_EQ(now, static_cast<std::int64_t>(limit.rlim_max));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

}  // namespace
}  // namespace dsbench
