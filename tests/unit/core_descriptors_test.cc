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

// The soft limit of descriptors, until the end of a test.
class SoftLimit {
 public:
  explicit SoftLimit(rlim_t most) {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit few = before;
    few.rlim_cur = std::min(before.rlim_max, most);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~SoftLimit() { restore(); }
  void restore() const { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0); }
  rlimit before{};
};

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
  const SoftLimit limit{std::min<rlim_t>(static_cast<rlim_t>(soft_limit()), 700)};
  const std::int64_t before = table_size();
  reserve_descriptors(kLargestTable * 16);
  EXPECT_LE(table_size(), std::max<std::int64_t>(before, 1024));  // the power of two above
  EXPECT_GE(table_size(), soft_limit());
  limit.restore();
  reserve_descriptors(kLargestTable * 16);
  EXPECT_LE(table_size(), std::max(before, kLargestTable));
  reserve_descriptors(0);
  reserve_descriptors(-1);
}

TEST(Descriptors, TheSoftLimitIsRaisedToTheHardOne) {
  const SoftLimit limit{256};
  const std::int64_t now = raise_descriptor_limit();
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, limit.before.rlim_max);
  if (limit.before.rlim_max != RLIM_INFINITY) {
    EXPECT_EQ(now, static_cast<std::int64_t>(limit.before.rlim_max));
  }
}

}  // namespace
}  // namespace dsbench
