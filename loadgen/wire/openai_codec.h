#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/units.h"
#include "loadgen/target.h"
#include "loadgen/wire/sse_parser.h"
#include "results/record.h"

// OpenAI's chat and text completions as a load generator needs them: streaming, of exact lengths.
namespace dsbench::loadgen {

enum class Api : std::uint8_t { chat, completions };

// Appends `bytes` printable ASCII bytes that need no escape in JSON: small letters and single or repeated
// spaces, with a letter at both ends. A function of `seed` alone. To a byte tokeniser that is as many tokens;
// to others about a quarter.
void append_prompt(std::uint64_t seed, std::int64_t bytes, std::string& out);

// Writes request bodies. Built once per issuer; encode() uses no JSON library, because nothing in a body but
// the model's name could need an escape.
class RequestEncoder {
 public:
  // `exact_lengths` asks for ignore_eos and min_tokens (vLLM, SGLang, our engine), so that the answer has as
  // many tokens as asked; OpenAI itself refuses fields it does not know.
  RequestEncoder(Api api, std::string_view model, bool exact_lengths);

  // Replaces `body`. stream with usage, max_tokens, temperature 0 and a seed from the prompt's.
  void encode(const Attempt& attempt, std::string& body) const;

  // "/chat/completions" or "/completions", below the base.
  [[nodiscard]] std::string_view path() const;

 private:
  Api api_;
  bool exact_lengths_;
  std::string head_;  // up to the prompt
  std::string tail_;  // after the prompt, up to the value of max_tokens
};

// Judges the body of a 200, piece by piece: what arrived, and whether it was whole. `done` needs both a
// finish reason and [DONE]; everything else is a failure with its reason.
class StreamReader {
 public:
  // What the stream has come to, in the order in which it came.
  struct Step {
    enum class Kind : std::uint8_t { tokens, done, failed };
    Kind kind = Kind::tokens;
    results::Reason reason = results::Reason::ok;  // of `failed`
  };

  // Forgets the former stream, keeps the memory.
  void reset();

  // `bytes` must stay until next() has returned nothing. After done or failed nothing more is returned.
  void feed(std::string_view bytes);
  [[nodiscard]] std::optional<Step> next();

  // The body ended, orderly or not: the reason why that is a failure. Only to be asked when next() told no
  // end.
  [[nodiscard]] results::Reason end_of_body() const;

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::optional<std::int32_t> usage_prompt_tokens() const { return usage_prompt_tokens_; }
  [[nodiscard]] std::optional<std::int32_t> usage_output_tokens() const { return usage_output_tokens_; }
  [[nodiscard]] std::int32_t content_chunks() const { return content_chunks_; }
  [[nodiscard]] std::uint64_t comments() const { return parser_.comments(); }

 private:
  Step fail(results::Reason reason);

  SseParser parser_;
  bool ended_ = false;
  bool finished_ = false;  // a finish reason came
  std::int32_t content_chunks_ = 0;
  // A chunk may carry the last content and the reason of a failure; both are told, in this order.
  results::Reason pending_failure_ = results::Reason::ok;
  std::optional<std::int32_t> usage_prompt_tokens_, usage_output_tokens_;
};

}  // namespace dsbench::loadgen
