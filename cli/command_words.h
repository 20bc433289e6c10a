#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::cli {

// A command line as a shell would take it apart: blanks, '…', "…" and backslashes; nothing is expanded.
// Errors: usage, for a quote that is not closed.
[[nodiscard]] Result<std::vector<std::string>> split_words(std::string_view text);

}  // namespace dsbench::cli
