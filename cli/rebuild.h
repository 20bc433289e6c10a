#pragma once

#include "core/result.h"
#include "results/run_directory.h"

namespace dsbench::cli {

// Makes the run.json of a run that was cut off, of its records: results::rebuild_run(), with all that is
// judged and broken down of a run that has ended. Errors: as there.
[[nodiscard]] Result<void> rebuild(const results::RunDirectory& directory);

}  // namespace dsbench::cli
