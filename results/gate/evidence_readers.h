#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "results/run_summary.h"

// The two sources of evidence, behind results/gate/evidence.h.
namespace dsbench::results::gate {

// Of a run: schema, kind, workload, arrivals, rates …, as run_keys() lists them. Values are short texts;
// equal things give equal texts.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> comparability_key(const RunSummary& run);

// Whether a JSON text has the outline of Google Benchmark's: a context and benchmarks.
[[nodiscard]] bool is_kernel_result(std::string_view text);

}  // namespace dsbench::results::gate
