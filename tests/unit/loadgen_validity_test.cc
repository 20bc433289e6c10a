#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "loadgen/validity.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using Causes = std::vector<std::string>;

results::Slo slo() {
  results::Slo s;
  s.ttft = 1s;
  s.tpot = 10ms;
  s.e2e = 10s;
  return s;
}

results::StageSummary fit_stage() {
  results::StageSummary s;
  s.requests = 1000;
  s.delivered = 1000;
  s.offered = s.delivered_rate = Rate::per_second(100);
  s.send_lag.count = 1000;
  s.send_lag.max = 300ms;
  s.send_lag.percentiles = {{0.5, 11, 1ms, false}, {0.99, 662, 20ms, false}};
  return s;
}

GeneratorHealth fit_health() {
  GeneratorHealth h;
  h.cpu_share = 0.3;
  h.busiest_worker_share = 0.5;
  h.platform_jitter_p99 = 2ms;
  h.descriptors_used = 100;
  h.descriptors_limit = 1024;
  h.ports_used = 90;
  h.ports_limit = 28232;
  return h;
}

TEST(Validity, AFitGeneratorHasNoCauses) {
  EXPECT_EQ(validity_causes(fit_health(), fit_stage(), slo()), Causes{});
  EXPECT_EQ(validity_causes({}, {}, {}), Causes{}) << "virtual time, or nothing measured yet";
}

TEST(Validity, EachCauseSaysWhatWasFoundWhatIsAcceptedAndWhatHelps) {
  struct Row {
    std::function<void(GeneratorHealth&, results::StageSummary&)> spoil;
    std::string cause;
  };
  const std::vector<Row> rows{
      {[](auto&, auto& s) { s.send_lag.percentiles[1].value = 150ms; },
       "requests left late: send lag p99 150 ms, accepted 100 ms (10 % of the TTFT bound of 1.00 s); this "
       "machine wakes a sleeping "
       "thread up to 2.00 ms late (p99), so it is dsbench that was late: more issuer threads, or a lower "
       "rate"},
      {[](auto& h, auto& s) {
         s.send_lag.percentiles[1].value = 150ms;
         h.platform_jitter_p99 = 120ms;
       },
       "requests left late: send lag p99 150 ms, accepted 100 ms (10 % of the TTFT bound of 1.00 s); this "
       "machine itself wakes a "
       "sleeping thread up to 120 ms late (p99): use a quieter machine, or bounds it can carry"},
      {[](auto&, auto& s) {
         s.send_lag.count = 40;
         s.send_lag.percentiles[1].value.reset();
       },
       "requests left late: send lag maximum of 40 300 ms, accepted 100 ms (10 % of the TTFT bound of 1.00 "
       "s); this machine wakes a "
       "sleeping thread up to 2.00 ms late (p99), so it is dsbench that was late: more issuer threads, or a "
       "lower rate"},
      {[](auto& h, auto&) { h.busiest_worker_share = 0.934; },
       "an issuer thread used 93.4 % of a core, accepted 90 %: give it more issuer threads, or a lower rate"},
      {[](auto& h, auto&) { h.cpu_share = 0.97; },
       "the generator used 97 % of the cores it may use, accepted 95 %: give it more cores, or a machine of "
       "its own"},
      {[](auto& h, auto&) { h.descriptors_used = 900; },
       "900 of 1024 file descriptors were in use, accepted 80 %: raise ulimit -n"},
      {[](auto& h, auto&) { h.ports_used = 25000; },
       "25000 of 28232 local ports towards the target were in use, accepted 80 %: widen "
       "net.ipv4.ip_local_port_range, or use more "
       "source addresses"},
      {[](auto& h, auto&) { h.unsent = 1; },
       "1 attempt never left: no descriptor, no port, or a limit of ours; raise ulimit -n, or offer less"},
      {[](auto& h, auto&) { h.unsent = 7; },
       "7 attempts never left: no descriptor, no port, or a limit of ours; raise ulimit -n, or offer less"},
      {[](auto&, auto& s) {
         s.delivered = 990;
         s.delivered_rate = Rate::per_second(99);
       },
       "10 of 1000 requests (1 %) were offered and not sent, accepted 0.5 %: delivered 99.0/s of 100/s "
       "offered"},
  };
  for (const Row& row : rows) {
    GeneratorHealth health = fit_health();
    results::StageSummary stage = fit_stage();
    row.spoil(health, stage);
    EXPECT_EQ(validity_causes(health, stage, slo()), Causes{row.cause});
  }
}

TEST(Validity, WhatTheTargetRefusedToTakeIsNotOurs) {
  results::StageSummary stage = fit_stage();
  stage.delivered = 400;
  stage.attempts_by_reason[static_cast<std::size_t>(results::Reason::connect_failed)] = 600;
  EXPECT_EQ(validity_causes(fit_health(), stage, slo()), Causes{});
}

TEST(Validity, TheTightestBoundThatAStartCanSpoilCounts) {
  results::StageSummary stage = fit_stage();
  results::Slo only_tpot;
  only_tpot.tpot = 1ms;
  EXPECT_EQ(validity_causes(fit_health(), stage, only_tpot), Causes{});
  results::Slo tight;
  tight.ttft = 5s;
  tight.e2e = 150ms;
  const auto causes = validity_causes(fit_health(), stage, tight);
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_NE(causes[0].find("accepted 15.0 ms (10 % of the E2E bound of 150 ms)"), std::string::npos)
      << causes[0];
}

TEST(Validity, LimitsAreExclusive) {
  GeneratorHealth health = fit_health();
  health.busiest_worker_share = 0.90;
  health.descriptors_used = 819;
  results::StageSummary stage = fit_stage();
  stage.delivered = 995;
  stage.send_lag.percentiles[1].value = 100ms;
  EXPECT_EQ(validity_causes(health, stage, slo()), Causes{});
}

}  // namespace
}  // namespace dsbench::loadgen
