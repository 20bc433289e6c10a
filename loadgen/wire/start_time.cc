#include "loadgen/wire/start_time.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <thread>

#include "core/clock.h"
#include "loadgen/wire/issuer.h"

namespace dsbench::loadgen {
namespace {

constexpr Nanos glance{200'000'000};

void sleep_on_wall(Nanos until) {
  timespec ts{};
  ts.tv_sec = static_cast<time_t>(until.count() / 1'000'000'000);
  ts.tv_nsec = static_cast<long>(until.count() % 1'000'000'000);
  while (::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, nullptr) == EINTR) {
  }
}

}  // namespace

Nanos steady_of_wall(Nanos wall) {
  const SteadyClock steady;
  // The reading in between is compared with the middle of the two around it; a preemption shows as a wide
  // pair, and the narrowest of a few is taken.
  Nanos best{0}, narrowest = Nanos::max();
  for (int i = 0; i < 8; ++i) {
    const Nanos before = steady.now();
    const Nanos now = wall_clock_now();
    const Nanos after = steady.now();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best = before + narrowest / 2 + (wall - now);
  }
  return best;
}

Result<void> wait_for_wall(Nanos until, const std::atomic<bool>& stop,
                           const std::function<void(Nanos left)>& each) {
  for (;;) {
    const Nanos now = wall_clock_now();
    if (now >= until) return {};
    if (stop.load(std::memory_order_relaxed))
      return fail(ErrorKind::interrupted, "interrupted {:.1f} s before the load was to begin",
                  to_seconds(until - now));
    if (each) each(until - now);
    sleep_on_wall(std::min(until, now + glance));
  }
}

struct StartWatch::Impl {
  Impl(Nanos w, Nanos s) : wall{w}, steady{s} {
    thread = std::thread{[this] { run(); }};
  }
  void run() {
    ask_for_exact_wakeups();
    if (!wait_for_wall(wall, quit)) return;
    const SteadyClock clock;
    const Nanos late = std::max({wall_clock_now() - wall, clock.now() - steady, Nanos{0}});
    lateness.store(late.count(), std::memory_order_release);
  }
  const Nanos wall, steady;
  std::atomic<bool> quit{false};
  std::atomic<std::int64_t> lateness{-1};
  std::thread thread;
};

StartWatch::StartWatch(Nanos wall, Nanos steady) : impl_{std::make_unique<Impl>(wall, steady)} {}

StartWatch::~StartWatch() {
  impl_->quit = true;
  impl_->thread.join();
}

std::optional<Nanos> StartWatch::lateness() const {
  const std::int64_t late = impl_->lateness.load(std::memory_order_acquire);
  return late < 0 ? std::nullopt : std::optional{Nanos{late}};
}

}  // namespace dsbench::loadgen
