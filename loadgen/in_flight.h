#pragma once

#include <cstdint>
#include <optional>

#include "core/units.h"
#include "loadgen/client_policy.h"
#include "loadgen/router.h"
#include "loadgen/target.h"
#include "results/record.h"

namespace dsbench::loadgen {

inline constexpr std::uint32_t no_place = ~std::uint32_t{0};

// One try of a request.
struct Try {
  Attempt attempt;
  results::AttemptRecord record;
  Nanos started{0};  // when the start action was issued
  Nanos alive{0};    // the last sign of life that a read timeout counts
  Nanos hedge_at = results::never;
  Router::Ticket ticket;
  bool budgeted = false;  // has taken a retry from the budget

  // The record of the attempt as it is before anything was heard of it; number, stage and worker stay.
  void begin_record(Nanos due);
  // What an event tells of the answer besides its kind: status, times of the connection, how late it was
  // read.
  void note(const TargetEvent& event);
  // The counts that the server gave with the end of its answer.
  void note_usage(const TargetEvent& event);
};

// What a running attempt waits for.
struct Deadline {
  enum class What : std::uint8_t { timeout, hedge } what = What::timeout;
  Nanos at{0};
  results::Reason reason = results::Reason::ok;  // of a timeout
};

// One request that has begun and not ended, with its current attempt. Slots are used again, so that the
// vector of gaps keeps its memory. A hedge has a slot of its own until one of the two has a first token: it
// is the partner of the request's slot, and of its fields only those of the attempt and the timer mean
// anything.
struct InFlight : Try {
  Nanos request_due{0};               // the schedule's
  Nanos first_sent = results::never;  // of attempt 0
  Nanos patience_ends = results::never;
  std::uint32_t next_attempt = 0;
  std::int32_t retries = 0;
  Nanos delay{0};                     // before the last retry
  ProviderSet failed_on = 0;          // providers that have failed this request
  std::optional<std::uint16_t> keep;  // the session's provider
  std::uint32_t partner = no_place;
  bool is_hedge = false;
  bool waiting = false;           // between two attempts
  bool will_be_budgeted = false;  // the attempt it waits for

  // Makes it a request whose first attempt is yet to start: the attempt, its due instant and the record's
  // number, stage and worker are set.
  void begin();
  // What the running attempt waits for next. At equal instants: first token, stall, total, the user, a hedge.
  [[nodiscard]] std::optional<Deadline> deadline(const ClientPolicy& policy) const;
  // The request as it ends with the current attempt.
  [[nodiscard]] results::RequestRecord outcome(Nanos at, results::Reason reason) const;
};

}  // namespace dsbench::loadgen
