#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "results/run_directory.h"
#include "results/run_summary.h"

namespace dsbench::results {

// Workers that begin further apart than this have not offered one load.
inline constexpr Nanos most_apart{100'000'000};

// A worker's run, or why a folder holds none.
struct WorkerRun {
  RunDirectory directory;
  RunSummary summary;
};

struct MergeOptions {
  bool allow_missing = false;  // judge what was offered, although some of the schedule was not
};

// Unites the runs of the workers of one load: every record again through a recorder, which writes
// `out`/records.sqlite and counts as it did in each of them; the interval logs added; stages, timeline and
// validity from all of them. `out` must exist and be empty of a run. `unusable` is what is said of folders
// that should hold a run and do not.
//
// Refused (usage), because it would be no one load: runs that are no workers' runs, of different plans,
// schedules, seeds or numbers of workers; a worker that comes twice; a request that is not its worker's, or
// comes twice; records that do not agree with the run file beside them.
// Invalid, because it is another load than was planned: a missing worker (unless it is allowed), workers that
// began apart, a worker whose run is invalid.
// A worker that was interrupted ends the judged part of each stage for all.
//
// The criteria are not judged here, nor is what only the closed records tell: see results/breakdown.h.
[[nodiscard]] Result<RunSummary> merge_workers(std::vector<WorkerRun> runs,
                                               const std::vector<std::string>& unusable,
                                               const std::filesystem::path& out,
                                               const MergeOptions& options = {});

}  // namespace dsbench::results
