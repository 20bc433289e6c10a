#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_reader.h"

// Hugging Face's text-generation-inference, its own API, streaming: POST /generate_stream. One event is one
// token; the last one has the whole text, and there is no other end marker.
namespace dsbench::loadgen {

// What one event says.
struct TgiFacts {
  bool has_token = false;
  bool special = false;             // of the token: it is no part of the text (an end of sequence)
  bool has_generated_text = false;  // the last event
  bool is_error = false;
  ReplyReader::Usage usage = {};
  friend bool operator==(const TgiFacts&, const TgiFacts&) = default;
};
[[nodiscard]] std::optional<TgiFacts> scan_tgi_event(std::string_view json, AnswerText* keep = nullptr);

class TgiCodec final : public Codec {
 public:
  [[nodiscard]] std::string_view path() const override { return "/generate_stream"; }
  // Greedy. The API has no word for a fixed length.
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] std::string_view models_path() const override { return {}; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "an event stream of tokens, the last one with generated_text";
  }
};

class TgiReader final : public SseReader {
 private:
  void restart() override {}
  [[nodiscard]] Verdict judge(const SseEvent& event) override;
};

}  // namespace dsbench::loadgen
