#include "loadgen/breaker.h"

#include <algorithm>

namespace dsbench::loadgen {

Breaker::State Breaker::state(Nanos now) const {
  if (!open_) return State::closed;
  return half_open_ || now >= opened_at_ + law_.open_for ? State::half_open : State::open;
}

bool Breaker::wants_probe(Nanos now) const {
  return state(now) == State::half_open && (!half_open_ || probes_ < law_.probes);
}

Breaker::Ticket Breaker::begin(Nanos now) {
  if (!wants_probe(now)) return {era_, false, open_};
  if (!half_open_) {
    half_open_ = true;
    ++era_;
    probes_ = successes_ = 0;
  }
  ++probes_;
  return {era_, true, false};
}

Breaker::Change Breaker::open(Nanos now, Change change) {
  open_ = true;
  half_open_ = false;
  opened_at_ = now;
  ++era_;
  in_a_row_ = 0;
  window_ = {};
  return change;
}

Breaker::Change Breaker::success_of_probe(Nanos now) {
  if (++successes_ < law_.probe_successes) return Change::none;
  open_ = half_open_ = false;
  closed_at_ = now;
  ++era_;
  return Change::closed;
}

void Breaker::count(Nanos now, bool failed) {
  in_a_row_ = failed ? in_a_row_ + 1 : 0;
  const std::int64_t length =
      std::max<std::int64_t>(1, law_.window.count() / static_cast<std::int64_t>(slices));
  const std::int64_t slice = now.count() / length;
  const std::int64_t passed = std::min(slice - slice_, static_cast<std::int64_t>(slices));
  for (std::int64_t i = 0; i < passed; ++i) window_[static_cast<std::size_t>(++slice_) % slices] = {};
  slice_ = std::max(slice_, slice);
  Slice& current = window_[static_cast<std::size_t>(slice_) % slices];
  ++current.ended;
  if (failed) ++current.failed;
}

Breaker::Change Breaker::first_token(Ticket& ticket, Nanos now, Nanos ttft) {
  if (ticket.counted || ticket.era != era_) return Change::none;
  const bool slow = law_.slow_first_token && ttft > *law_.slow_first_token;
  if (slow) return ended(ticket, now, Outcome::failed);
  if (!ticket.probe) return Change::none;
  ticket.counted = true;
  --probes_;
  return success_of_probe(now);
}

Breaker::Change Breaker::ended(Ticket& ticket, Nanos now, Outcome outcome) {
  if (ticket.counted || ticket.era != era_) return Change::none;
  ticket.counted = true;
  if (ticket.probe) {
    --probes_;
    if (outcome == Outcome::neither) return Change::none;
    return outcome == Outcome::whole ? success_of_probe(now) : open(now, Change::reopened);
  }
  if (outcome == Outcome::neither) return Change::none;
  count(now, outcome == Outcome::failed);
  if (outcome == Outcome::whole) return Change::none;
  if (law_.consecutive_failures > 0 && in_a_row_ >= law_.consecutive_failures) {
    return open(now, Change::opened);
  }
  if (law_.failure_share) {
    Slice sum;
    for (const Slice& s : window_) {
      sum.ended += s.ended;
      sum.failed += s.failed;
    }
    if (sum.ended >= law_.window_attempts &&
        static_cast<double>(sum.failed) >= *law_.failure_share * static_cast<double>(sum.ended)) {
      return open(now, Change::opened);
    }
  }
  return Change::none;
}

}  // namespace dsbench::loadgen
