#pragma once

#include <string>

#include "kernelbench/result.h"

namespace dsbench::kernelbench {

// For a terminal: the ceilings, then one line a cell; what failed is said in full below. Colour is the
// caller's (none here).
[[nodiscard]] std::string render_table(const KernelRun& run);

// "12.3 µs": three significant digits.
[[nodiscard]] std::string format_seconds(double seconds);

}  // namespace dsbench::kernelbench
