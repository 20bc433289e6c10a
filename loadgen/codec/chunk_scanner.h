#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dsbench::loadgen {

// What one data frame of an OpenAI stream says, as far as a load generator asks.
struct ChunkFacts {
  bool has_content = false;            // non-empty text or reasoning in some choice (chat and completions)
  bool has_finish_reason = false;      // not null
  bool insufficient_resource = false;  // finish_reason "insufficient_system_resource" (DeepSeek)
  bool is_error = false;               // "error" that is not null, or "object": "error" (older vLLM)
  std::optional<std::int32_t> usage_prompt_tokens = {};
  std::optional<std::int32_t> usage_output_tokens = {};
  friend bool operator==(const ChunkFacts&, const ChunkFacts&) = default;
};

// Reads one JSON object in a single pass, without building anything: whatever the spacing, the escapes (in
// keys too), the order of keys and the nesting of what is skipped. Checks the whole grammar of RFC 8259,
// except that it takes any bytes at or above 0x80 and any \uXXXX inside a string (a tokeniser may cut a
// character in two, and a server may say so). Nesting deeper than 64 and anything but one object is refused:
// nothing is returned. When a key is repeated, what either says counts.
[[nodiscard]] std::optional<ChunkFacts> scan_chunk(std::string_view json);

}  // namespace dsbench::loadgen
