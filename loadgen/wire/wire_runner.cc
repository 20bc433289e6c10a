#include "loadgen/wire/wire_runner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/descriptors.h"
#include "loadgen/codec/codec.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/curl_library.h"
#include "loadgen/wire/host_limits.h"
#include "loadgen/wire/issuer.h"
#include "loadgen/wire/jitter_probe.h"
#include "loadgen/wire/output_counter.h"

namespace dsbench::loadgen {
namespace {

// How often a wait looks at the stop flag, and a drain at the threads.
constexpr Nanos glance{20'000'000};
constexpr Nanos drain_glance{2'000'000};

class WireRunner final : public Runner {
 public:
  WireRunner(std::atomic<bool>& stop, const WireConfig& config)
      : stop_{stop},
        stride_{std::max(config.stride, 1U)},
        epoch_{config.epoch ? *config.epoch : clock_.now()},
        health_from_{clock_.now()} {}

  Result<void> start(const WireConfig& config, const ClientPolicies& policies, const SharedSource& source,
                     std::uint64_t seed, const SinkOfWorker& sink_of) {
    descriptors_limit_ = raise_descriptor_limit();
    reserve_descriptors(descriptors_limit_);
    for (std::int32_t i = 0; i < config.threads; ++i) {
      const auto worker = static_cast<std::uint32_t>(i);
      results::RecordSink* sink = &sink_of(worker);
      OutputCounter* counter = nullptr;
      if (config.tokenizer) {
        counter = counters_.emplace_back(std::make_unique<OutputCounter>(*sink, config.tokenizer)).get();
        sink = counter;
      }
      DSBENCH_TRY(auto issuer,
                  Issuer::make(config, policies, source, seed, worker, *sink, clock_, epoch_, counter));
      issuers_.push_back(std::move(issuer));
    }
    cpu_before_.resize(issuers_.size(), Nanos{0});
    return {};
  }

  [[nodiscard]] Nanos now() const override { return clock_.now() - epoch_; }

  Result<void> offer(std::span<const Arrival> arrivals, Nanos until) override {
    rest_sessions(false);
    std::vector<std::vector<Arrival>> shares(issuers_.size());
    for (const Arrival& a : arrivals) shares[(a.request / stride_) % issuers_.size()].push_back(a);
    for (std::size_t i = 0; i < issuers_.size(); ++i) {
      if (!shares[i].empty()) issuers_[i]->offer(std::move(shares[i]));
    }
    while (now() < until) {
      if (stop_.load(std::memory_order_relaxed)) {
        for (const auto& issuer : issuers_) issuer->drop_arrivals();
        wait_settled();
        return fail(ErrorKind::interrupted, "interrupted {:.1f} s into the run", to_seconds(now()));
      }
      clock_.sleep_until(epoch_ + std::min(until, now() + glance));
    }
    return {};
  }

  Result<std::size_t> drain(Nanos deadline) override {
    const bool stopped_before = stop_.load(std::memory_order_relaxed);
    rest_sessions(true);
    wait_settled();
    while (busy() && now() < deadline) {
      if (!stopped_before && stop_.load(std::memory_order_relaxed)) {
        return fail(ErrorKind::interrupted, "interrupted {:.1f} s into the run, while draining",
                    to_seconds(now()));
      }
      clock_.sleep_until(epoch_ + std::min(deadline, now() + drain_glance));
    }
    wait_counted();
    return in_flight();
  }

  void abandon() override {
    for (const auto& issuer : issuers_) issuer->abandon();
    wait_settled();
    wait_counted();
  }

  [[nodiscard]] std::size_t in_flight() const override {
    std::size_t sum = 0;
    for (const auto& issuer : issuers_) sum += issuer->in_flight();
    return sum;
  }

  [[nodiscard]] GeneratorHealth health() override {
    GeneratorHealth h;
    const Nanos at = clock_.now();
    const double wall = std::max(to_seconds(at - health_from_), 1e-9);
    health_from_ = at;
    double cpu = 0;
    std::uint64_t unsent = 0;
    std::int64_t open = 0;
    for (std::size_t i = 0; i < issuers_.size(); ++i) {
      const Nanos used = issuers_[i]->cpu_time();
      const double seconds = to_seconds(used - std::exchange(cpu_before_[i], used));
      cpu += seconds;
      h.busiest_worker_share = std::max(h.busiest_worker_share, std::min(1.0, seconds / wall));
      unsent += issuers_[i]->unsent();
      open += issuers_[i]->connections_open();
      h.ports_used += issuers_[i]->take_connections_peak();
    }
    const auto cores = std::min<std::size_t>(issuers_.size(), static_cast<std::size_t>(usable_cores()));
    h.cpu_share = std::min(1.0, cpu / (wall * static_cast<double>(cores)));
    h.platform_jitter_p99 = probe_.take_p99();
    h.unsent = unsent - std::exchange(unsent_before_, unsent);
    // As many as there are now, and the connections that there were at the peak.
    h.descriptors_used = open_descriptors() + std::max<std::int64_t>(0, h.ports_used - open);
    h.descriptors_limit = descriptors_limit_;
    h.ports_limit = ephemeral_ports();
    return h;
  }

 private:
  void rest_sessions(bool rest) {
    if (rest == std::exchange(sessions_rest_, rest)) return;
    for (const auto& issuer : issuers_) issuer->rest_sessions(rest);
  }
  // A turn of an issuer takes milliseconds at worst; a command is seen in the next.
  void wait_settled() {
    while (!std::all_of(issuers_.begin(), issuers_.end(), [](const auto& i) { return i->settled(); })) {
      clock_.sleep_until(clock_.now() + Nanos{100'000});
    }
  }
  // What has ended is on record when its tokens are counted.
  void wait_counted() {
    while (std::any_of(counters_.begin(), counters_.end(), [](const auto& c) { return c->pending() > 0; })) {
      clock_.sleep_until(clock_.now() + drain_glance);
    }
  }
  [[nodiscard]] bool busy() const {
    return std::any_of(issuers_.begin(), issuers_.end(),
                       [](const auto& i) { return i->in_flight() + i->pending() > 0; });
  }

  SteadyClock clock_;
  std::atomic<bool>& stop_;
  const std::uint64_t stride_;
  Nanos epoch_;
  Nanos health_from_;
  std::int64_t descriptors_limit_ = 0;
  std::vector<std::unique_ptr<OutputCounter>> counters_;  // the issuers' sinks
  std::vector<std::unique_ptr<Issuer>> issuers_;
  std::vector<Nanos> cpu_before_;
  std::uint64_t unsent_before_ = 0;
  bool sessions_rest_ = false;
  JitterProbe probe_;
};

}  // namespace

Result<std::unique_ptr<Runner>> make_wire_runner(const WireConfig& config, const ClientPolicies& policies,
                                                 SharedSource source, std::uint64_t seed,
                                                 const SinkOfWorker& sink_of, std::atomic<bool>& stop) {
  if (config.threads < 1 || config.threads > 256) {
    return fail(ErrorKind::usage, "{} issuer threads were asked for; accepted are 1 to 256", config.threads);
  }
  if (config.providers.empty()) return fail(ErrorKind::usage, "no target was named; give at least one URL");
  for (const ProviderConfig& provider : config.providers) {
    DSBENCH_TRY(const auto codec, make_codec(codec_config(provider)));
    if (provider.model.empty() && !codec->models_path().empty()) {
      return fail(ErrorKind::usage,
                  "no model was named; give one, or take the one that the target's /v1/models names");
    }
  }
  DSBENCH_CHECK(open_curl());
  auto runner = std::make_unique<WireRunner>(stop, config);
  DSBENCH_CHECK(runner->start(config, policies, source, seed, sink_of));
  return runner;
}

}  // namespace dsbench::loadgen
