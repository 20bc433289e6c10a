#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"
#include "results/run_summary.h"

// run.json, schema "dsbench.run/1". The keys are the field names of results/run_summary.h, with the unit as a
// suffix: durations and stamps in whole ns ("ttft_ns", "time_ns"; a LatencySummary is an object of "min_ns"
// …, without a suffix of its own), rates in requests a second ("offered_rps"). An absent optional is null.
// The first keys are schema, verdict, sentence and validity. Numbers are printed as the shortest text that
// reads back to the same value: equal summaries give equal bytes.
namespace dsbench::results {

inline constexpr int run_schema_major = 1;

[[nodiscard]] std::string print_run(const RunSummary& run);

// Refuses another schema and a newer major version; tolerates unknown keys, and takes the default of
// RunSummary for a missing one other than schema, verdict and validity. A mistyped value is an error with its
// path. `source` names the text in messages.
[[nodiscard]] Result<RunSummary> parse_run(std::string_view text, std::string_view source);

// To a temporary name, synced, renamed.
[[nodiscard]] Result<void> write_run(const std::filesystem::path& path, const RunSummary& run);
[[nodiscard]] Result<RunSummary> read_run(const std::filesystem::path& path);

}  // namespace dsbench::results
