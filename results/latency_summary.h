#pragma once

#include "results/histogram.h"
#include "results/run_summary.h"

namespace dsbench::results {

// p50, p90, p95, p99 and p99.9, each only when finite and infinite samples together are as many as it needs
// (samples_needed() in results/statistics.h).
[[nodiscard]] LatencySummary summarize_latency(const Histogram& histogram);

}  // namespace dsbench::results
