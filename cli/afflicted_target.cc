#include "cli/afflicted_target.h"

#include <algorithm>

namespace dsbench::cli {
namespace {

using engine::FaultKind;
using loadgen::EventKind;
using loadgen::TargetEvent;
using results::Reason;

Reason reason_of(std::int32_t status) {
  if (status == 503) return Reason::http_503;
  if (status == 429) return Reason::http_429;
  return status >= 500 ? Reason::http_5xx : Reason::http_4xx;
}

bool ends(const TargetEvent& event) {
  return event.kind == EventKind::done || event.kind == EventKind::failed;
}

}  // namespace

Result<std::int64_t> AfflictedTarget::add_fault(const engine::Fault& fault) {
  if (engine::is_of_engine(fault.kind)) return fleet_.add_fault(fault);
  if (engine::is_of_connection(fault.kind)) {
    return fail(ErrorKind::usage,
                "the fault '{}' is made of bytes on a connection, and a simulated fleet has none; use "
                "--target embedded",
                engine::print_fault(fault));
  }
  return board_.add(fault, Nanos{0});
}

void AfflictedTarget::end_fault(FaultKind kind, std::int64_t id, Nanos at) {
  if (engine::is_of_engine(kind)) return fleet_.end_fault(id, at);
  (void)board_.end(id, at);
}

void AfflictedTarget::submit(const loadgen::Attempt& attempt, Nanos now) {
  board_.expire(now);
  const engine::RequestFaults faults = board_.draw(arrivals_++, now);
  const Key key{attempt.request, attempt.attempt};
  if (faults.refuse) {
    TargetEvent refused;
    refused.request = attempt.request;
    refused.attempt = attempt.attempt;
    refused.kind = EventKind::failed;
    refused.at = now + round_trip_;
    refused.reason = reason_of(*faults.refuse);
    refused.http_status = *faults.refuse;
    refusals_.emplace(refused.at, refused);
    return;
  }
  inner_.submit(attempt, now);
  if (!faults.any()) return;
  Ill& ill = ill_[key];
  ill.faults = faults;
  // What breaks before its first token breaks when the request arrives: nothing of the engine is waited for.
  const bool at_once = faults.breaks && faults.break_after == 0;
  if (faults.delay == Nanos{0} && !at_once) return;
  ill.held = true;
  releases_.emplace(now + round_trip_ + faults.delay, key);
}

void AfflictedTarget::cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) {
  const auto same = [&](const auto& entry) {
    return entry.second.request == request && entry.second.attempt == attempt;
  };
  if (!refusals_.empty() && std::erase_if(refusals_, same) > 0) return;
  ill_.erase({request, attempt});
  inner_.cancel(request, attempt, now);
}

std::optional<Nanos> AfflictedTarget::next_event() const {
  std::optional<Nanos> next = inner_.next_event();
  const auto sooner = [&](Nanos at) { next = std::min(next.value_or(at), at); };
  if (!releases_.empty()) sooner(releases_.begin()->first);
  if (!refusals_.empty()) sooner(refusals_.begin()->first);
  return next;
}

void AfflictedTarget::advance(Nanos now, Events& events) {
  for (auto next = next_event(); next && *next <= now; next = next_event()) {
    const Nanos at = *next;
    if (const auto inner = inner_.next_event(); inner && *inner <= at) {
      inner_told_.clear();
      inner_.advance(at, inner_told_);
      const Events told = inner_told_;  // a cancel on the way may come back here
      for (const TargetEvent& event : told) take(event, events);
    }
    while (!releases_.empty() && releases_.begin()->first <= at) {
      const Key key = releases_.begin()->second;
      releases_.erase(releases_.begin());
      release(key, at, events);
    }
    while (!refusals_.empty() && refusals_.begin()->first <= at) {
      events.push_back(refusals_.begin()->second);
      refusals_.erase(refusals_.begin());
    }
  }
}

void AfflictedTarget::take(const TargetEvent& event, Events& events) {
  const Key key{event.request, event.attempt};
  const auto found = ill_.find(key);
  if (found == ill_.end()) {
    events.push_back(event);
    return;
  }
  Ill& ill = found->second;
  if (event.kind == EventKind::failed && event.http_status >= 400) ill.held = false;  // refused: no answer
  if (ill.held || !pass(key, ill, event, event.at, events)) ill.waiting.push_back(event);
}

void AfflictedTarget::tell(TargetEvent event, Nanos now, Events& events) {
  event.at = std::max(event.at, now);
  events.push_back(event);
}

bool AfflictedTarget::pass(const Key& key, Ill& ill, TargetEvent event, Nanos now, Events& events) {
  if (event.kind == EventKind::failed) {  // by itself: there is nothing left to go wrong
    tell(event, now, events);
    ill_.erase(key);
    return true;
  }
  if (event.kind == EventKind::first_byte) {
    ill.begun = true;
    tell(event, now, events);
    return true;
  }
  if (ill.faults.stall_after && (ends(event) || ill.tokens >= *ill.faults.stall_after)) {
    ill.faults.stall_after.reset();
    ill.held = true;
    if (ill.faults.stall) releases_.emplace(now + *ill.faults.stall, key);
    return false;
  }
  if (event.kind == EventKind::tokens) {
    const std::int32_t left = ill.faults.breaks ? ill.faults.break_after - ill.tokens : event.tokens;
    if (left > 0) {
      event.tokens = std::min(event.tokens, left);
      ill.tokens += event.tokens;
      tell(event, now, events);
    }
    if (!ill.faults.breaks || ill.tokens < ill.faults.break_after) return true;
    if (left > 0) return true;  // broken by the one after it
  }
  if (ill.faults.breaks) {
    break_off(key, ill, now, events);
    return true;
  }
  tell(event, now, events);
  if (ends(event)) ill_.erase(key);
  return true;
}

void AfflictedTarget::release(const Key& key, Nanos now, Events& events) {
  const auto found = ill_.find(key);
  if (found == ill_.end()) return;
  Ill& ill = found->second;
  ill.held = false;
  if (ill.faults.breaks && ill.faults.break_after == 0) return break_off(key, ill, now, events);
  while (!ill.waiting.empty()) {
    const TargetEvent event = ill.waiting.front();
    const bool last = ends(event);
    if (!pass(key, ill, event, now, events)) return;
    // It may have ended, by this event or by a break.
    if (last || !ill_.contains(key)) return;
    ill.waiting.pop_front();
  }
}

// The client sees the stream end; the engine hears of it as it hears of a client that leaves.
void AfflictedTarget::break_off(const Key& key, Ill& ill, Nanos now, Events& events) {
  TargetEvent event;
  event.request = key.first;
  event.attempt = key.second;
  event.at = now;
  event.http_status = 200;
  if (!ill.begun) {
    event.kind = EventKind::first_byte;
    events.push_back(event);
  }
  event.kind = EventKind::failed;
  event.reason = ill.faults.breaks == FaultKind::error_frame ? Reason::error_frame : Reason::closed_early;
  events.push_back(event);
  ill_.erase(key);
  inner_.cancel(key.first, key.second, now);
}

}  // namespace dsbench::cli
