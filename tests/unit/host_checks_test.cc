#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "loadgen/wire/host_checks.h"

namespace dsbench::loadgen {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using State = CheckState;

TEST(HostChecks, Descriptors) {
  EXPECT_EQ(check_descriptors(1024, 1'048'576).state, State::ok);
  const HostCheck few = check_descriptors(1024, 4096);
  EXPECT_EQ(few.state, State::warning);
  EXPECT_EQ(few.found, "soft 1024, hard 4096 (the soft one is raised for each run)");
  EXPECT_EQ(few.wanted, "a hard limit of at least 65536");
  EXPECT_THAT(few.fix, HasSubstr("LimitNOFILE="));
  EXPECT_EQ(check_descriptors(256, 256).state, State::bad);
  EXPECT_THAT(check_descriptors(1024, std::numeric_limits<std::int64_t>::max()).found,
              HasSubstr("hard unlimited"));
}

TEST(HostChecks, PortsAndTimeWait) {
  EXPECT_EQ(check_ports("32768\t60999\n").state, State::ok);
  EXPECT_EQ(check_ports("32768\t60999\n").found, "28232 (32768 to 60999)");
  EXPECT_EQ(check_ports("40000 45000").state, State::warning);
  EXPECT_EQ(check_ports("40000 40100").state, State::bad);
  for (const Text& bad : {Text{}, Text{""}, Text{"x y"}, Text{"9 3"}})
    EXPECT_EQ(check_ports(bad).state, State::unknown);
  EXPECT_EQ(check_time_wait("1\n").state, State::ok);
  EXPECT_EQ(check_time_wait("2\n").found, "2 (loopback only)");
  EXPECT_EQ(check_time_wait("0\n").state, State::warning);
  EXPECT_EQ(check_time_wait(std::nullopt).state, State::unknown);
  EXPECT_EQ(check_backlog("4096\n").state, State::ok);
  EXPECT_EQ(check_backlog("128\n").fix, "sysctl -w net.core.somaxconn=4096");
  EXPECT_EQ(check_backlog("many").state, State::unknown);
}

TEST(HostChecks, GovernorClockAndTimer) {
  EXPECT_EQ(check_governor({}).state, State::unknown);
  EXPECT_EQ(check_governor({"performance", "performance"}).state, State::ok);
  const HostCheck mixed = check_governor({"performance", "powersave", "powersave"});
  EXPECT_EQ(mixed.state, State::warning);
  EXPECT_EQ(mixed.found, "performance, powersave on 3 cores");
  EXPECT_EQ(check_clock_source("tsc\n").state, State::ok);
  EXPECT_EQ(check_clock_source("hyperv_clocksource_tsc_page\n").state, State::ok);
  EXPECT_EQ(check_clock_source("xen\n").state, State::warning);
  EXPECT_EQ(check_clock_source("hpet\n").state, State::bad);
  EXPECT_EQ(check_clock_source(std::nullopt).state, State::unknown);
  using std::chrono::microseconds;
  EXPECT_EQ(check_timer_lag(microseconds{55}, microseconds{300}).state, State::ok);
  EXPECT_EQ(check_timer_lag(microseconds{200}, microseconds{300}).state, State::warning);
  EXPECT_EQ(check_timer_lag(microseconds{55}, microseconds{3000}).state, State::warning);
  EXPECT_EQ(check_timer_lag(microseconds{55}, microseconds{20'000}).state, State::bad);
}

TEST(HostChecks, TheTightestCgroupCounts) {
  EXPECT_THAT(cgroup_paths("12:cpu:/x\n0::/user.slice/app\n"),
              ElementsAre("/user.slice/app", "/user.slice", ""));
  EXPECT_THAT(cgroup_paths("0::/\n"), ElementsAre(""));
  EXPECT_THAT(cgroup_paths("12:cpu:/x\n"), IsEmpty());
  EXPECT_THAT(cgroup_paths(""), IsEmpty());
  EXPECT_EQ(check_cgroup_cpu({}, 4).state, State::unknown);
  EXPECT_EQ(check_cgroup_cpu({"max 100000"}, 4).found, "no quota");
  EXPECT_EQ(check_cgroup_cpu({"max 100000", "150000 100000", "800000 100000"}, 4).found,
            "1.50 cores' worth on 4 cores");
  EXPECT_EQ(check_cgroup_cpu({"150000 100000"}, 4).state, State::warning);
  EXPECT_EQ(check_cgroup_cpu({"400000 100000"}, 4).state, State::ok);
  EXPECT_EQ(check_cgroup_cpu({"50000 100000"}, 4).state, State::bad);
  EXPECT_EQ(check_cgroup_memory({}).state, State::unknown);
  EXPECT_EQ(check_cgroup_memory({"max"}).state, State::ok);
  EXPECT_EQ(check_cgroup_memory({"max", "536870912"}).state, State::warning);
  EXPECT_EQ(check_cgroup_memory({"536870912"}).found, "512 MiB");
  EXPECT_EQ(check_cgroup_memory({"134217728"}).state, State::bad);
}

TEST(HostChecks, MemoryAndCores) {
  constexpr const char* meminfo =
      "MemTotal:       16000000 kB\nMemFree:          100 kB\nMemAvailable:    400000 kB\nSwapTotal:       "
      "2097152 kB\n"
      "SwapFree:        1048576 kB\n";
  EXPECT_EQ(check_swap(meminfo).state, State::warning);
  EXPECT_EQ(check_swap(meminfo).found, "1.00 GiB of 2.00 GiB in use");
  EXPECT_EQ(check_swap("SwapTotal: 0 kB\nSwapFree: 0 kB\n").found, "no swap");
  EXPECT_EQ(check_swap("nothing").state, State::unknown);
  EXPECT_EQ(check_memory(meminfo).state, State::warning);
  EXPECT_EQ(check_memory("MemAvailable: 4000000 kB\n").state, State::ok);
  EXPECT_EQ(check_memory(std::nullopt).state, State::unknown);
  EXPECT_EQ(check_huge_pages("always [madvise] never\n").found, "madvise");
  EXPECT_EQ(check_huge_pages("[always] madvise never\n").state, State::warning);
  EXPECT_EQ(check_huge_pages("] [").state, State::unknown);
  EXPECT_EQ(check_cores(1, std::nullopt).state, State::warning);
  EXPECT_EQ(check_cores(8, "1\n").found, "8 usable, two hardware threads to a core");
}

TEST(HostChecks, StolenTimeIsAShareOfTheTimeBetween) {
  constexpr const char* before = "cpu  100 0 100 800 0 0 0 10 5 5\ncpu0 1 2 3\n";
  EXPECT_EQ(check_steal(before, "cpu  150 0 150 899 0 0 0 11 5 5\n").state, State::ok);
  EXPECT_EQ(check_steal(before, "cpu  150 0 150 890 0 0 0 20 5 5\n").found, "5.0 %");
  EXPECT_EQ(check_steal(before, "cpu  150 0 150 890 0 0 0 20 5 5\n").state, State::warning);
  EXPECT_EQ(check_steal(before, "cpu  150 0 150 860 0 0 0 50 5 5\n").state, State::bad);
  EXPECT_EQ(check_steal(before, before).state, State::unknown);
  EXPECT_EQ(check_steal(std::nullopt, before).state, State::unknown);
  EXPECT_EQ(check_steal(before, "intr 1").state, State::unknown);
  EXPECT_EQ(check_load("0.50 1 2 1/100 7\n", 2).state, State::ok);
  EXPECT_EQ(check_load("1.50 1 2 1/100 7\n", 2).state, State::warning);
  EXPECT_EQ(check_load("", 2).state, State::unknown);
}

TEST(HostChecks, TheWorstDecidesAndTheUnknownDoesNot) {
  const auto of = [](State state) {
    HostCheck c;
    c.state = state;
    return c;
  };
  EXPECT_EQ(worst_of({}), State::ok);
  EXPECT_EQ(worst_of({of(State::ok), of(State::unknown)}), State::ok);
  EXPECT_EQ(worst_of({of(State::warning), of(State::unknown)}), State::warning);
  EXPECT_EQ(worst_of({of(State::warning), of(State::bad), of(State::ok)}), State::bad);
}

TEST(HostChecks, ThisMachineAnswersEveryQuestion) {
  const auto checks = check_host();
  EXPECT_GE(checks.size(), 15U);
  for (const HostCheck& c : checks) {
    EXPECT_FALSE(c.name.empty());
    EXPECT_FALSE(c.found.empty()) << c.name;
    EXPECT_FALSE(c.wanted.empty()) << c.name;
    EXPECT_FALSE(c.why.empty()) << c.name;
    EXPECT_EQ(c.fix.empty(), c.state == State::ok || c.state == State::unknown) << c.name;
  }
}

}  // namespace
}  // namespace dsbench::loadgen
