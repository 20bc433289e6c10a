#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "core/result.h"

namespace dsbench::loadgen {

// The traces that we read; docs/traces.md says what each looks like.
enum class TraceFormat : std::uint8_t {
  mooncake,
  bailian,
  azure,
  burstgpt,
  sharegpt,
  servegen,
  vllm,
  otel,
  records
};

// "mooncake", "bailian", …, in the order of the enumerators.
[[nodiscard]] std::span<const std::string_view> trace_format_words();
[[nodiscard]] std::string_view to_word(TraceFormat format);
[[nodiscard]] Result<TraceFormat> parse_trace_format(std::string_view word);

// Tokens per prefix hash, where nothing tells otherwise.
[[nodiscard]] std::int32_t usual_block(TraceFormat format);

// How a text is cut into records: by lines, or into the elements of a JSON array (or JSON values one after
// the other) wherever their lines end.
enum class Framing : std::uint8_t { lines, json_elements };

// What the beginning of a file, or the names in a folder, say it is.
struct Detected {
  TraceFormat format = TraceFormat::mooncake;
  Framing framing = Framing::lines;
  std::optional<std::int32_t> block_tokens;  // tokens per prefix hash, when one size fits every request seen
  bool fractional_time = false;              // of JSON lines: a timestamp with a fraction was seen
};

// By content, never by name. Errors: io; usage when it is none of the formats, with what was found and what
// would be accepted. With `as`, only what the format leaves open is looked for.
[[nodiscard]] Result<Detected> detect_format(const std::filesystem::path& path,
                                             std::optional<TraceFormat> as = std::nullopt);

// The same of a file's first bytes; `whole` when there are no more.
[[nodiscard]] Result<Detected> detect_text(std::string_view head, bool whole, std::string_view name,
                                           std::optional<TraceFormat> as = std::nullopt);

}  // namespace dsbench::loadgen
