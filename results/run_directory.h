#pragma once

#include <filesystem>
#include <optional>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::results {

// The folder of one run.
struct RunDirectory {
  std::filesystem::path path;
  [[nodiscard]] std::filesystem::path run_json() const { return path / "run.json"; }
  [[nodiscard]] std::filesystem::path records() const { return path / "records.sqlite"; }
  [[nodiscard]] std::filesystem::path latency_log() const { return path / "latency.hlog"; }
  [[nodiscard]] std::filesystem::path report() const { return path / "report.html"; }
};

// Creates `wanted` (and its parents), or, when nothing is wanted, dsbench-run-YYYYmmdd-HHMMSS (UTC of
// `wall_clock`, with -2, -3 … when that is taken) in the current folder. An existing folder must be empty: a
// run is never written over. Errors: usage when it is not, or is a file; io when the file system refuses or
// `needed` bytes are not free.
[[nodiscard]] Result<RunDirectory> create_run_directory(const std::optional<std::filesystem::path>& wanted,
                                                        Nanos wall_clock, Bytes needed);

// An existing run, for reading: a folder with a run.json, or the run.json itself.
[[nodiscard]] Result<RunDirectory> find_run_directory(const std::filesystem::path& path);

// Whether the file system of `folder` has that much for us.
[[nodiscard]] Result<void> check_free_space(const std::filesystem::path& folder, Bytes needed);

// What records.sqlite and latency.hlog take for so many attempts, with room to spare: see docs of the
// recorder for the measurement.
[[nodiscard]] Bytes expected_size(std::int64_t attempts, std::int64_t gaps_per_attempt);

}  // namespace dsbench::results
