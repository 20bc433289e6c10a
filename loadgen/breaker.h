#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/units.h"

namespace dsbench::loadgen {

// When a client stops asking a provider, and how it comes back. A rule that is absent is not asked; without
// any the breaker never opens.
struct BreakerLaw {
  std::int32_t consecutive_failures = 0;  // so many in a row; 0: not asked
  std::optional<double> failure_share;    // of the attempts that ended within `window`, ...
  Nanos window{10'000'000'000};
  std::int32_t window_attempts = 20;      // ... when there were so many
  std::optional<Nanos> slow_first_token;  // a later one counts as a failure
  Nanos open_for{10'000'000'000};         // then probes are let through
  std::int32_t probes = 1;                // at once
  std::int32_t probe_successes = 1;       // in a row, to close
  Nanos hold{0};                          // after closing: how long a router still prefers others (failback)

  [[nodiscard]] bool ever_opens() const { return consecutive_failures > 0 || failure_share.has_value(); }
};

// A circuit breaker: closed → open → half open → closed. Pure: time is passed in. What it is told of may have
// been received a little before what it was told of last: that counts with the latest slice of the window.
//
// A probe succeeds at its first token; in the closed state an attempt counts once, as a failure when it fails
// or its first token is slow, as a success when it has ended whole: a provider that begins and breaks off
// each answer must not look healthy in between. What began before the breaker opened does not count any more.
class Breaker {
 public:
  enum class State : std::uint8_t { closed, open, half_open };
  // What the breaker must know again when the attempt ends.
  struct Ticket {
    std::uint32_t era = 0;
    bool probe = false;
    bool counted = false;
  };
  enum class Change : std::uint8_t { none, opened, reopened, closed };

  explicit Breaker(const BreakerLaw& law) : law_{law} {}

  [[nodiscard]] State state(Nanos now) const;
  // Half open, and one more probe may be made.
  [[nodiscard]] bool wants_probe(Nanos now) const;
  // When it closed last; nothing before it ever did.
  [[nodiscard]] std::optional<Nanos> closed_at() const { return closed_at_; }

  // An attempt begins. In the half-open state it is a probe, if wants_probe().
  [[nodiscard]] Ticket begin(Nanos now);
  Change first_token(Ticket& ticket, Nanos now, Nanos ttft);
  enum class Outcome : std::uint8_t { whole, failed, neither };
  Change ended(Ticket& ticket, Nanos now, Outcome outcome);

 private:
  static constexpr std::size_t slices = 10;
  struct Slice {
    std::int32_t ended = 0, failed = 0;
  };
  void count(Nanos now, bool failed);
  Change success_of_probe(Nanos now);
  Change open(Nanos now, Change change);

  BreakerLaw law_;
  bool open_ = false;  // or half open, by the time
  Nanos opened_at_{0};
  std::uint32_t era_ = 0;  // counts the openings, the half-open phases and the closings
  bool half_open_ = false;
  std::int32_t probes_ = 0, successes_ = 0;
  std::int32_t in_a_row_ = 0;
  std::array<Slice, slices> window_{};
  std::int64_t slice_ = 0;
  std::optional<Nanos> closed_at_;
};

}  // namespace dsbench::loadgen
