#pragma once

#include <filesystem>

#include "core/result.h"
#include "results/run_summary.h"

namespace dsbench::results {

// What a run without a run.json came to, by its records: killed, or its machine was. Its stages, figures and
// timeline are made of the same records by the same recorder as the run's own would have been; gaps between
// chunks are to a microsecond, as the records have them. A run whose records were not closed counts up to the
// last record that was committed: the stage under way ends there, and those after it are not there.
//
// `ended` says that it was cut off, so that nothing takes it for a whole run, and `warnings` what is not
// known of it. Its verdict is inconclusive. Breakdown, validity and requirements are added by who calls.
// Errors: io; usage for a database that is of another schema, in use, or of a run that had not begun a stage.
[[nodiscard]] Result<RunSummary> rebuild_run(const std::filesystem::path& records);

// Whether a run.json is of this kind: nobody knows then how the generator was.
[[nodiscard]] bool was_rebuilt(const RunSummary& run);

}  // namespace dsbench::results
