#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::loadgen {

// One request of the schedule: known before the first leaves, never moved.
struct Arrival {
  std::uint64_t request = 0;
  Nanos due{0};  // since the start of the run
  std::uint32_t stage = 0;
  friend bool operator==(const Arrival&, const Arrival&) = default;
};

// How the generator itself fared, over one stretch of a run.
struct GeneratorHealth {
  double cpu_share = 0;             // of the cores its threads may use, 0 to 1; 0 in virtual time
  double busiest_worker_share = 0;  // CPU of the busiest issuer thread, 0 to 1
  Nanos platform_jitter_p99{0};     // how late a thread that only sleeps wakes up here, measured alongside
  std::uint64_t unsent = 0;         // attempts that never left us
  std::int64_t descriptors_used = 0;
  std::int64_t descriptors_limit = 0;
  std::int64_t ports_used = 0;   // local ports in use towards the target, an estimate: open connections
  std::int64_t ports_limit = 0;  // of the ephemeral range
};

// One experiment on one target: on the wire or in virtual time. Time runs from the runner's construction,
// which is the start of the run. Not thread-safe; one controller drives it. State (what is in flight, retries
// that wait) carries over between calls, so consecutive offers make one continuous experiment.
class Runner {
 public:
  virtual ~Runner() = default;

  // Since the start of the run.
  [[nodiscard]] virtual Nanos now() const = 0;

  // Offers the arrivals (sorted by due, none before now()) and returns at `until`. What is in flight then
  // goes on. Errors: interrupted, when the stop flag was raised: the arrivals not yet due are forgotten, the
  // rest is still in flight.
  virtual Result<void> offer(std::span<const Arrival> arrivals, Nanos until) = 0;

  // Offers nothing new (retries go on) until nothing is in flight or now() reaches `deadline`. Returns how
  // many are left.
  virtual Result<std::size_t> drain(Nanos deadline) = 0;

  // Gives up what is in flight: recorded as `interrupted`.
  virtual void abandon() = 0;

  // Requests begun and not yet ended (waiting for a retry included).
  [[nodiscard]] virtual std::size_t in_flight() const = 0;

  // Since the last call of health(); resets the stretch.
  [[nodiscard]] virtual GeneratorHealth health() = 0;
};

}  // namespace dsbench::loadgen
