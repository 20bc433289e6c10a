#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/json_reader.h"
#include "loadgen/codec/sse_reader.h"

// Triton's generate extension (TensorRT-LLM and vLLM behind it), streaming, and KServe's inference protocol
// v2, which answers in one piece. Both name their tensors as Triton's language models do: text_input,
// max_tokens, text_output.
namespace dsbench::loadgen {

// What one event of generate_stream says.
struct TritonFacts {
  bool has_text = false;  // text_output is not empty
  bool is_error = false;
  friend bool operator==(const TritonFacts&, const TritonFacts&) = default;
};
[[nodiscard]] std::optional<TritonFacts> scan_triton_event(std::string_view json, AnswerText* keep = nullptr);

// POST /v2/models/MODEL/generate_stream.
class TritonCodec final : public Codec {
 public:
  TritonCodec(std::string_view model, bool exact_lengths);

  [[nodiscard]] std::string_view path() const override { return path_; }
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] std::string_view models_path() const override { return {}; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "an event stream of text_output, and an orderly end";
  }

 private:
  std::string path_;
  bool exact_lengths_;
};

// The API has no end marker and no usage: an orderly end of the body is the end.
class TritonReader final : public SseReader {
 private:
  void restart() override {}
  [[nodiscard]] Verdict judge(const SseEvent& event) override;
  [[nodiscard]] bool may_end() const override { return true; }
};

// POST /v2/models/MODEL/infer.
class KserveCodec final : public Codec {
 public:
  explicit KserveCodec(std::string_view model);

  [[nodiscard]] std::string_view path() const override { return path_; }
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] std::string_view models_path() const override { return {}; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "one JSON object whose outputs have data";
  }

 private:
  std::string path_;
};

class KserveReader final : public JsonReader {
 private:
  [[nodiscard]] Verdict judge(std::string_view object) override;
};

}  // namespace dsbench::loadgen
