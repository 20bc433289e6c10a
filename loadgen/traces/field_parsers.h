#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"

// The small change of the trace readers.
namespace dsbench::loadgen {

// More tokens than any model's context: a slip in the source.
inline constexpr std::int64_t most_trace_tokens = 16'777'216;

// A finite number, with nothing around it but spaces.
[[nodiscard]] std::optional<double> parse_number(std::string_view text);
// A count of tokens: whole (123 or 123.0), 0 to most_trace_tokens.
[[nodiscard]] Result<std::int32_t> parse_tokens(std::string_view text, std::string_view what);
[[nodiscard]] Result<std::int32_t> to_tokens(double value, std::string_view what);

// "2023-11-16 18:15:46.6805900", "2024-05-10T00:00:00.009930+00:00", "…Z": since the Unix epoch. No offset is
// UTC; digits below a nanosecond are dropped.
[[nodiscard]] std::optional<Nanos> parse_utc(std::string_view text);

// A number of the source's clock; refuses what would not fit into 292 years.
[[nodiscard]] Result<Nanos> to_instant(double value, double seconds_per_unit);

// The fields of a CSV line: commas (or another delimiter), double quotes (doubled inside), spaces around are
// dropped. The views live as long as the line; a quoted field with a doubled quote keeps the pair.
void split_csv(std::string_view line, std::vector<std::string_view>& fields, char delimiter = ',');
// What a table's first line is divided by: a comma, or, without one, a semicolon or a tab.
[[nodiscard]] char delimiter_of(std::string_view line);

}  // namespace dsbench::loadgen
