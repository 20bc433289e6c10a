#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/units.h"
#include "results/failover_summary.h"
#include "results/record.h"
#include "results/run_summary.h"

namespace dsbench::results {

// Counts of requests in a tenth of a second.
struct OutcomeCell {
  std::int64_t cell = 0;  // number of the tenth since the start of the run
  std::int64_t all = 0, good = 0;
};
inline constexpr Nanos outcome_cell{100'000'000};

// A session's turn that came to another provider than its turn before had ended at.
struct SessionMove {
  Nanos due{0};
  std::uint64_t session = 0;
  std::uint16_t to = 0;
  std::int64_t prompt_tokens = 0;  // of the turn: its history, sent and computed again
};

struct FailoverEvidence {
  std::vector<std::string> names;  // of the providers, by index
  std::vector<Fault> faults;       // as they were done, by time
  Nanos end{0};                    // of the run
  std::uint32_t workers = 1;
  std::vector<ProviderDecision> decisions;   // by time
  std::vector<OutcomeCell> by_due, by_done;  // by cell
  std::vector<SessionMove> moves;
  // When the series of failures began that lasted until `until`: going back, attempts of the provider failed
  // with less than a second between them.
  std::function<Nanos(std::uint16_t provider, Nanos until)> first_failure;
  struct Losses {
    std::int64_t lost = 0, late = 0;
  };
  // Of the requests that ended at `from` or later and were due before `to`: failed; came and missed the SLO.
  std::function<Losses(Nanos from, Nanos to)> losses;
};

// What happened to the providers and how the clients got over it.
//
// An incident is a fault that was made, or an ejection that no fault explains (each issuer thread's first
// ejection after a fault is the fault's); ejections of one provider are one incident until one of the threads
// has closed its breaker again.
// The good share before is that of the requests which ended in the 10 s before the incident. The service is
// back at the first tenth of a second from which on, for a second, every window of as many tenths as have 20
// requests has 95 % of that share, counted by due time: the failover time has a resolution of 100 ms.
// Nothing: it did not come back, or fewer than 5 requests were left to see it in.
[[nodiscard]] Failover judge_failover(const FailoverEvidence& evidence, Nanos objective);

// "failover ≤ 30 s": met when every incident was over in time; unclear when the run ended before the
// objective had passed. Nothing without incidents.
[[nodiscard]] std::optional<Criterion> failover_criterion(const Failover& failover, Nanos run_end);

}  // namespace dsbench::results
