#pragma once

#include <filesystem>
#include <vector>

#include "core/result.h"
#include "results/run_summary.h"
#include "results/verdicts/threshold.h"

namespace dsbench::results {

// A threshold that has a window ("p99 ttft < 500ms over 60s"): every window of that length inside a stage's
// measured part must meet it, judged by the requests that are due in it. Windows begin a tenth of their
// length apart (a second at least); the last one ends with the stage. One criterion for each stage, which
// tells of the worst window. No data is a failure: a stage shorter than the window, a window without
// requests, a percentile that has too few samples.
//
// Reads the database of a run that has been closed. Errors: io; usage for a file that is no
// dsbench.records/1.
[[nodiscard]] Result<std::vector<Criterion>> judge_windows(const Threshold& threshold,
                                                           const std::filesystem::path& records,
                                                           const std::vector<StageSummary>& stages);

}  // namespace dsbench::results
