#pragma once

#include <algorithm>
#include <span>

#include "core/clock.h"
#include "loadgen/target.h"
#include "loadgen/wire/receive_clock.h"
#include "loadgen/wire/stamped_socket.h"

namespace dsbench::loadgen {

// When that happened which a transport tells of: what was read from a socket, when the kernel received it
// (receive_clock.h); all else, when we came to it. A turn is one call from the issuer.
class EventDates {
 public:
  using WallClock = Nanos (*)();  // since the Unix epoch

  // By `clock`, less `epoch`.
  EventDates(const Clock& clock, Nanos epoch, WallClock wall_clock);

  // The time of the turn never goes back.
  void begin_turn(Nanos now) {
    turn_ = std::max(turn_, now);
    by_clock();
  }
  void begin_turn_now();
  [[nodiscard]] Nanos turn() const { return turn_; }

  // What is told from now on happened in this turn.
  void by_clock() {
    at_ = turn_;
    read_lag_ = results::never;
  }
  // What is told from now on came with `read`, which was read in this turn; never after this moment.
  void by_kernel(const Received& read);
  [[nodiscard]] Nanos at() const { return at_; }
  // How long it had waited for us; results::never where that is not known.
  [[nodiscard]] Nanos read_lag() const { return read_lag_; }

  // After a turn that told `events`: if the wall clock was set in it, the kernel's stamps are not what they
  // seemed, and all that was read came when the turn began.
  void check(std::span<TargetEvent> events);

 private:
  [[nodiscard]] Nanos read_clock() const { return clock_.now() - epoch_; }
  bool look_at_clocks();

  const Clock& clock_;
  const Nanos epoch_;
  const WallClock wall_clock_;
  const ReceiveStamps stamps_;
  ReceiveClock receive_clock_;
  Nanos turn_{0};
  Nanos at_{0};
  Nanos read_lag_;
  bool used_kernel_ = false;  // in this turn
};

}  // namespace dsbench::loadgen
