#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"

namespace dsbench::results {

// Chunk gaps as they lie in records.sqlite: unsigned LEB128 numbers of microseconds. The running sum is
// rounded and not each gap, so that the sum of n gaps is right to 0.5 µs.
void append_gaps(std::string& out, std::span<const Nanos> gaps);
// Nothing when the bytes are not such a list.
[[nodiscard]] std::optional<std::vector<Nanos>> decode_gaps(std::string_view bytes);

}  // namespace dsbench::results
