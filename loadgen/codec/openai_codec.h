#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_parser.h"

// OpenAI's chat and text completions as a load generator needs them: streaming, of exact lengths.
namespace dsbench::loadgen {

enum class Api : std::uint8_t { chat, completions };

// Writes request bodies without a JSON library, because nothing in a body but the model's name could need an
// escape.
class OpenAiCodec final : public Codec {
 public:
  // `exact_lengths` asks for ignore_eos and min_tokens (vLLM, SGLang, our engine), so that the answer has as
  // many tokens as asked; OpenAI itself refuses fields it does not know.
  OpenAiCodec(Api api, std::string_view model, bool exact_lengths);

  [[nodiscard]] std::string_view path() const override;
  // stream with usage, max_tokens, temperature 0 and a seed from the prompt's.
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;

 private:
  Api api_;
  bool exact_lengths_;
  std::string head_;  // up to the prompt
  std::string tail_;  // after the prompt, up to the value of max_tokens
};

// Judges the event stream of a 200. `done` needs both a finish reason and [DONE]; everything else is a
// failure with its reason.
class OpenAiReader final : public ReplyReader {
 public:
  void begin(std::int32_t status) override;
  void feed(std::string_view bytes) override;
  [[nodiscard]] std::optional<Step> next() override;
  [[nodiscard]] Step end_of_body() override;
  [[nodiscard]] results::Reason broken_off() const override;
  [[nodiscard]] Usage usage() const override { return usage_; }
  [[nodiscard]] std::uint64_t comments() const override { return parser_.comments(); }

 private:
  Step fail(results::Reason reason);

  SseParser parser_;
  bool ended_ = false;
  bool finished_ = false;  // a finish reason came
  bool content_ = false;   // a chunk with content came
  // A chunk may carry the last content and the reason of a failure; both are told, in this order.
  results::Reason pending_failure_ = results::Reason::ok;
  Usage usage_;
};

}  // namespace dsbench::loadgen
