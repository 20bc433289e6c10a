#pragma once

#include <string_view>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::engine {

// What this process may still take: the least of MemAvailable and of what each control group around it has
// left.
[[nodiscard]] Result<Bytes> available_memory();

// The same from another root than "/": for tests.
[[nodiscard]] Result<Bytes> available_memory_under(std::string_view root);

}  // namespace dsbench::engine
