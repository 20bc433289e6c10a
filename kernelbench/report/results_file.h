#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "kernelbench/result.h"

namespace dsbench::kernelbench {

// Schema "dsbench.kernels/1": Google Benchmark's own JSON ("context", "benchmarks": what its compare.py
// reads) with everything that it has no place for under "dsbench": facts, ceilings, cells. docs/kernels.md
// describes every field. `google_json` may be empty (nothing was timed).
[[nodiscard]] std::string print_results(const KernelRun& run, std::string_view google_json);

// What print_results() wrote. Refuses another file, or a newer schema, by name.
[[nodiscard]] Result<KernelRun> parse_results(std::string_view text, std::string_view source);

}  // namespace dsbench::kernelbench
