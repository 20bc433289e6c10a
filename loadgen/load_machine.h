#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/units.h"
#include "loadgen/client_policy.h"
#include "loadgen/request_source.h"
#include "loadgen/runner.h"
#include "loadgen/target.h"
#include "results/record.h"

namespace dsbench::loadgen {

// What the machine wants done, in order.
struct Action {
  enum class Kind : std::uint8_t { start, cancel };
  Kind kind = Kind::start;
  Attempt attempt;
};

// Every decision of a client population, as a state machine over timestamped events: when to send, when to
// give up, when to retry, when a request has ended. Reads no clock, opens no socket, starts no thread. The
// wire loop and the virtual-time loop feed it and carry out its actions; both therefore behave alike.
//
// One machine serves one issuer thread. Points of time are since the start of the run. Those of on_time()
// never go back; those of one attempt's events neither, but an event may be told when others, and timers,
// that came after it have been: what was received first is not always read first.
class LoadMachine {
 public:
  // The sink must outlive the machine. `seed` feeds the jitter of retries (stream "retries"), the patience of
  // people ("patience") and the choice of providers ("routes"), all by request number.
  LoadMachine(ClientPolicies policies, SharedSource source, std::uint64_t seed, std::uint32_t worker,
              results::RecordSink& sink);
  ~LoadMachine();
  LoadMachine(const LoadMachine&) = delete;
  LoadMachine& operator=(const LoadMachine&) = delete;

  // Adds to the schedule. Sorted by due, and not before anything added earlier.
  void add(std::span<const Arrival> arrivals);
  // Forgets arrivals that are not yet due, and what sessions would do next (the run was interrupted).
  void drop_arrivals();

  // While nothing is offered, sessions rest: a next turn that is not yet due waits, and its pause is counted
  // on from where it was when offering goes on. Both may be called again and again.
  void rest_sessions(Nanos now);
  void wake_sessions(Nanos now);

  // The next instant at which on_time() has something to do; nothing when only events can wake us.
  [[nodiscard]] std::optional<Nanos> next_deadline() const;

  // Fires what is due at or before `now`: arrivals, retries, timeouts. Every event stamped up to `heard` has
  // been told: a timeout after that waits, because the token that was in time may not have been read yet.
  void on_time(Nanos now, Nanos heard, std::vector<Action>& actions);
  void on_time(Nanos now, std::vector<Action>& actions) { on_time(now, now, actions); }
  // An event of an attempt that has ended or was cancelled is ignored.
  void on_event(const TargetEvent& event, std::vector<Action>& actions);
  // Ends everything in flight as `interrupted`.
  void abandon(Nanos now, std::vector<Action>& actions);

  // Requests begun and not ended, those that wait for a retry included.
  [[nodiscard]] std::size_t in_flight() const;
  // Arrivals that are not yet due.
  [[nodiscard]] std::size_t pending() const;
  // Next turns of sessions that are not yet due.
  [[nodiscard]] std::size_t sleeping() const;
  // Attempts that were reported `unsent`.
  [[nodiscard]] std::uint64_t unsent() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::loadgen
