#pragma once

#include <string_view>

namespace dsbench {

// Release number, as in "0.1.0".
[[nodiscard]] std::string_view version();
// Git commit the binary was configured from, 12 hex digits, or "unknown".
[[nodiscard]] std::string_view commit();
// Compiler, its version and the build type, as in "GNU 12.2.0 Release".
[[nodiscard]] std::string_view build();

}  // namespace dsbench
