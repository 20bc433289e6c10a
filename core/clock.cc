#include "core/clock.h"

#include <ctime>

namespace dsbench {
namespace {

timespec to_timespec(Nanos t) {
  timespec ts{};
  ts.tv_sec = static_cast<time_t>(t.count() / 1'000'000'000);
  ts.tv_nsec = static_cast<long>(t.count() % 1'000'000'000);
  return ts;
}

Nanos read(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return Nanos{static_cast<std::int64_t>(ts.tv_sec) * 1'000'000'000 + ts.tv_nsec};
}

}  // namespace

Nanos SteadyClock::now() const {
  return read(CLOCK_MONOTONIC);
}

void SteadyClock::sleep_until(Nanos deadline) {
  const timespec ts = to_timespec(deadline);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, nullptr) != 0) {
    if (now() >= deadline) return;
  }
}

Nanos wall_clock_now() {
  return read(CLOCK_REALTIME);
}

}  // namespace dsbench
