#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_reader.h"

// Anthropic's Messages, streaming: POST /v1/messages. DeepSeek, vLLM, SGLang and llama.cpp speak it too.
namespace dsbench::loadgen {

// What one event says.
struct MessageFacts {
  enum class Kind : std::uint8_t {
    other,
    start,          // message_start: the usage of the prompt
    answer,         // content_block_delta of text or of a tool's input
    reasoning,      // content_block_delta of thinking
    message_delta,  // the stop reason, and the usage of the answer
    stop,           // message_stop
    ping,
    error,
  };
  Kind kind = Kind::other;
  bool has_delta = false;        // of answer and reasoning: not empty
  bool has_stop_reason = false;  // of message_delta
  // As they stand. Anthropic counts the prompt in three parts: read from the cache, written to it, neither.
  std::optional<std::int32_t> input_tokens, cache_read_tokens, cache_written_tokens, output_tokens;
  friend bool operator==(const MessageFacts&, const MessageFacts&) = default;
};
// The type inside the data counts; `event`, the name on the event's own line, where there is none.
[[nodiscard]] std::optional<MessageFacts> scan_message_event(std::string_view event, std::string_view json,
                                                             AnswerText* keep = nullptr);

class AnthropicCodec final : public Codec {
 public:
  explicit AnthropicCodec(std::string_view model);

  [[nodiscard]] std::string_view path() const override { return "/v1/messages"; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers() const override {
    return {{"anthropic-version", "2023-06-01"}};
  }
  [[nodiscard]] std::pair<std::string, std::string> key_header(const std::string& key) const override {
    return {"x-api-key", key};
  }
  // The system's parts at the beginning are the top-level `system`; later ones are the user's, because
  // messages have no such role. The API has no word for a fixed length.
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] bool takes_images() const override { return true; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "an event stream of content_block_delta, message_delta with a stop_reason, and message_stop";
  }

 private:
  std::string head_;  // up to the value of max_tokens
};

// `done` needs both a stop reason and message_stop.
class AnthropicReader final : public SseReader {
 private:
  void restart() override;
  [[nodiscard]] Verdict judge(const SseEvent& event) override;

  bool stopped_ = false;
  std::optional<std::int32_t> input_, cache_read_, cache_written_;
};

}  // namespace dsbench::loadgen
