#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"

// What on this machine would spoil a measurement. Each check is a pure function of the text of a file of
// /proc or /sys (nothing when there is no such file: `unknown`, which is no fault) or of what was measured.
namespace dsbench::loadgen {

enum class CheckState : std::uint8_t { ok, unknown, warning, bad };
[[nodiscard]] std::string_view to_word(CheckState state);

struct HostCheck {
  std::string name;
  CheckState state = CheckState::ok;
  std::string found, wanted;
  std::string why;  // it matters
  std::string fix;  // empty when there is nothing to do
};

using Text = std::optional<std::string>;

// `hard` is what counts: we raise the soft limit to it ourselves.
[[nodiscard]] HostCheck check_descriptors(std::int64_t soft, std::int64_t hard);
[[nodiscard]] HostCheck check_ports(const Text& ip_local_port_range);
[[nodiscard]] HostCheck check_time_wait(const Text& tcp_tw_reuse);
[[nodiscard]] HostCheck check_backlog(const Text& somaxconn);
// One governor a core, as they were read.
[[nodiscard]] HostCheck check_governor(const std::vector<std::string>& governors);
[[nodiscard]] HostCheck check_clock_source(const Text& current_clocksource);
// How late a sleep of 1 ms ended.
[[nodiscard]] HostCheck check_timer_lag(Nanos p50, Nanos p99);
// cpu.max of the process' cgroup and of those above it ("max 100000", "150000 100000").
[[nodiscard]] HostCheck check_cgroup_cpu(const std::vector<std::string>& cpu_max, std::int32_t cores);
[[nodiscard]] HostCheck check_cgroup_memory(const std::vector<std::string>& memory_max);
[[nodiscard]] HostCheck check_huge_pages(const Text& transparent_hugepage_enabled);
[[nodiscard]] HostCheck check_cores(std::int32_t usable, const Text& smt_active);
[[nodiscard]] HostCheck check_swap(const Text& meminfo);
[[nodiscard]] HostCheck check_memory(const Text& meminfo);
// The first lines of /proc/stat, before and after a while.
[[nodiscard]] HostCheck check_steal(const Text& stat_before, const Text& stat_after);
[[nodiscard]] HostCheck check_load(const Text& loadavg, std::int32_t cores);

// The paths below /sys/fs/cgroup that bound this process, its own first: from /proc/self/cgroup ("0::/a/b"
// gives
// "/a/b", "/a", ""). Empty without a unified hierarchy.
[[nodiscard]] std::vector<std::string> cgroup_paths(std::string_view proc_self_cgroup);

// All of them, on this machine; takes about a second, in which it sleeps.
[[nodiscard]] std::vector<HostCheck> check_host();

// The worst; `unknown` counts as ok.
[[nodiscard]] CheckState worst_of(const std::vector<HostCheck>& checks);

}  // namespace dsbench::loadgen
