#include "loadgen/wire/host_checks.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>

#include "core/clock.h"
#include "core/files.h"
#include "core/text.h"
#include "loadgen/wire/host_limits.h"
#include "loadgen/wire/issuer.h"

namespace dsbench::loadgen {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;

HostCheck make(std::string name, std::string wanted, std::string why) {
  HostCheck c;
  c.name = std::move(name);
  c.wanted = std::move(wanted);
  c.why = std::move(why);
  return c;
}

HostCheck& judge(HostCheck& c, CheckState state, std::string found, std::string fix = "") {
  c.state = state;
  c.found = std::move(found);
  if (state != CheckState::ok) c.fix = std::move(fix);
  return c;
}

HostCheck& not_there(HostCheck& c, std::string_view file) {
  return judge(c, CheckState::unknown, fmt::format("{} does not tell", file));
}

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

std::optional<std::int64_t> number(std::string_view text) {
  const std::string t = trimmed(text);
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), n);
  if (error != std::errc{} || end != t.data() + t.size()) return std::nullopt;
  return n;
}

// "SwapTotal:        1024 kB" → bytes.
std::optional<std::int64_t> meminfo_bytes(std::string_view meminfo, std::string_view key) {
  std::istringstream in{std::string(meminfo)};
  std::string name, unit;
  std::int64_t n = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words{line};
    if (words >> name >> n && name == fmt::format("{}:", key)) return n * 1024;
  }
  return std::nullopt;
}

std::string limit_words(std::int64_t n) {
  return n == std::numeric_limits<std::int64_t>::max() ? "unlimited" : std::to_string(n);
}

Text text_of(const std::string& path) {
  auto text = read_file(path);
  if (!text) return std::nullopt;
  return std::move(*text);
}

std::vector<std::string> texts_of(const std::vector<std::string>& folders, std::string_view file) {
  std::vector<std::string> texts;
  for (const std::string& folder : folders) {
    if (Text text = text_of(fmt::format("/sys/fs/cgroup{}/{}", folder, file)))
      texts.push_back(trimmed(*text));
  }
  return texts;
}

}  // namespace

std::string_view to_word(CheckState state) {
  switch (state) {
    case CheckState::ok:
      return "ok";
    case CheckState::unknown:
      return "unknown";
    case CheckState::warning:
      return "warning";
    case CheckState::bad:
      break;
  }
  return "bad";
}

HostCheck check_descriptors(std::int64_t soft, std::int64_t hard) {
  constexpr std::int64_t wanted = 65'536, least = 1024;
  HostCheck c =
      make("descriptors", fmt::format("a hard limit of at least {}", wanted),
           "each open stream is a descriptor; a request that gets none fails here and not at the target");
  return judge(
      c,
      hard >= wanted  ? CheckState::ok
      : hard >= least ? CheckState::warning
                      : CheckState::bad,
      fmt::format("soft {}, hard {} (the soft one is raised for each run)", limit_words(soft),
                  limit_words(hard)),
      "raise 'nofile' in /etc/security/limits.conf, LimitNOFILE= of the unit, or --ulimit nofile= of the "
      "container");
}

HostCheck check_ports(const Text& range) {
  constexpr std::int64_t wanted = 28'000, least = 1024;
  HostCheck c =
      make("ephemeral ports", fmt::format("at least {}", wanted),
           "each connection to one address of a target takes one; without a free one connecting fails");
  if (!range) return not_there(c, "/proc/sys/net/ipv4/ip_local_port_range");
  std::istringstream in{*range};
  std::int64_t low = 0, high = 0;
  if (!(in >> low >> high) || high < low) return not_there(c, "/proc/sys/net/ipv4/ip_local_port_range");
  const std::int64_t n = high - low + 1;
  return judge(c,
               n >= wanted  ? CheckState::ok
               : n >= least ? CheckState::warning
                            : CheckState::bad,
               fmt::format("{} ({} to {})", n, low, high),
               "sysctl -w net.ipv4.ip_local_port_range='1024 65535'");
}

HostCheck check_time_wait(const Text& reuse) {
  HostCheck c = make("TIME_WAIT reuse", "1, or 2 where the target is on this machine",
                     "a closed connection keeps its port for 60 s; at 500 new connections a second without "
                     "keep-alive the ports run out");
  const auto n = reuse ? number(*reuse) : std::nullopt;
  if (!n) return not_there(c, "/proc/sys/net/ipv4/tcp_tw_reuse");
  return judge(c, *n == 0 ? CheckState::warning : CheckState::ok,
               fmt::format("{}{}", *n,
                           *n == 0   ? " (never)"
                           : *n == 2 ? " (loopback only)"
                                     : ""),
               "sysctl -w net.ipv4.tcp_tw_reuse=1");
}

HostCheck check_backlog(const Text& somaxconn) {
  constexpr std::int64_t wanted = 4096;
  HostCheck c =
      make("accept queue", fmt::format("net.core.somaxconn of at least {}", wanted),
           "it bounds the connections that wait to be accepted by a server on this machine; beyond it a "
           "burst waits a second for TCP to try again");
  const auto n = somaxconn ? number(*somaxconn) : std::nullopt;
  if (!n) return not_there(c, "/proc/sys/net/core/somaxconn");
  return judge(c, *n >= wanted ? CheckState::ok : CheckState::warning, std::to_string(*n),
               fmt::format("sysctl -w net.core.somaxconn={}", wanted));
}

HostCheck check_governor(const std::vector<std::string>& governors) {
  HostCheck c = make("CPU governor", "performance on every core",
                     "a core that has clocked down answers late, and more so at low rates than at high ones");
  if (governors.empty()) return judge(c, CheckState::unknown, "no cpufreq, as in most virtual machines");
  std::vector<std::string_view> kinds;
  bool all = true;
  for (const std::string& g : governors) {
    all = all && g == "performance";
    if (std::find(kinds.begin(), kinds.end(), g) == kinds.end()) kinds.push_back(g);
  }
  return judge(c, all ? CheckState::ok : CheckState::warning,
               fmt::format("{} on {} cores", join(kinds), governors.size()),
               "cpupower frequency-set -g performance");
}

HostCheck check_clock_source(const Text& source) {
  HostCheck c =
      make("clock source", "one that is read without a system call: tsc, kvm-clock, hyperv, arch_sys_counter",
           "every stamp reads it, several times a token");
  const std::string name = source ? trimmed(*source) : "";
  if (name.empty()) return not_there(c, "/sys/devices/system/clocksource");
  const auto starts = [&](std::string_view word) { return name.starts_with(word); };
  const bool fast = starts("tsc") || starts("kvm-clock") || starts("hyperv") || starts("arch_sys_counter") ||
                    starts("timebase") || starts("tod");
  const bool slow =
      starts("hpet") || starts("acpi_pm") || starts("jiffies") || starts("pit") || starts("refined");
  return judge(
      c,
      fast   ? CheckState::ok
      : slow ? CheckState::bad
             : CheckState::warning,
      name,
      "choose one of /sys/devices/system/clocksource/clocksource0/available_clocksource; if tsc is not among "
      "them, the machine took it for unstable (dmesg | grep -i tsc)");
}

HostCheck check_timer_lag(Nanos p50, Nanos p99) {
  constexpr Nanos good_p50{100'000}, good_p99{1'000'000}, bad_p99{20'000'000};
  HostCheck c =
      make("timer lag", "p50 below 100 µs, p99 below 1 ms",
           "how late a thread that only sleeps wakes up: no request can leave more punctually than that");
  const CheckState state = p99 >= bad_p99                       ? CheckState::bad
                           : p99 >= good_p99 || p50 >= good_p50 ? CheckState::warning
                                                                : CheckState::ok;
  return judge(
      c, state, fmt::format("p50 {}, p99 {}", format_duration(p50), format_duration(p99)),
      "stop what else runs on this machine; give the generator cores of its own (taskset, cpuset); a "
      "virtual machine needs a host that is not overcommitted");
}

HostCheck check_cgroup_cpu(const std::vector<std::string>& cpu_max, std::int32_t cores) {
  HostCheck c =
      make("cgroup CPU", "no quota below the cores that may be used",
           "whoever has used up a quota stands still for the rest of each 100 ms, and the lag looks like the "
           "target's");
  if (cpu_max.empty()) return not_there(c, "cpu.max");
  double least = std::numeric_limits<double>::infinity();
  for (const std::string& text : cpu_max) {
    std::istringstream in{text};
    double quota = 0, period = 0;
    if (in >> quota >> period && period > 0) least = std::min(least, quota / period);  // "max" is no number
  }
  if (least == std::numeric_limits<double>::infinity()) return judge(c, CheckState::ok, "no quota");
  return judge(c,
               least >= cores ? CheckState::ok
               : least >= 1   ? CheckState::warning
                              : CheckState::bad,
               fmt::format("{:.2f} cores' worth on {} cores", least, cores),
               "raise --cpus of the container or CPUQuota= of the unit; for whole cores use a cpuset");
}

HostCheck check_cgroup_memory(const std::vector<std::string>& memory_max) {
  constexpr std::int64_t wanted = 1024 * mebibyte, least = 256 * mebibyte;
  HostCheck c =
      make("cgroup memory", "at least 1 GiB",
           "a process that reaches its limit is stopped to reclaim memory, or killed in the middle of a run");
  if (memory_max.empty()) return not_there(c, "memory.max");
  std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
  for (const std::string& text : memory_max) {
    if (const auto n = number(text)) smallest = std::min(smallest, *n);
  }
  if (smallest == std::numeric_limits<std::int64_t>::max()) return judge(c, CheckState::ok, "no limit");
  return judge(c,
               smallest >= wanted  ? CheckState::ok
               : smallest >= least ? CheckState::warning
                                   : CheckState::bad,
               format_bytes(Bytes{smallest}), "raise --memory of the container or MemoryMax= of the unit");
}

HostCheck check_huge_pages(const Text& enabled) {
  HostCheck c = make(
      "transparent huge pages", "madvise or never",
      "with 'always' the kernel gathers huge pages while we allocate, and may stall us for milliseconds");
  const auto open = enabled ? enabled->find('[') : std::string::npos;
  const auto shut = enabled ? enabled->find(']') : std::string::npos;
  if (open == std::string::npos || shut == std::string::npos || shut < open)
    return not_there(c, "/sys/kernel/mm/transparent_hugepage/enabled");
  const std::string mode = enabled->substr(open + 1, shut - open - 1);
  return judge(c, mode == "always" ? CheckState::warning : CheckState::ok, mode,
               "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

HostCheck check_cores(std::int32_t usable, const Text& smt_active) {
  HostCheck c = make(
      "cores", "at least 2, one of them for the generator alone",
      "on a single core the generator waits for whatever else runs, the target on the same machine first");
  const bool smt = smt_active && trimmed(*smt_active) == "1";
  return judge(c, usable >= 2 ? CheckState::ok : CheckState::warning,
               fmt::format("{} usable{}", usable, smt ? ", two hardware threads to a core" : ""),
               "run on a machine, in a container or with a CPU affinity that has more");
}

HostCheck check_swap(const Text& meminfo) {
  HostCheck c =
      make("swap", "none in use", "a page that must come back from disk stops a thread for milliseconds");
  const auto total = meminfo ? meminfo_bytes(*meminfo, "SwapTotal") : std::nullopt;
  const auto unused = meminfo ? meminfo_bytes(*meminfo, "SwapFree") : std::nullopt;
  if (!total || !unused) return not_there(c, "/proc/meminfo");
  const std::int64_t used = *total - *unused;
  const std::string found =
      *total == 0 ? "no swap"
                  : fmt::format("{} of {} in use", format_bytes(Bytes{used}), format_bytes(Bytes{*total}));
  return judge(c, used > 64 * mebibyte ? CheckState::warning : CheckState::ok, found,
               "swapoff -a, or free memory before measuring");
}

HostCheck check_memory(const Text& meminfo) {
  HostCheck c =
      make("memory", "at least 512 MiB available", "a run of many streams needs tens of kilobytes for each");
  const auto available = meminfo ? meminfo_bytes(*meminfo, "MemAvailable") : std::nullopt;
  if (!available) return not_there(c, "/proc/meminfo");
  return judge(c, *available >= 512 * mebibyte ? CheckState::ok : CheckState::warning,
               fmt::format("{} available", format_bytes(Bytes{*available})), "stop what else holds memory");
}

HostCheck check_steal(const Text& before, const Text& after) {
  HostCheck c =
      make("stolen time", "below 1 % of the processor time",
           "while the hypervisor runs somebody else on our core, we stand still and cannot know it");
  struct Sums {
    std::int64_t all = 0, stolen = 0;
  };
  const auto sums = [](const Text& text) -> std::optional<Sums> {
    if (!text) return std::nullopt;
    std::istringstream in{*text};
    std::string word;
    if (!(in >> word) || word != "cpu") return std::nullopt;
    Sums s;
    std::int64_t n = 0;
    for (int column = 0; column < 8; ++column) {  // the guests' time after these is in user and nice already
      if (!(in >> n)) return std::nullopt;
      s.all += n;
      if (column == 7) s.stolen = n;
    }
    return s;
  };
  const auto a = sums(before), b = sums(after);
  if (!a || !b || b->all <= a->all) return not_there(c, "/proc/stat");
  const double share = static_cast<double>(b->stolen - a->stolen) / static_cast<double>(b->all - a->all);
  return judge(c,
               share < 0.01   ? CheckState::ok
               : share < 0.10 ? CheckState::warning
                              : CheckState::bad,
               fmt::format("{:.1f} %", 100 * share),
               "a dedicated host, or an instance with cores of its own");
}

HostCheck check_load(const Text& loadavg, std::int32_t cores) {
  HostCheck c = make("other work", "a load average well below the number of cores",
                     "what else runs takes the processor from the generator when a request is due");
  double load = 0;
  std::istringstream in{loadavg.value_or("")};
  if (!(in >> load)) return not_there(c, "/proc/loadavg");
  return judge(c, load <= 0.5 * cores ? CheckState::ok : CheckState::warning,
               fmt::format("load {:.2f} over the last minute, {} cores", load, cores),
               "stop it for the time of the run (top shows what it is)");
}

std::vector<std::string> cgroup_paths(std::string_view proc_self_cgroup) {
  std::vector<std::string> paths;
  std::istringstream in{std::string(proc_self_cgroup)};
  for (std::string line; std::getline(in, line);) {
    constexpr std::string_view unified = "0::";
    if (!line.starts_with(unified)) continue;
    std::string path = trimmed(line.substr(unified.size()));
    while (path.size() > 1) {
      paths.push_back(path);
      path.resize(path.rfind('/'));
    }
    paths.emplace_back();
  }
  return paths;
}

std::vector<HostCheck> check_host() {
  ask_for_exact_wakeups();
  SteadyClock clock;
  const Text stat_before = text_of("/proc/stat");
  std::vector<Nanos> lags;
  constexpr int sleeps = 700;  // a p99 needs 662
  lags.reserve(sleeps);
  for (int i = 0; i < sleeps; ++i) {
    const Nanos deadline = clock.now() + Nanos{1'000'000};
    clock.sleep_until(deadline);
    lags.push_back(clock.now() - deadline);
  }
  const Text stat_after = text_of("/proc/stat");
  std::sort(lags.begin(), lags.end());

  rlimit limit{};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  const auto as_number = [](rlim_t n) {
    return n == RLIM_INFINITY ? std::numeric_limits<std::int64_t>::max() : static_cast<std::int64_t>(n);
  };
  const std::int32_t cores = usable_cores();
  const std::vector<std::string> groups = cgroup_paths(text_of("/proc/self/cgroup").value_or(""));
  std::vector<std::string> governors;
  for (int cpu = 0; cpu < 4096; ++cpu) {
    const Text governor = text_of(fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor", cpu));
    if (!governor) break;
    governors.push_back(trimmed(*governor));
  }
  const Text meminfo = text_of("/proc/meminfo");
  return {check_descriptors(as_number(limit.rlim_cur), as_number(limit.rlim_max)),
          check_ports(text_of("/proc/sys/net/ipv4/ip_local_port_range")),
          check_time_wait(text_of("/proc/sys/net/ipv4/tcp_tw_reuse")),
          check_backlog(text_of("/proc/sys/net/core/somaxconn")),
          check_cores(cores, text_of("/sys/devices/system/cpu/smt/active")),
          check_governor(governors),
          check_clock_source(text_of("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
          check_timer_lag(lags[sleeps / 2], lags[sleeps * 99 / 100]),
          check_steal(stat_before, stat_after),
          check_load(text_of("/proc/loadavg"), cores),
          check_cgroup_cpu(texts_of(groups, "cpu.max"), cores),
          check_cgroup_memory(texts_of(groups, "memory.max")),
          check_memory(meminfo),
          check_swap(meminfo),
          check_huge_pages(text_of("/sys/kernel/mm/transparent_hugepage/enabled"))};
}

CheckState worst_of(const std::vector<HostCheck>& checks) {
  CheckState worst = CheckState::ok;
  for (const HostCheck& c : checks) {
    if (c.state == CheckState::warning || c.state == CheckState::bad) worst = std::max(worst, c.state);
  }
  return worst;
}

}  // namespace dsbench::loadgen
