#pragma once

#include <string_view>

#include "core/result.h"

namespace dsbench::cli {

// Says on stderr what is wrong, in the verb's name, and returns the exit code that goes with it.
[[nodiscard]] int refuse(std::string_view verb, const Error& error);

}  // namespace dsbench::cli
