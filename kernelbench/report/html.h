#pragma once

#include <string>

#include "kernelbench/result.h"

namespace dsbench::kernelbench {

// One page, no network: the verdict, the roofline as a picture, every cell in a table, what failed and why,
// the machine, how it was measured.
[[nodiscard]] std::string render_kernels_html(const KernelRun& run);
// For a merge request.
[[nodiscard]] std::string render_kernels_markdown(const KernelRun& run);

}  // namespace dsbench::kernelbench
