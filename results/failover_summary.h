#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"
#include "results/record.h"

// What run.json says of the providers that a run had, of the faults that were made, and of how the clients
// got over them. Judged by results/verdicts/failover.h. Field names are the keys, with the unit as a suffix.
namespace dsbench::results {

// Something that was done to a provider: its process killed and started anew, or stopped and continued.
enum class FaultKind : std::uint8_t { kill, stall };
[[nodiscard]] std::string_view to_word(FaultKind kind);

struct Fault {
  std::uint16_t provider = 0;
  FaultKind kind = FaultKind::kill;
  Nanos at{0};                // since the start of the run; when it was done
  std::optional<Nanos> heal;  // when it was whole again
  friend bool operator==(const Fault&, const Fault&) = default;
};

struct ProviderSummary {
  std::uint16_t index = 0;
  std::string name;  // as given to --target
  std::int64_t attempts = 0;
  std::int64_t requests = 0;  // that ended here
  std::int64_t good = 0;      // of these
  std::array<std::int64_t, reason_count> attempts_by_reason{};
  std::int64_t prompt_tokens = 0;  // of its attempts
  // Of these: of attempts whose request had been tried elsewhere before, and of a session's turns whose turn
  // before had ended elsewhere: a history that is not in this provider's cache.
  std::int64_t resent_tokens = 0, reprefilled_tokens = 0;
  std::int64_t ejections = 0;  // over all issuer threads
};

// One provider in one second of the run, by the time at which the attempts or requests ended.
struct ProviderSecond {
  std::int64_t second = 0;
  std::uint16_t provider = 0;
  std::int64_t sent = 0;    // attempts, by when they were sent
  std::int64_t good = 0;    // requests that ended here and were good
  std::int64_t failed = 0;  // attempts that failed
};

// A provider that failed: a fault that was made, or the clients' finding that it does not work.
struct Incident {
  std::uint16_t provider = 0;
  std::string cause;         // "kill", "stall"; "found by the clients"
  Nanos start{0};            // the fault; else the first failure of the series that led to the ejection
  std::optional<Nanos> end;  // the fault's heal; else the first probe that succeeded
  // From the start to the first decision against the provider, and to the last issuer thread's first.
  std::optional<Nanos> detection, detection_last;
  // From the start until the good share was back at 95 % of what it had been before.
  std::optional<Nanos> failover;
  std::optional<double> good_share_before;
  std::int64_t requests_lost = 0;  // failed in between, of all providers
  std::int64_t requests_late = 0;  // came, and missed the SLO
  std::int64_t sessions_moved =
      0;  // of whose turns one came to another provider than the turn before, in between
  std::int64_t reprefilled_tokens = 0;  // that those turns sent again
  std::optional<Nanos> failback;        // from the end until the first ordinary attempt went there again
};

struct Failover {
  Nanos objective{0};
  std::vector<Incident> incidents;
  std::int64_t changes = 0;       // ejections and readmissions, over all issuer threads
  double changes_per_minute = 0;  // of one issuer thread: flapping
  std::int64_t sessions_moved = 0, reprefilled_tokens = 0, resent_tokens = 0;
  std::vector<ProviderSecond> seconds;
  std::string sentence;
  // In all incidents together: one that two of them share is one. In no file; the sentence of the criterion
  // has it.
  std::int64_t requests_lost = 0;
};

}  // namespace dsbench::results
