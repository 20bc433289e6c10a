#include "loadgen/load_machine.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/rng.h"
#include "loadgen/in_flight.h"
#include "loadgen/request_table.h"
#include "loadgen/sleeping_sessions.h"
#include "loadgen/slot_timers.h"

namespace dsbench::loadgen {
namespace {

using results::AttemptRecord;
using results::never;
using results::Reason;
using results::RequestRecord;

Failure failure_of(Reason reason) {
  Failure failure;
  failure.reason = reason;
  return failure;
}

// A session that is refused at once, and asks again at once, would stop virtual time.
constexpr Nanos least_pause_after_failure{1'000'000};

}  // namespace

struct LoadMachine::Impl {
  ClientPolicies policies;
  SharedSource source;
  std::uint64_t seed;
  std::uint32_t worker;
  results::RecordSink& sink;

  std::vector<Arrival> arrivals;
  std::size_t next_arrival = 0;
  std::vector<InFlight> slots;
  std::vector<std::uint32_t> free_slots;
  RequestTable by_request;  // slots
  SlotTimers timers;
  std::uint64_t unsent = 0;
  Router router;
  std::optional<RetryBudget> budget;
  std::optional<HedgeTimer> hedging;
  std::vector<results::ProviderDecision> decisions;

  SleepingSessions sleepers;
  std::vector<FollowUp> follow_ups;  // scratch

  Impl(ClientPolicies p, SharedSource s, std::uint64_t run_seed, std::uint32_t w, results::RecordSink& k)
      : policies{std::move(p)},
        source{std::move(s)},
        seed{run_seed},
        worker{w},
        sink{k},
        router{policies.process().routing, run_seed} {
    if (policies.process().budget) budget.emplace(*policies.process().budget);
    if (policies.process().hedge) hedging.emplace(*policies.process().hedge);
  }
  [[nodiscard]] const ClientPolicy& policy_of(std::uint32_t slot) const {
    return policies.of(slots[slot].attempt.tenant);
  }

  // ---- timers

  void arm(std::uint32_t slot, Nanos at, TimerClass what) {
    timers.arm(slot, {at, what, slots[slot].attempt.request});
  }

  // The slot's timer is about an attempt that may be answered, not about one yet to begin.
  [[nodiscard]] bool awaits_events(std::uint32_t slot) const { return !slots[slot].waiting; }

  void arm_patience(std::uint32_t slot) {
    if (const auto next = slots[slot].deadline(policy_of(slot))) {
      arm(slot, next->at, TimerClass::timeout);
    } else {
      timers.disarm(slot);
    }
  }

  // A sign of life that starts a read timeout anew.
  void heard(std::uint32_t slot, Nanos at) {
    const ClientPolicy& policy = policy_of(slot);
    if (!policy.comments_feed_timeout) return;
    slots[slot].alive = at;
    if (policy.stall_timeout || policy.first_token_timeout) arm_patience(slot);
  }

  // ---- the life of a request

  std::uint32_t free_slot() {
    if (free_slots.empty()) {
      slots.emplace_back();
      return static_cast<std::uint32_t>(slots.size() - 1);
    }
    const std::uint32_t slot = free_slots.back();
    free_slots.pop_back();
    return slot;
  }

  void tell_decisions() {
    if (!router.has_decisions()) return;
    decisions.clear();
    router.take_decisions(worker, decisions);
    for (const results::ProviderDecision& d : decisions) sink.decided(d);
  }

  // Chooses the provider and starts; `avoid` are providers that have failed the request or are at it. False:
  // the client refuses to send.
  bool start_attempt(std::uint32_t slot, Nanos due, Nanos now, ProviderSet avoid,
                     std::vector<Action>& actions) {
    InFlight& f = slots[slot];
    const auto ticket = router.choose(now, {f.attempt.request, f.attempt.attempt, f.keep, avoid});
    tell_decisions();
    if (ticket) {
      f.ticket = *ticket;
      f.attempt.provider = ticket->provider;
    }
    f.begin_record(due);
    f.started = f.alive = now;
    f.waiting = false;
    if (!ticket) return false;
    arm_patience(slot);
    actions.push_back({Action::Kind::start, f.attempt});
    return true;
  }

  void begin(const Arrival& arrival, Nanos now, std::vector<Action>& actions) {
    Attempt attempt = source(arrival.request);
    attempt.request = arrival.request;
    begin(std::move(attempt), arrival.due, arrival.stage, now, actions);
  }

  void begin(Attempt attempt, Nanos due, std::uint32_t stage, Nanos now, std::vector<Action>& actions) {
    const std::uint32_t slot = free_slot();
    [[maybe_unused]] const bool is_new = by_request.insert(attempt.request, slot);
    assert(is_new && "a request number may be in flight once");
    InFlight& f = slots[slot];
    f.attempt = std::move(attempt);
    f.attempt.attempt = 0;
    f.request_due = due;
    f.record.request = f.attempt.request;
    f.record.stage = stage;
    f.record.worker = worker;
    begin_first_attempt(slot, now, actions);
  }

  // The attempt, its due instant and the record's number, stage and worker are set.
  void begin_first_attempt(std::uint32_t slot, Nanos now, std::vector<Action>& actions) {
    InFlight& f = slots[slot];
    f.begin();
    const ClientPolicy& policy = policies.of(f.attempt.tenant);
    if (policy.patience) {
      Rng people{seed, "patience", f.attempt.request};
      f.patience_ends = f.request_due + patience_at(*policy.patience, people.open_uniform());
    }
    if (budget) budget->request_began(now);
    if (hedging) {
      if (const auto wait = hedging->wait()) f.hedge_at = now + *wait;
    }
    if (!start_attempt(slot, f.request_due, now, 0, actions)) refuse(slot, now);
  }

  // All breakers are open, and the client's do not let an attempt pass.
  void refuse(std::uint32_t slot, Nanos now) {
    AttemptRecord& r = slots[slot].record;
    r.done = now;
    r.reason = Reason::breaker_open;
    sink.attempt(r);
    end_request(slot, now, Reason::breaker_open);
  }

  void start_hedge(std::uint32_t slot, Nanos due, Nanos now, std::vector<Action>& actions) {
    slots[slot].hedge_at = never;
    arm_patience(slot);
    if (budget && !budget->take(now, by_request.size())) return;
    const std::uint32_t hedge = free_slot();  // may move the slots
    InFlight& f = slots[slot];
    InFlight& h = slots[hedge];
    h.attempt = f.attempt;
    h.attempt.attempt = f.next_attempt++;
    h.record.request = f.record.request;
    h.record.stage = f.record.stage;
    h.record.worker = worker;
    h.is_hedge = true;
    h.budgeted = budget.has_value();
    h.hedge_at = h.patience_ends = never;
    h.keep = std::nullopt;
    h.partner = no_place;
    const ProviderSet avoid = f.failed_on | ProviderSet{1} << f.attempt.provider;
    if (start_attempt(hedge, due, now, avoid, actions)) {
      f.partner = hedge;
      return;
    }
    --f.next_attempt;
    if (std::exchange(h.budgeted, false)) budget->retry_ended();
    free_slots.push_back(hedge);
  }

  // Writes an attempt's record, and tells router and budget.
  void close_attempt(std::uint32_t slot, Nanos at, Reason reason) {
    InFlight& f = slots[slot];
    // The loser of a hedge may have been heard of, or sent, after the winner's token was received.
    f.record.done = std::max({at, f.record.sent, f.record.first_byte, f.record.last_token});
    f.record.reason = reason;
    sink.attempt(f.record);
    if (reason == Reason::unsent) ++unsent;
    router.ended(f.ticket, at, reason);
    tell_decisions();
    if (std::exchange(f.budgeted, false)) budget->retry_ended();
  }

  void free_hedge(std::uint32_t hedge) {
    timers.disarm(hedge);
    slots[hedge].attempt.parts.reset();
    slots[hedge].attempt.session.reset();
    free_slots.push_back(hedge);
  }

  // The loser of a hedge, or the hedge of a request that ends.
  void end_hedge(std::uint32_t slot, Nanos at, Reason reason) {
    const std::uint32_t hedge = std::exchange(slots[slot].partner, no_place);
    close_attempt(hedge, at, reason);
    free_hedge(hedge);
  }

  // The hedge becomes the request's attempt; the present one is over and has been recorded.
  void promote_hedge(std::uint32_t slot) {
    InFlight& f = slots[slot];
    const std::uint32_t hedge = std::exchange(f.partner, no_place);
    std::swap(static_cast<Try&>(f), static_cast<Try&>(slots[hedge]));
    free_hedge(hedge);
    arm_patience(slot);
  }

  // The first token of one of two attempts: the other is cancelled. Returns the winner's slot.
  std::uint32_t decide_hedge(std::uint32_t winner, std::uint32_t slot, Nanos at,
                             std::vector<Action>& actions) {
    slots[slot].hedge_at = never;
    const std::uint32_t hedge = slots[slot].partner;
    if (hedge == no_place) return winner;
    if (winner == slot) {
      actions.push_back({Action::Kind::cancel, slots[hedge].attempt});
      end_hedge(slot, at, Reason::superseded);
    } else {
      actions.push_back({Action::Kind::cancel, slots[slot].attempt});
      close_attempt(slot, at, Reason::superseded);
      promote_hedge(slot);
    }
    return slot;
  }

  // ---- sessions

  void wake_next(Nanos now, std::vector<Action>& actions) {
    SleepingSessions::Sleeper s = sleepers.take_first();
    const std::uint32_t stage = sink.stage_at(s.due, s.stage);
    sink.offered(stage, s.attempt.request, s.due);
    begin(std::move(s.attempt), s.due, stage, now, actions);
  }

  void follow(const Attempt& ended, const RequestRecord& outcome) {
    if (sleepers.over()) return;
    follow_ups.clear();
    source.next(ended, outcome, follow_ups);
    for (FollowUp& f : follow_ups) {
      const Nanos least = results::ended_well(outcome.reason) ? Nanos{0} : least_pause_after_failure;
      f.attempt.request =
          results::session_of(outcome.request) | (std::uint64_t{f.attempt.turn} << results::turn_shift);
      f.attempt.provider = outcome.provider;  // where the session's history is
      sleepers.add(outcome.done, std::max(f.after, least), outcome.stage, std::move(f.attempt));
    }
  }

  void end_request(std::uint32_t slot, Nanos at, Reason reason) {
    InFlight& f = slots[slot];
    const RequestRecord outcome = f.outcome(at, reason);
    sink.request(outcome);
    timers.disarm(slot);
    by_request.erase(f.record.request);
    free_slots.push_back(slot);
    follow(f.attempt, outcome);
    f.attempt.parts.reset();  // a long history need not wait for the slot's next use
    f.attempt.session.reset();
  }

  // Records the attempt, then either arranges the next one or ends the request.
  void end_attempt(std::uint32_t slot, Nanos at, Failure failure) {
    if (slots[slot].is_hedge) {
      end_hedge(by_request.find(slots[slot].record.request), at, failure.reason);
      return;
    }
    close_attempt(slot, at, failure.reason);
    InFlight& f = slots[slot];
    AttemptRecord& r = f.record;
    f.hedge_at = never;
    if (failure.reason == Reason::ok || failure.reason == Reason::interrupted ||
        failure.reason == Reason::abandoned || failure.reason == Reason::cancelled) {
      end_request(slot, at, failure.reason);
      return;
    }
    if (outcome_of(failure.reason) == Breaker::Outcome::failed) {
      f.failed_on |= ProviderSet{1} << f.attempt.provider;
    }
    if (f.partner != no_place) {
      promote_hedge(slot);
      return;
    }
    failure.http_status = r.http_status;
    failure.stream_began = r.first_token != never;
    // A stream of its own for each retry: how often an earlier one drew does not matter.
    Rng jitter{derive_seed(seed, "retries", r.request), "retries", static_cast<std::uint64_t>(f.retries)};
    const auto delay = retry_delay(policies.of(f.attempt.tenant).retry, f.retries, failure, jitter, f.delay);
    if (!delay || (budget && !budget->take(at, by_request.size()))) {
      end_request(slot, at, failure.reason);
      return;
    }
    f.waiting = true;
    f.will_be_budgeted = budget.has_value();
    f.delay = *delay;
    ++f.retries;
    const bool leaves_first = f.patience_ends != never && f.patience_ends < at + *delay;
    arm(slot, leaves_first ? f.patience_ends : at + *delay,
        leaves_first ? TimerClass::timeout : TimerClass::retry);
  }

  void time_out(std::uint32_t slot, Nanos at, Reason reason, std::vector<Action>& actions) {
    const std::uint32_t hedge = slots[slot].partner;
    if (reason == Reason::abandoned && hedge != no_place) {
      actions.push_back({Action::Kind::cancel, slots[hedge].attempt});
      end_hedge(slot, at, reason);
    }
    actions.push_back({Action::Kind::cancel, slots[slot].attempt});
    end_attempt(slot, at, failure_of(reason));
  }

  // The request waits for a retry: ends it there.
  void end_waiting(std::uint32_t slot, Nanos at, Reason reason) {
    if (std::exchange(slots[slot].will_be_budgeted, false)) budget->retry_ended();
    end_request(slot, at, reason);
  }

  void fire(std::uint32_t slot, Nanos now, std::vector<Action>& actions) {
    InFlight& f = slots[slot];
    const Timer timer = timers.timer(slot);
    const Nanos at = timer.at;
    if (f.waiting && timer.what == TimerClass::timeout) {
      end_waiting(slot, at, Reason::abandoned);
    } else if (f.waiting) {
      f.attempt.attempt = f.next_attempt++;
      f.budgeted = std::exchange(f.will_be_budgeted, false);
      if (!start_attempt(slot, at, now, f.failed_on, actions)) {
        if (std::exchange(f.budgeted, false)) budget->retry_ended();
        refuse(slot, now);
      }
    } else {
      const Deadline next = *f.deadline(policy_of(slot));
      if (next.what == Deadline::What::hedge) {
        start_hedge(slot, at, now, actions);
      } else {
        time_out(slot, at, next.reason, actions);
      }
    }
  }
};

LoadMachine::LoadMachine(ClientPolicies policies, SharedSource source, std::uint64_t seed,
                         std::uint32_t worker, results::RecordSink& sink)
    : impl_{std::make_unique<Impl>(std::move(policies), std::move(source), seed, worker, sink)} {}

LoadMachine::~LoadMachine() = default;

void LoadMachine::add(std::span<const Arrival> arrivals) {
  Impl& m = *impl_;
  m.arrivals.erase(m.arrivals.begin(), m.arrivals.begin() + static_cast<std::ptrdiff_t>(m.next_arrival));
  m.next_arrival = 0;
  m.arrivals.insert(m.arrivals.end(), arrivals.begin(), arrivals.end());
  assert(std::is_sorted(m.arrivals.begin(), m.arrivals.end(),
                        [](const Arrival& a, const Arrival& b) { return a.due < b.due; }));
}

void LoadMachine::drop_arrivals() {
  impl_->arrivals.clear();
  impl_->next_arrival = 0;
  impl_->sleepers.end();
}

void LoadMachine::rest_sessions(Nanos now) {
  impl_->sleepers.rest(now);
}

void LoadMachine::wake_sessions(Nanos now) {
  impl_->sleepers.wake(now);
}

std::optional<Nanos> LoadMachine::next_deadline() const {
  const Impl& m = *impl_;
  std::optional<Nanos> next;
  if (!m.timers.empty()) next = m.timers.first_at();
  if (m.next_arrival < m.arrivals.size()) {
    const Nanos due = m.arrivals[m.next_arrival].due;
    if (!next || due < *next) next = due;
  }
  if (const auto due = m.sleepers.first_due(); due && (!next || *due < *next)) next = due;
  return next;
}

void LoadMachine::on_time(Nanos now, Nanos heard, std::vector<Action>& actions) {
  Impl& m = *impl_;
  for (;;) {
    const bool arrival_waits = m.next_arrival < m.arrivals.size() && m.arrivals[m.next_arrival].due <= now;
    const bool timer_waits =
        !m.timers.empty() &&
        m.timers.first_at() <= (m.awaits_events(m.timers.first()) ? std::min(heard, now) : now);
    const auto sleeper_due = m.sleepers.first_due();
    const bool sleeper_waits = sleeper_due && *sleeper_due <= now;
    if (!arrival_waits && !timer_waits && !sleeper_waits) return;
    // At equal instants in the order of TimerClass.
    const Nanos timer = timer_waits ? m.timers.first_at() : Nanos::max();
    const Nanos arrival_due = arrival_waits ? m.arrivals[m.next_arrival].due : Nanos::max();
    const Nanos sleeper = sleeper_waits ? *sleeper_due : Nanos::max();
    if (timer_waits && timer <= std::min(arrival_due, sleeper)) {
      m.fire(m.timers.first(), now, actions);
    } else if (sleeper_waits && sleeper < arrival_due) {
      m.wake_next(now, actions);
    } else {
      const Arrival arrival = m.arrivals[m.next_arrival++];
      m.begin(arrival, now, actions);
    }
  }
}

void LoadMachine::on_event(const TargetEvent& event, std::vector<Action>& actions) {
  Impl& m = *impl_;
  const std::uint32_t own = m.by_request.find(event.request);
  if (own == RequestTable::none) return;
  std::uint32_t slot = own;
  if (m.slots[slot].waiting) return;
  if (const std::uint32_t hedge = m.slots[slot].partner;
      hedge != no_place && m.slots[hedge].attempt.attempt == event.attempt) {
    slot = hedge;
  }
  if (m.slots[slot].attempt.attempt != event.attempt) return;
  // Decided by the stamps, not by who is called first: what came after the client's patience had ended came
  // too late.
  while (m.timers.armed(slot) && event.at > m.timers.timer(slot).at) {
    const Nanos at = m.timers.timer(slot).at;
    const Deadline next = *m.slots[slot].deadline(m.policy_of(slot));
    if (next.what == Deadline::What::timeout) {
      m.time_out(slot, at, next.reason, actions);
      return;
    }
    m.start_hedge(slot, at, event.at, actions);
  }
  if (event.kind == EventKind::tokens && m.slots[slot].record.first_token == never) {
    slot = m.decide_hedge(slot, own, event.at, actions);
  }
  InFlight& f = m.slots[slot];
  AttemptRecord& r = f.record;
  f.note(event);
  switch (event.kind) {
    case EventKind::sent:
      if (r.sent == never) r.sent = event.at;
      if (r.attempt == 0 && f.first_sent == never) f.first_sent = event.at;
      break;
    case EventKind::first_byte:
      if (r.first_byte == never) r.first_byte = event.at;
      m.heard(slot, event.at);
      break;
    case EventKind::alive:
      m.heard(slot, event.at);
      break;
    case EventKind::tokens: {
      const bool is_first = r.first_token == never;
      if (is_first) {
        r.first_token = event.at;
        m.router.first_token(f.ticket, event.at, event.at - f.started);
        m.tell_decisions();
        if (m.hedging) m.hedging->first_token_after(event.at - f.started);
      } else {
        r.gaps.push_back(event.at - r.last_token);
      }
      r.last_token = f.alive = event.at;
      r.output_tokens += event.tokens;
      if (f.attempt.stop_after_tokens > 0 && r.output_tokens >= f.attempt.stop_after_tokens) {
        actions.push_back({Action::Kind::cancel, f.attempt});
        m.end_attempt(slot, event.at, failure_of(Reason::cancelled));
        break;
      }
      // The total timeout is not moved by a token; the others are, or are over with the first.
      if (m.policy_of(slot).stall_timeout || (is_first && m.timers.armed(slot))) m.arm_patience(slot);
      break;
    }
    case EventKind::done:
      f.note_usage(event);
      m.end_attempt(slot, event.at, failure_of(r.first_token == never ? Reason::empty : Reason::ok));
      break;
    case EventKind::failed: {
      Failure failure = failure_of(event.reason);
      failure.retry_after = event.retry_after;
      failure.should_retry = event.should_retry;
      m.end_attempt(slot, event.at, failure);
      break;
    }
  }
}

void LoadMachine::abandon(Nanos now, std::vector<Action>& actions) {
  Impl& m = *impl_;
  // By request number: the order of a hash table is nobody's promise.
  std::vector<std::pair<std::uint64_t, std::uint32_t>> all;
  m.by_request.for_each([&](std::uint64_t request, std::uint32_t slot) { all.emplace_back(request, slot); });
  std::sort(all.begin(), all.end());
  for (const auto& [request, slot] : all) {
    InFlight& f = m.slots[slot];
    if (f.waiting) {
      m.end_waiting(slot, now, Reason::interrupted);
    } else {
      if (f.partner != no_place) {
        actions.push_back({Action::Kind::cancel, m.slots[f.partner].attempt});
        m.end_hedge(slot, now, Reason::interrupted);
      }
      actions.push_back({Action::Kind::cancel, f.attempt});
      m.end_attempt(slot, now, failure_of(Reason::interrupted));
    }
  }
}

std::size_t LoadMachine::in_flight() const {
  return impl_->by_request.size();
}
std::size_t LoadMachine::pending() const {
  return impl_->arrivals.size() - impl_->next_arrival;
}
std::size_t LoadMachine::sleeping() const {
  return impl_->sleepers.size();
}
std::uint64_t LoadMachine::unsent() const {
  return impl_->unsent;
}

}  // namespace dsbench::loadgen
