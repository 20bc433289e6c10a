#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_reader.h"

// SGLang's own API, streaming: POST /generate. It has no chat template and names no model.
namespace dsbench::loadgen {

// What one event says. Its text is all text so far, so that only the count of tokens tells what is new.
struct SglangFacts {
  bool has_text = false;  // not empty
  bool has_finish_reason = false;
  bool is_error = false;  // "error" that is not null, or a finish reason of type "abort"
  ReplyReader::Usage usage = {};
  friend bool operator==(const SglangFacts&, const SglangFacts&) = default;
};
[[nodiscard]] std::optional<SglangFacts> scan_sglang_event(std::string_view json);

class SglangCodec final : public Codec {
 public:
  explicit SglangCodec(bool exact_lengths) : exact_lengths_{exact_lengths} {}

  [[nodiscard]] std::string_view path() const override { return "/generate"; }
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] std::string_view models_path() const override { return {}; }
  // Every event counts the tokens so far; its text is that so far, or not, as the server was started.
  [[nodiscard]] bool tells_text() const override { return false; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "an event stream of text with meta_info, a finish_reason and data: [DONE]";
  }

 private:
  bool exact_lengths_;
};

// `done` needs both a finish reason and [DONE].
class SglangReader final : public SseReader {
 private:
  void restart() override;
  [[nodiscard]] Verdict judge(const SseEvent& event) override;

  bool finished_ = false;
  std::int32_t counted_ = 0;  // tokens told
};

}  // namespace dsbench::loadgen
