#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/json_reader.h"
#include "loadgen/codec/sse_reader.h"

// OpenAI's chat and text completions as a load generator needs them, with the manners of those who speak the
// same (vLLM, SGLang, DeepSeek, TGI, llama.cpp, our engine).
namespace dsbench::loadgen {

enum class Api : std::uint8_t { chat, completions };

class OpenAiCodec final : public Codec {
 public:
  // `exact_lengths` asks for ignore_eos and min_tokens (vLLM, SGLang, our engine), so that the answer has as
  // many tokens as asked; OpenAI itself refuses fields it does not know. Without `stream` the answer is one
  // JSON object.
  OpenAiCodec(Api api, std::string_view model, bool exact_lengths, bool stream = true);

  [[nodiscard]] std::string_view path() const override;
  // stream with usage, max_tokens, temperature 0 and a seed from the prompt's.
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] bool takes_images() const override { return api_ == Api::chat; }
  [[nodiscard]] std::string_view whole_answer() const override;

 private:
  Api api_;
  bool exact_lengths_;
  bool stream_;
  std::string head_;  // up to the prompt
  std::string tail_;  // after the prompt, up to the value of max_tokens
};

// Judges the event stream of a 200. `done` needs both a finish reason and [DONE]; everything else is a
// failure with its reason. Several choices in one frame count one token each; where every frame carries a
// usage (vLLM's continuous_usage_stats), its increments are the tokens.
class OpenAiReader final : public SseReader {
 private:
  void restart() override;
  [[nodiscard]] Verdict judge(const SseEvent& event) override;

  bool finished_ = false;     // a finish reason came
  std::int32_t counted_ = 0;  // tokens told
};

// Judges an answer in one JSON object.
class OpenAiWholeReader final : public JsonReader {
 private:
  [[nodiscard]] Verdict judge(std::string_view object) override;
};

}  // namespace dsbench::loadgen
