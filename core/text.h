#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/units.h"

namespace dsbench {

// Units belong to the value: "30s", "500ms", "250us", "10ns", "4m", "1h", "1h30m". A bare number is refused
// with an example, because seconds and milliseconds look alike.
[[nodiscard]] Result<Nanos> parse_duration(std::string_view text);
// "12.5/s", "300/m", "10/h".
[[nodiscard]] Result<Rate> parse_rate(std::string_view text);
// "64KiB", "2GiB", "100MB", "512B".
[[nodiscard]] Result<Bytes> parse_bytes(std::string_view text);

// For people: about three significant digits, "1.25 s", "340 ms", "12.0 µs", "2 h 05 min".
[[nodiscard]] std::string format_duration(Nanos d);
// "12.5/s".
[[nodiscard]] std::string format_rate(Rate r);
// The shortest text that parses back to the same rate, without an exponent ("0.0000025/s"): for profiles and
// command lines.
[[nodiscard]] std::string print_rate(Rate r);
// "1.31 TiB".
[[nodiscard]] std::string format_bytes(Bytes b);
// The shortest text that parses back to the same duration ("1500ms"): for profiles and command lines.
[[nodiscard]] std::string print_duration(Nanos d);

// The nearest of the accepted words, if it is near enough to be a typo; empty otherwise.
[[nodiscard]] std::string_view nearest_word(std::string_view word,
                                            std::span<const std::string_view> accepted);
// "a, b, c" for messages.
[[nodiscard]] std::string join(std::span<const std::string_view> words, std::string_view separator = ", ");

// UTC, "2026-11-22T11:36:48Z", from nanoseconds since the Unix epoch.
[[nodiscard]] std::string format_utc(Nanos since_unix_epoch);
// The same form back, whole seconds or with a fraction: "2026-11-22T11:36:48.5Z".
[[nodiscard]] Result<Nanos> parse_utc(std::string_view text);

}  // namespace dsbench
