#include "engine/fleet/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

namespace dsbench::engine {
namespace {

std::int32_t status_of(SubmitStatus status) {
  switch (status) {
    case SubmitStatus::too_long:
      return 400;
    case SubmitStatus::rate_limited:
      return 429;
    default:
      return 503;
  }
}

}  // namespace

Result<Fleet> Fleet::build(const profiles::FleetProfile& profile, const FleetOptions& options) {
  SchedulerConfig config = scheduler_config(profile.hardware);
  if (profile.max_queued)
    config.max_queued = static_cast<std::int32_t>(std::llround(profile.max_queued->value));
  if (profile.queue_timeout) config.queue_timeout = from_seconds(profile.queue_timeout->value);
  if (options.max_queued) config.max_queued = options.max_queued;
  if (options.queue_timeout) config.queue_timeout = options.queue_timeout;
  if (options.max_running) config.max_running = *options.max_running;
  config.kv = options.kv;
  config.spec = options.spec;
  config.overload = options.overload;
  DSBENCH_CHECK(check_config(config));
  if (options.tokens_per_event < 1) {
    return fail(ErrorKind::usage, "fleet: tokens_per_event is {}; it must be at least 1",
                options.tokens_per_event);
  }
  return Fleet{profile, config, options};
}

Fleet::Fleet(const profiles::FleetProfile& profile, const SchedulerConfig& config,
             const FleetOptions& options)
    : cost_{profile.hardware},
      options_{options},
      router_{profile.router},
      one_way_{from_seconds(profile.network_rtt.value / 2)},
      blocks_{config.blocks} {
  const auto n = static_cast<std::size_t>(std::llround(profile.replicas.value));
  replicas_.reserve(n);
  for (std::size_t i = 0; i < n; ++i) replicas_.emplace_back(config);
  outstanding_.assign(n, 0);
}

// ---- the client's side

void Fleet::submit(std::uint64_t key, Lengths lengths, Nanos now) {
  FlightSlot slot = static_cast<FlightSlot>(flights_.size());
  if (free_flights_.empty()) {
    flights_.emplace_back();
  } else {
    slot = free_flights_.back();
    free_flights_.pop_back();
  }
  lengths.report_every = options_.tokens_per_event;
  flights_[slot] = Flight{.key = key, .lengths = lengths};
  [[maybe_unused]] const bool fresh = by_key_.emplace(key, slot).second;
  assert(fresh);
  inbound_.push_back({now + one_way_, slot, false});
}

void Fleet::cancel(std::uint64_t key, Nanos now) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return;
  flights_[it->second].cancelled = true;
  inbound_.push_back({now + one_way_, it->second, true});
  by_key_.erase(it);
}

std::optional<Nanos> Fleet::next_inside() const {
  std::optional<Nanos> next;
  if (!board_.empty()) next = board_.next_change(judged_);
  if (!inbound_.empty()) next = std::min(next.value_or(Nanos::max()), inbound_.front().at);
  if (!steps_.empty()) next = std::min(next.value_or(Nanos::max()), steps_.top().first);
  return next;
}

std::optional<Nanos> Fleet::next_event() const {
  const std::optional<Nanos> inside = next_inside();
  if (outbound_.empty()) return inside;
  return inside ? std::min(*inside, outbound_.front().at) : outbound_.front().at;
}

void Fleet::advance(Nanos now, std::vector<FleetEvent>& events) {
  for (std::optional<Nanos> next = next_inside(); next && *next <= now; next = next_inside()) {
    // At the same instant faults begin and end first, and a step ends before anything arrives.
    if (const auto change = board_.next_change(judged_); change && *change == *next) {
      change_condition(*next);
    } else if (!steps_.empty() && steps_.top().first == *next) {
      const std::uint32_t replica = steps_.top().second;
      steps_.pop();
      finish_step(replica, *next);
    } else {
      const Inbound inbound = inbound_.front();
      inbound_.pop_front();
      arrive(inbound);
    }
  }
  while (!outbound_.empty() && outbound_.front().at <= now) {
    const Outbound& out = outbound_.front();
    const Flight& flight = flights_[out.flight];
    if (out.forget) {
      free_flights_.push_back(out.flight);
    } else if (!flight.cancelled) {
      FleetEvent& event = events.emplace_back();
      event.key = flight.key;
      event.at = out.at;
      event.kind = out.kind;
      event.tokens = out.tokens;
      event.http_status = out.http_status;
      event.retry_after = out.retry_after;
      if (out.kind == FleetEvent::Kind::done) {
        event.prompt_tokens = flight.lengths.prompt_tokens;
        event.output_tokens = flight.lengths.output_tokens;
        event.cached_tokens = flight.cached_tokens;
      }
      if (out.kind != FleetEvent::Kind::first_byte && out.kind != FleetEvent::Kind::tokens) {
        by_key_.erase(flight.key);
        free_flights_.push_back(out.flight);
      }
    }
    outbound_.pop_front();
  }
}

// ---- inside

std::uint32_t Fleet::route() {
  const auto n = static_cast<std::uint32_t>(replicas_.size());
  std::uint32_t chosen = turn_;
  if (router_ == profiles::Router::least_outstanding) {
    // Of equals the next in turn, so that an idle fleet is not all its first replica.
    for (std::uint32_t i = 1, r = turn_; i < n && outstanding_[chosen] > 0; ++i) {
      r = r + 1 == n ? 0 : r + 1;
      if (outstanding_[r] < outstanding_[chosen]) chosen = r;
    }
  }
  turn_ = chosen + 1 == n ? 0 : chosen + 1;
  return chosen;
}

void Fleet::arrive(const Inbound& inbound) {
  Flight& flight = flights_[inbound.flight];
  if (condition_.down && !inbound.cancel) {
    send(inbound.at, inbound.flight, FleetEvent::Kind::rejected, 0, 503);
    return;
  }
  if (inbound.cancel) {
    if (!flight.routed) {
      // It has ended already: what was sent is all that still refers to the flight.
      outbound_.push_back({.at = inbound.at + one_way_, .flight = inbound.flight, .forget = true});
    } else {
      // Ends now, or with the step it is part of; relay() forgets it then.
      replicas_[flight.replica].scheduler.cancel(flight.sequence, happened_);
      relay(inbound.at);
    }
    return;
  }
  flight.replica = route();
  Replica& replica = replicas_[flight.replica];
  const Submitted submitted = replica.scheduler.add_lengths(flight.lengths, inbound.flight, inbound.at);
  if (submitted.status != SubmitStatus::accepted) {
    send(inbound.at, inbound.flight, FleetEvent::Kind::rejected, 0, status_of(submitted.status));
    outbound_.back().retry_after = submitted.retry_after;
    return;
  }
  flight.sequence = submitted.id;
  flight.routed = true;
  ++outstanding_[flight.replica];
  if (!replica.stepping) start_step(flight.replica, inbound.at);
}

void Fleet::start_step(std::uint32_t index, Nanos now) {
  Replica& replica = replicas_[index];
  replica.scheduler.expire(now, happened_);
  const StepBatch& batch = replica.scheduler.schedule(happened_);
  relay(now);
  replica.stepping = replica.scheduler.step_out();
  if (!replica.stepping) {
    replica.lost = false;
    return;
  }
  if (condition_.down || replica.lost) {  // every step fails, at once, until nobody is left
    replica.stepping = false;
    replica.scheduler.fail_step(happened_);
    relay(now);
    return start_step(index, now);
  }
  const StepCost cost = cost_.step_time(batch);
  if (cost.extrapolated) ++extrapolated_;
  Nanos time = cost.time;
  if (condition_.slowdown != 1)
    time = Nanos{std::llround(static_cast<double>(time.count()) * condition_.slowdown)};
  replica.busy += time;
  replica.step_time = time;
  steps_.emplace(now + time, index);
}

void Fleet::finish_step(std::uint32_t index, Nanos now) {
  Replica& replica = replicas_[index];
  replica.scheduler.step_took(replica.step_time);
  if (condition_.down || replica.lost) {
    replica.scheduler.fail_step(happened_);
  } else {
    replica.scheduler.complete({}, happened_);
  }
  relay(now);
  start_step(index, now);
}

void Fleet::send(Nanos now, FlightSlot flight, FleetEvent::Kind kind, std::int32_t tokens,
                 std::int32_t http_status) {
  outbound_.push_back({now + one_way_, flight, kind, false, tokens, http_status});
}

void Fleet::leave_replica(Flight& flight) {
  flight.routed = false;
  --outstanding_[flight.replica];
}

// Turns what schedulers report into what travels to clients.
void Fleet::relay(Nanos now) {
  for (const SequenceEvent& event : happened_) {
    const auto slot = static_cast<FlightSlot>(event.tag);
    Flight& flight = flights_[slot];
    switch (event.kind) {
      case SequenceEvent::Kind::started:
        break;
      case SequenceEvent::Kind::token:
        if (flight.sent_tokens == 0) send(now, slot, FleetEvent::Kind::first_byte, 0, 200);
        send(now, slot, FleetEvent::Kind::tokens, event.output_tokens - flight.sent_tokens, 200);
        flight.sent_tokens = event.output_tokens;
        break;
      case SequenceEvent::Kind::finished:
        flight.cached_tokens = event.cached_tokens;
        leave_replica(flight);
        if (event.reason == FinishReason::queue_timeout) {
          send(now, slot, FleetEvent::Kind::queue_timeout, 0, 503);
        } else if (event.reason == FinishReason::expired || event.reason == FinishReason::failed) {
          const bool begun = flight.sent_tokens > 0;
          const std::int32_t status = event.reason == FinishReason::expired ? 504 : 500;
          send(now, slot, begun ? FleetEvent::Kind::failed : FleetEvent::Kind::queue_timeout, 0,
               begun ? 200 : status);
        } else if (event.reason == FinishReason::aborted) {
          outbound_.push_back({.at = now + one_way_, .flight = slot, .forget = true});
        } else {
          send(now, slot, FleetEvent::Kind::done, 0, 200);
        }
        break;
    }
  }
  happened_.clear();
}

// ---- going wrong

Result<std::int64_t> Fleet::add_fault(const Fault& fault) {
  if (!is_of_engine(fault.kind)) {
    return fail(ErrorKind::usage, "the fault '{}' is of a request, not of an engine", print_fault(fault));
  }
  const std::int64_t id = board_.add(fault, Nanos{0});
  judged_ = std::min(judged_, fault.start - Nanos{1});  // the instant that was judged last may be its own
  return id;
}

void Fleet::end_fault(std::int64_t id, Nanos at) {
  if (board_.end(id, at)) judged_ = std::min(judged_, at - Nanos{1});
}

void Fleet::change_condition(Nanos now) {
  judged_ = now;
  board_.expire(now);
  const EngineCondition before = std::exchange(condition_, board_.condition(now));
  if (condition_ == before) return;
  const double gone = (1 - condition_.kv_left) * static_cast<double>(blocks_);
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    Scheduler& scheduler = replicas_[i].scheduler;
    if (condition_.kv_left != before.kv_left)
      scheduler.withhold_blocks(static_cast<std::int32_t>(std::lround(gone)));
    // On both edges, as the server does.
    if (condition_.down != before.down) scheduler.drop_cache();
    if (condition_.down && replicas_[i].stepping) replicas_[i].lost = true;
    // Blocks that are back may be what somebody waits for.
    if (!replicas_[i].stepping && scheduler.has_work()) start_step(i, now);
  }
}

// ---- watching

EngineStats Fleet::stats() const {
  EngineStats sum;
  for (const Replica& replica : replicas_) {
    sum += replica.scheduler.stats();
    sum.busy += replica.busy;
  }
  return sum;
}

std::string Fleet::check() const {
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    if (auto broken = replicas_[i].scheduler.check(); !broken.empty())
      return fmt::format("replica {}: {}", i, broken);
  }
  return {};
}

}  // namespace dsbench::engine
