#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// HTTP statuses from `low` to `high`.
struct StatusRange {
  std::int32_t low = 0, high = 0;
  friend bool operator==(const StatusRange&, const StatusRange&) = default;
};
// "408, 409, 429, 5xx, 520-527".
[[nodiscard]] Result<std::vector<StatusRange>> parse_statuses(std::string_view text);
[[nodiscard]] std::string print_statuses(const std::vector<StatusRange>& statuses);

}  // namespace dsbench::profiles
