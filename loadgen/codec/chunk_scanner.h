#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "loadgen/codec/codec.h"

namespace dsbench::loadgen {

// What one data frame of an OpenAI stream of chat or text completions says, as far as a load generator asks.
struct ChunkFacts {
  std::int32_t answers = 0;            // choices with non-empty text, refusal or tool call
  std::int32_t reasonings = 0;         // choices with non-empty reasoning and none of the above
  bool has_finish_reason = false;      // not null
  bool insufficient_resource = false;  // finish_reason "insufficient_system_resource" (DeepSeek)
  // "error" that is not null, "object": "error" (older vLLM), or finish_reason "abort" or "error" (engines
  // that gave up in the middle).
  bool is_error = false;
  ReplyReader::Usage usage = {};
  friend bool operator==(const ChunkFacts&, const ChunkFacts&) = default;
};

// Reads one JSON object (json_scanner.h says what it accepts); anything else gives nothing. When a key is
// repeated, what either says counts. What content and reasoning say is appended to `keep`, where there is
// one.
[[nodiscard]] std::optional<ChunkFacts> scan_chunk(std::string_view json, AnswerText* keep = nullptr);
// The same of an answer in one piece, which has messages where a stream has deltas.
[[nodiscard]] std::optional<ChunkFacts> scan_answer(std::string_view json, AnswerText* keep = nullptr);

}  // namespace dsbench::loadgen
