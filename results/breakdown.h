#pragma once

#include <filesystem>
#include <span>

#include "core/result.h"
#include "results/run_summary.h"

namespace dsbench::results {

// Adds to the summary of a run what only its records tell, request by request: `tenants` and `fairness` where
// there are several classes, `turns` where there are sessions, `amplification` and `phases` of every stage,
// and `token_counts` (less their calibration, which is not of the records). The stages of
// the summary say what the target computed. Reads the database of a run that has been closed, once from end
// to end; writes nothing. Errors: io; usage for a file that is no dsbench.records/1.
[[nodiscard]] Result<void> add_breakdown(const std::filesystem::path& records, RunSummary& run);

// Jain's index (Σx)² ÷ (n · Σx²) of non-negative figures: 1 when all are equal, 1/n when one has everything.
// Nothing: no figure above nought.
[[nodiscard]] std::optional<double> jain_index(std::span<const double> figures);

}  // namespace dsbench::results
