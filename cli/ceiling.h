#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::cli {

// What this generator reached on this machine against a server that does nothing, with everything recorded as
// in a real run: `dsbench doctor --ceiling`.
struct Ceiling {
  std::string measured_at;  // UTC
  std::string dsbench_version, dsbench_commit;
  std::string cpu_model;
  std::int32_t cores = 0;    // usable
  std::int32_t threads = 1;  // issuers
  Rate requests;             // completed, answered in one packet
  Rate events;               // SSE events, one to a packet, in answers of 200
  Rate packed_events;        // the same, 64 to a packet
  std::int64_t streams = 0;  // at once, each with stream_events
  Rate stream_events = Rate::per_second(10);
  Rate lag_rate;  // at which the send lag was measured
  Nanos send_lag_p50{0}, send_lag_p99{0};
  Nanos platform_jitter_p99{0};     // of a thread that only sleeps, measured beside it
  std::string requests_limited_by;  // "generator", "null server" or "not reached"
};

// $XDG_CACHE_HOME/dsbench/ceiling.json, or ~/.cache/dsbench/ceiling.json; empty without a home.
[[nodiscard]] std::filesystem::path ceiling_path();

[[nodiscard]] std::string print_ceiling(const Ceiling& ceiling);
[[nodiscard]] Result<Ceiling> parse_ceiling(const std::string& json);

// Makes the folder where it is missing.
[[nodiscard]] Result<void> write_ceiling(const std::filesystem::path& path, const Ceiling& ceiling);
// Nothing when none has been measured, or the file cannot be understood.
[[nodiscard]] std::optional<Ceiling> read_ceiling(const std::filesystem::path& path);

// What a run asked of the generator, at its most.
struct CeilingLoad {
  std::string cpu_model;  // as in results/host_facts
  std::int32_t cores = 0;
  std::int32_t threads = 1;
  Rate requests, events;
  std::int64_t streams = 0;
};

// One sentence when the run went beyond 80 % of what was measured; nothing otherwise, and nothing when the
// ceiling was measured on another processor. With more threads than the ceiling was measured with, the rates
// scale with the threads, up to the cores.
[[nodiscard]] std::optional<std::string> beyond_ceiling(const Ceiling& ceiling, const CeilingLoad& load);

}  // namespace dsbench::cli
