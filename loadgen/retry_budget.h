#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/units.h"

namespace dsbench::loadgen {

// Keeps a client from answering an outage with a storm. Budgets are of one client process; an issuer thread
// is one such process, so N threads behave like N of them, and the minimum counts N times.
struct RetryBudgetLaw {
  enum class Kind : std::uint8_t {
    // Finagle's RetryBudget: a request deposits `share` of a retry, a retry takes a whole one, either is
    // forgotten after `ttl`; `minimum` a second are there in any case.
    deposits,
    // Envoy's retry_budget: at most max(minimum, share · active) retries at once.
    concurrent,
  };
  Kind kind = Kind::deposits;
  double share = 0.2;
  double minimum = 10;        // deposits: retries a second; concurrent: retries at once
  Nanos ttl{10'000'000'000};  // of deposits
};

class RetryBudget {
 public:
  explicit RetryBudget(const RetryBudgetLaw& law);

  void request_began(Nanos now);
  // Whether one more retry may be made; if so, it is taken. `active`: attempts under way.
  [[nodiscard]] bool take(Nanos now, std::size_t active);
  // A retry that was taken is over (or was never made).
  void retry_ended();

 private:
  static constexpr std::size_t slices = 10;  // of the time to live: what is older than nine to ten is gone
  void move_to(Nanos now);

  RetryBudgetLaw law_;
  // Thousandths of a retry, deposited less taken, by slice of time.
  std::array<std::int64_t, slices> balance_{};
  std::int64_t slice_ = 0;
  std::int64_t sum_ = 0;
  std::int64_t active_retries_ = 0;
};

}  // namespace dsbench::loadgen
