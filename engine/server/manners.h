#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/units.h"

// How a service behaves at its edges: what its errors look like, what it says while a request waits, when it
// gives up. One struct of values for each service that we imitate; nothing else asks which service it is.
namespace dsbench::engine::server {

// Where usage tells how much of the prompt came from the cache.
enum class CacheUsage : std::uint8_t {
  details,      // prompt_tokens_details.cached_tokens
  hit_and_miss  // prompt_cache_hit_tokens, prompt_cache_miss_tokens
};

// What an error of one status says besides its message.
struct ErrorWords {
  int status = 0;
  std::string_view type;
  std::string_view advice;  // goes behind the message; may be empty
};

struct Manners {
  std::string_view name;
  std::string_view describe;  // for --help

  // Errors. A status without words keeps the type that we gave it.
  std::span<const ErrorWords> errors = {};
  bool numeric_code = false;       // "code" is the status, as a number
  std::string_view code = {};      // not empty: what "code" always says
  int invalid_field_status = 400;  // valid JSON in which a field is missing, of a wrong type or out of range
  int unknown_model_status = 404;
  bool sends_retry_after = true;
  bool checks_key = false;        // a credential that is none is refused with 401
  bool done_after_error = false;  // [DONE] also follows an error event

  // While a request waits.
  bool early_head = false;  // a stream's 200 goes out at once, not with its first token
  // After this much silence a stream gets a comment, a whole answer a blank line (and with the first one its
  // 200). Zero: never.
  Nanos keep_alive{0};
  std::optional<Nanos> cut_off = std::nullopt;        // from arrival to the last token
  std::optional<Nanos> start_cut_off = std::nullopt;  // from arrival to being admitted to run

  // Answers of chat and completions.
  // The finish_reason of a generation that had begun and that the server ended; empty: it ends with an error.
  std::string_view interrupted = {};
  CacheUsage cache_usage = CacheUsage::details;
  double reasoning_share = 0;  // of a chat's max_tokens: so many come first, as reasoning_content

  // The body's field that tells apart the users behind one key; empty: none.
  std::string_view user_field = {};
};

// openai, vllm, deepseek-2025-02, deepseek-2026. The first is the default.
[[nodiscard]] std::span<const Manners> all_manners();
[[nodiscard]] inline const Manners& openai_manners() {
  return all_manners().front();
}
// Null for a name that is none of them.
[[nodiscard]] const Manners* find_manners(std::string_view name);

}  // namespace dsbench::engine::server
