#include "loadgen/validity.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/text.h"

namespace dsbench::loadgen {
namespace {

std::string percent(double share) {
  return fmt::format("{:.3g} %", 100 * share);
}

// What a late first byte spoils most: TTFT and E2E run from the instant a request is due. TPOT does not.
std::optional<std::pair<Nanos, std::string_view>> tightest(const results::Slo& slo) {
  std::optional<std::pair<Nanos, std::string_view>> bound;
  if (slo.ttft) bound = {*slo.ttft, "TTFT"};
  if (slo.e2e && (!bound || *slo.e2e < bound->first)) bound = {*slo.e2e, "E2E"};
  return bound;
}

struct Lag {
  Nanos value{0};
  std::string name;
};

// The highest percentile up to the 99th that the samples can carry; with hardly any sample, the maximum.
Lag lag_of(const results::LatencySummary& lag) {
  for (auto p = lag.percentiles.rbegin(); p != lag.percentiles.rend(); ++p) {
    if (p->q <= 0.99 && p->q >= 0.9 && p->value) return {*p->value, fmt::format("p{:g}", 100 * p->q)};
  }
  return {lag.max, fmt::format("maximum of {}", lag.count)};
}

}  // namespace

std::optional<std::string> lag_cause(const GeneratorHealth& health, const results::StageSummary& stage,
                                     const results::Slo& slo, const ValidityLimits& limits) {
  const auto bound = tightest(slo);
  if (!bound || stage.send_lag.count == 0) return std::nullopt;
  const Lag lag = lag_of(stage.send_lag);
  const Nanos limit{
      static_cast<std::int64_t>(static_cast<double>(bound->first.count()) * limits.send_lag_share)};
  if (lag.value <= limit) return std::nullopt;
  std::string why;
  if (health.platform_jitter_p99 == Nanos{0}) {
    why =
        "whether the machine was late or dsbench is not known: a quieter machine, more issuer threads, or a "
        "lower rate";
  } else if (health.platform_jitter_p99 >= lag.value / 2) {
    why = fmt::format(
        "this machine itself wakes a sleeping thread up to {} late (p99): use a quieter machine, or bounds "
        "it can carry",
        format_duration(health.platform_jitter_p99));
  } else {
    why = fmt::format(
        "this machine wakes a sleeping thread up to {} late (p99), so it is dsbench that was late: more "
        "issuer "
        "threads, or a lower rate",
        format_duration(health.platform_jitter_p99));
  }
  return fmt::format("requests left late: send lag {} {}, accepted {} ({} of the {} bound of {}); {}",
                     lag.name, format_duration(lag.value), format_duration(limit),
                     percent(limits.send_lag_share), bound->second, format_duration(bound->first), why);
}

std::vector<std::string> validity_causes(const GeneratorHealth& health, const results::StageSummary& stage,
                                         const results::Slo& slo, const ValidityLimits& limits) {
  std::vector<std::string> causes;
  if (auto late = lag_cause(health, stage, slo, limits)) causes.push_back(std::move(*late));
  if (health.busiest_worker_share > limits.worker_cpu) {
    causes.push_back(fmt::format(
        "an issuer thread used {} of a core, accepted {}: give it more issuer threads, or a lower rate",
        percent(health.busiest_worker_share), percent(limits.worker_cpu)));
  }
  if (health.cpu_share > limits.cpu) {
    causes.push_back(
        fmt::format("the generator used {} of the cores it may use, accepted {}: give it more cores, or a "
                    "machine of its own",
                    percent(health.cpu_share), percent(limits.cpu)));
  }
  const auto used_up = [&](std::int64_t used, std::int64_t limit, double accepted, std::string_view what,
                           std::string_view remedy) {
    if (limit <= 0 || static_cast<double>(used) <= accepted * static_cast<double>(limit)) return;
    causes.push_back(fmt::format("{} of {} {} were in use, accepted {}: {}", used, limit, what,
                                 percent(accepted), remedy));
  };
  used_up(health.descriptors_used, health.descriptors_limit, limits.descriptors, "file descriptors",
          "raise ulimit -n");
  used_up(health.ports_used, health.ports_limit, limits.ports, "local ports towards the target",
          "widen net.ipv4.ip_local_port_range, or use more source addresses");
  if (health.unsent > 0) {
    causes.push_back(fmt::format(
        "{} attempt{} never left: no descriptor, no port, or a limit of ours; raise ulimit -n, or offer less",
        health.unsent, health.unsent == 1 ? "" : "s"));
  }
  const std::int64_t missing = stage.requests - stage.delivered;
  if (stage.requests > 0 && missing > 0 &&
      static_cast<double>(missing) > limits.undelivered_share * static_cast<double>(stage.requests)) {
    // What the target refused to take is its own doing, and recorded as such.
    const auto failed_to_connect = [&] {
      std::int64_t n = 0;
      for (const auto reason :
           {results::Reason::connect_failed, results::Reason::connect_timeout, results::Reason::tls_failed,
            results::Reason::send_failed, results::Reason::breaker_open}) {
        n += stage.attempts_by_reason[static_cast<std::size_t>(reason)];
      }
      return n;
    }();
    if (missing > failed_to_connect) {
      causes.push_back(fmt::format(
          "{} of {} requests ({}) were offered and not sent, accepted {}: delivered {} of {} offered",
          missing, stage.requests,
          percent(static_cast<double>(missing) / static_cast<double>(stage.requests)),
          percent(limits.undelivered_share), format_rate(stage.delivered_rate), format_rate(stage.offered)));
    }
  }
  return causes;
}

}  // namespace dsbench::loadgen
