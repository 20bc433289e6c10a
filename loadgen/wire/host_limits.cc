#include "loadgen/wire/host_limits.h"

#include <dirent.h>
#include <sched.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <thread>

#include "core/files.h"

namespace dsbench::loadgen {

std::int64_t open_descriptors() {
  struct Close {
    void operator()(DIR* d) const noexcept { (void)::closedir(d); }
  };
  const std::unique_ptr<DIR, Close> folder{::opendir("/proc/self/fd")};
  if (!folder) return 0;
  std::int64_t count = 0;
  while (const dirent* const entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count - 1;  // the folder's own
}

std::int64_t ephemeral_ports() {
  constexpr std::int64_t linux_default = 60999 - 32768 + 1;
  const auto text = read_file("/proc/sys/net/ipv4/ip_local_port_range");
  if (!text) return linux_default;
  std::istringstream in{*text};
  std::int64_t low = 0, high = 0;
  if (!(in >> low >> high) || high < low) return linux_default;
  return high - low + 1;
}

std::int32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<std::int32_t>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace dsbench::loadgen
