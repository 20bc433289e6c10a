#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "results/failover_summary.h"
#include "results/run_summary.h"

namespace dsbench::results {

// Reads a closed records.sqlite and fills providers, faults and failover of the summary, whose duration must
// be set. `names` are the targets as given. Errors: io.
[[nodiscard]] Result<void> judge_providers(const std::filesystem::path& records,
                                           std::vector<std::string> names, std::vector<Fault> faults,
                                           Nanos objective, RunSummary& summary);

}  // namespace dsbench::results
