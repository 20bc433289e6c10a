#pragma once

#include "core/rng.h"
#include "results/run_summary.h"

namespace dsbench::results {

// A run of a rehearsal as it might be, every field different from its default.
[[nodiscard]] RunSummary sample_run();

// A summary of random values, fields absent or present by chance.
[[nodiscard]] RunSummary random_run(Rng& rng);

}  // namespace dsbench::results
