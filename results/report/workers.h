#pragma once

#include <string>

#include "results/report/breakdown.h"
#include "results/report/html_parts.h"
#include "results/run_summary.h"

namespace dsbench::results::report {

// Of a merged run: each worker, how it began and what it came to. No rows but the head: it was not merged.
[[nodiscard]] PlainTable worker_table(const RunSummary& run);

// "United from 4 of 4 workers, which met …"; empty as well.
[[nodiscard]] std::string worker_sentence(const RunSummary& run);

void put_workers(Html& html, const RunSummary& run);
[[nodiscard]] std::string markdown_workers(const RunSummary& run);

}  // namespace dsbench::results::report
