#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/transport.h"

namespace dsbench::loadgen {

// While it lives no further descriptor can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none{3, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

// A transport and the loop that an issuer would run, without a machine.
class WireHarness {
 public:
  explicit WireHarness(WireKind wire, const std::string& url, ClientPolicy policy = {},
                       WireConfig config = {})
      : epoch_{clock_.now()} {
    config.wire = wire;
    config.providers.front().base_url = url;
    config.providers.front().model = "m";
    poller_ = std::move(*Poller::make(clock_));
    auto made = make_transport(config, policy, clock_, epoch_, *poller_);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    if (made) transport_ = std::move(*made);
  }

  [[nodiscard]] Nanos now() const { return clock_.now() - epoch_; }
  Transport& transport() { return *transport_; }
  std::vector<TargetEvent>& events() { return events_; }

  void start(std::uint64_t request) {
    transport_->start(Attempt{.request = request,
                              .attempt = 0,
                              .prompt_tokens = 20,
                              .output_tokens = 3,
                              .prompt_seed = request},
                      events_);
  }

  void start(const Attempt& attempt) { transport_->start(attempt, events_); }
  void start_all(std::span<const Attempt> attempts) { transport_->start_all(attempts, events_); }

  // Until `until` holds; gives up after ten seconds, which only a fault can take.
  bool run(const std::function<bool()>& until) {
    const Nanos limit = now() + Nanos{std::chrono::seconds{10}};
    while (!until()) {
      if (now() > limit) return false;
      Nanos deadline = now() + Nanos{std::chrono::milliseconds{5}};
      if (const auto timer = transport_->next_timer(); timer && *timer < deadline) deadline = *timer;
      const auto ready = poller_->wait(deadline + epoch_, Nanos{0});
      transport_->handle(ready, now(), events_);
    }
    return true;
  }
  bool run_until_ended() {
    return run([this] { return transport_->in_flight() == 0; });
  }

  [[nodiscard]] std::vector<EventKind> kinds(std::uint64_t request) const {
    std::vector<EventKind> out;
    for (const TargetEvent& e : events_) {
      if (e.request == request) out.push_back(e.kind);
    }
    return out;
  }
  [[nodiscard]] const TargetEvent& last(std::uint64_t request) const {
    const TargetEvent* found = nullptr;
    for (const TargetEvent& e : events_) {
      if (e.request == request) found = &e;
    }
    static const TargetEvent none{};
    return found != nullptr ? *found : none;
  }

 private:
  SteadyClock clock_;
  Nanos epoch_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<Transport> transport_;
  std::vector<TargetEvent> events_;
};

}  // namespace dsbench::loadgen
