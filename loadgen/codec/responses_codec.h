#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_reader.h"

// OpenAI's Responses, streaming: POST /v1/responses.
namespace dsbench::loadgen {

// What one event says.
struct ResponseFacts {
  enum class Kind : std::uint8_t {
    other,
    answer,      // a delta of text, refusal or a call's arguments
    reasoning,   // a delta of reasoning or of its summary
    completed,   // the end
    incomplete,  // the end, before the model was finished
    failed,      // "response.failed", "error", or an error that is no event
  };
  Kind kind = Kind::other;
  bool has_delta = false;      // "delta" is a string and not empty
  bool within_limits = false;  // of incomplete: max_output_tokens or content_filter was the reason
  ReplyReader::Usage usage = {};
  friend bool operator==(const ResponseFacts&, const ResponseFacts&) = default;
};
// `event` is the name on the event's own line; the type inside the data counts where both are.
[[nodiscard]] std::optional<ResponseFacts> scan_response_event(std::string_view event, std::string_view json,
                                                               AnswerText* keep = nullptr);

class ResponsesCodec final : public Codec {
 public:
  explicit ResponsesCodec(std::string_view model);

  [[nodiscard]] std::string_view path() const override { return "/v1/responses"; }
  // Parts are input messages. Nothing is stored. The API has no word for a fixed length.
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  // OpenAI refuses a max_output_tokens below 16.
  [[nodiscard]] std::int32_t fewest_output_tokens() const override { return 16; }
  [[nodiscard]] bool takes_images() const override { return true; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "an event stream of response.output_text.delta and response.completed";
  }

 private:
  std::string head_;  // up to the messages
};

// An answer that stopped at max_output_tokens is whole: it is as long as was asked. One that is incomplete
// for another reason has failed.
class ResponsesReader final : public SseReader {
 private:
  void restart() override {}
  [[nodiscard]] Verdict judge(const SseEvent& event) override;
};

}  // namespace dsbench::loadgen
