#pragma once

#include <filesystem>
#include <string_view>

#include "core/result.h"
#include "results/run_summary.h"

namespace dsbench::results {

// The kind of a run that another tool made.
inline constexpr std::string_view imported_kind = "imported";

// A result file of another tool as a run: `vllm bench serve` (JSON), SGLang's bench_serving (JSON lines),
// AIPerf's profile_export_aiperf.json, GuideLLM's JSON report. It has what the file says and nothing else:
// no timeline, no records, no send lag; a percentile only where the file has it and so many requests as it
// needs. Each benchmark of the file is a stage. Without bounds of a service level every request that came
// back whole is a good one, unless the file says how many were.
//
// Their latencies count from when a request was sent: they stand in both the fields of origin due and of
// origin sent, and a warning says so.
//
// Errors: usage for a file that is none of these, with what is accepted.
[[nodiscard]] Result<RunSummary> import_result(std::string_view text, std::string_view source);

// A run of ours (a folder, its run.json) or a result file of another tool.
[[nodiscard]] Result<RunSummary> read_any_run(const std::filesystem::path& path);

}  // namespace dsbench::results
