#include "loadgen/wire/event_dates.h"

#include <algorithm>
#include <utility>

namespace dsbench::loadgen {

EventDates::EventDates(const Clock& clock, Nanos epoch, WallClock wall_clock)
    : clock_{clock}, epoch_{epoch}, wall_clock_{wall_clock}, read_lag_{results::never} {
  for (int i = 0; i < 16; ++i) (void)look_at_clocks();
}

void EventDates::begin_turn_now() {
  begin_turn(read_clock());
}

void EventDates::by_kernel(const Received& read) {
  by_clock();
  if (read.wall == Nanos{0}) return;
  const auto came = receive_clock_.run_time(read.wall);
  if (!came) return;
  const Nanos now = read_clock();
  at_ = std::min(*came, now);
  read_lag_ = now - at_;
  used_kernel_ = true;
}

void EventDates::check(std::span<TargetEvent> events) {
  if (!std::exchange(used_kernel_, false) || !look_at_clocks()) return;
  for (TargetEvent& e : events) {
    e.at = turn_;
    e.read_lag = results::never;
  }
}

// True: the wall clock has been set.
bool EventDates::look_at_clocks() {
  Nanos before = read_clock(), wall{0}, after{0};
  for (int i = 0; i < 3; ++i) {  // again, when something came between the readings
    if (i > 0) before = after;
    wall = wall_clock_();
    after = read_clock();
    if (after - before < ReceiveClock::vague) break;
  }
  return receive_clock_.look(before, wall, after);
}

}  // namespace dsbench::loadgen
