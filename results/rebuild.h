#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "core/result.h"
#include "results/recorder.h"
#include "results/run_summary.h"

namespace dsbench::results {

// What a run without a run.json came to, by its records: killed, or its machine was. Its stages, figures and
// timeline are made of the same records by the same recorder as the run's own would have been; gaps between
// chunks are to a microsecond, as the records have them. A run whose records were not closed counts up to the
// last record that was committed: the stage under way ends there, and those after it are not there.
//
// `ended` says that it was cut off, so that nothing takes it for a whole run, and `warnings` what is not
// known of it. Its verdict is inconclusive and its validity not
// known. Breakdown and requirements are added by who calls.
// Errors: io; usage for a database that is of another schema, in use, or of a run that had not begun a stage.
//
// `judge`, if any, is called while the recorder still knows its seconds, with the stages in the summary and,
// for each of them, whether it was whole: all that was due in it has ended, or was given up by the run
// itself.
using RebuiltJudge = std::function<void(Recorder& recorder, const std::vector<bool>& whole, RunSummary& run)>;
[[nodiscard]] Result<RunSummary> rebuild_run(const std::filesystem::path& records,
                                             const RebuiltJudge& judge = {});

// Whether a run.json is of this kind: nobody knows then how the generator was.
[[nodiscard]] bool was_rebuilt(const RunSummary& run);

}  // namespace dsbench::results
