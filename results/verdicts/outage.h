#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/units.h"
#include "results/run_summary.h"

namespace dsbench::results {

// A stretch in which users were not served, told from the timeline alone.
struct Outage {
  Nanos began{0};  // start of the first second of it
  std::optional<Nanos>
      ended;  // start of the first second from which they were served again; nothing: not in this run
  bool relapse =
      false;          // it began sooner after the one before it than that one had lasted, or within a minute
  std::string stage;  // in which it began
  std::int64_t requests = 0, lost = 0;  // due in it, and of those not good
  double worst_share = 0;               // lowest good share over five seconds
  Nanos worst_at{0};
  double amplification = 1;  // attempts sent ÷ requests due, at its highest over five seconds
  Nanos amplification_at{0};
  std::int64_t most_in_flight = 0;
};

// It begins where less than half of the requests due in five seconds turn out good, and ends where at least
// 95 % of those due in ten seconds do (in what is left of the run, five seconds at least). Windows with fewer
// than five requests say nothing and change nothing.
[[nodiscard]] std::vector<Outage> find_outages(const RunSummary& run);

// What a post-mortem has: one line an event, in the order of time. "detected" is the first five seconds with
// a good share below half, seen at their end: what an alert on five-second windows would have given.
struct OutageEvent {
  Nanos at{0};
  std::string what;  // "began", "detected", "amplified", "worst", "recovered", "relapsed", "not recovered",
                     // "fault", "healed"
  std::string detail;
};
[[nodiscard]] std::vector<OutageEvent> outage_events(const RunSummary& run, std::span<const Outage> outages);

// "Two outages, 35 s in all, the second a relapse; the longest took 20 s to recover, within the objective of
// 30 s."
[[nodiscard]] std::string outage_sentence(std::span<const Outage> outages, std::optional<Nanos> objective);

}  // namespace dsbench::results
