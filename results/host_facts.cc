#include "results/host_facts.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string_view>

namespace dsbench::results {
namespace {

std::optional<std::string> first_line(const char* path) {
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line) || line.empty()) return std::nullopt;
  for (char& c : line) {
    if (c == '\t') c = ' ';
  }
  return line;
}

// The value of the first line "key : value".
std::optional<std::string> field(const char* path, std::string_view key) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_host() {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto add = [&facts](const char* key, std::optional<std::string> value) {
    if (value) facts.emplace_back(key, std::move(*value));
  };
  add("cpu_model", field("/proc/cpuinfo", "model name"));
  // The cores we may run on, not those the machine has.
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) add("cores", std::to_string(CPU_COUNT(&cpus)));
  const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_bytes > 0)
    add("memory_bytes", std::to_string(static_cast<long long>(pages) * page_bytes));
  utsname system{};
  if (uname(&system) == 0) {
    add("kernel", std::string{system.sysname} + " " + system.release + " " + system.machine);  // not nodename
  }
  add("clock_source", first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
  add("cpu_governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    add("open_files_limit", files.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(files.rlim_cur));
  }
  add("local_ports", first_line("/proc/sys/net/ipv4/ip_local_port_range"));
  add("cgroup_cpu_max", first_line("/sys/fs/cgroup/cpu.max"));
  add("cgroup_memory_max", first_line("/sys/fs/cgroup/memory.max"));
  return facts;
}

}  // namespace dsbench::results
