#include "loadgen/codec/triton_codec.h"

#include "loadgen/codec/json_scanner.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {

using results::Reason;

std::optional<TritonFacts> scan_triton_event(std::string_view json, AnswerText* keep) {
  JsonScanner scan{json};
  TritonFacts facts;
  const bool whole = scan.document([&](const JsonString& key) {
    if (key.is("text_output")) {
      // One text, or one for each output of a batch.
      if (scan.is_array()) return scan.array([&] { return scan.text(facts.has_text, answer_of(keep)); });
      return scan.text(facts.has_text, answer_of(keep));
    }
    if (key.is("error")) return scan.present(facts.is_error);
    return scan.skip();
  });
  if (!whole) return std::nullopt;
  return facts;
}

TritonCodec::TritonCodec(std::string_view model, bool exact_lengths)
    : path_{"/v2/models/" + url_segment(model) + "/generate_stream"}, exact_lengths_{exact_lengths} {}

void TritonCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += "{\"text_input\":\"";
  Prompt{attempt}.append_text(cache, body);
  text += "\",\"parameters\":{\"stream\":true,\"temperature\":0,\"max_tokens\":";
  append_number(text, attempt.output_tokens);
  if (exact_lengths_) {
    text += ",\"min_tokens\":";
    append_number(text, attempt.output_tokens);
    text += ",\"ignore_eos\":true";
  }
  text += "}}";
}

std::unique_ptr<ReplyReader> TritonCodec::make_reader() const {
  return std::make_unique<TritonReader>();
}

Verdict TritonReader::judge(const SseEvent& event) {
  const auto facts = scan_triton_event(event.data, text_);
  if (!facts) return Verdict::of_failure(event.event == "error" ? Reason::error_frame : Reason::malformed);
  if (facts->is_error || event.event == "error") return Verdict::of_failure(Reason::error_frame);
  return facts->has_text ? Verdict::of_content(1) : Verdict{};
}

KserveCodec::KserveCodec(std::string_view model) : path_{"/v2/models/" + url_segment(model) + "/infer"} {}

void KserveCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += R"({"inputs":[{"name":"text_input","shape":[1,1],"datatype":"BYTES","data":[")";
  Prompt{attempt}.append_text(cache, body);
  text += R"("]},{"name":"max_tokens","shape":[1,1],"datatype":"INT32","data":[)";
  append_number(text, attempt.output_tokens);
  text += "]}]}";
}

std::unique_ptr<ReplyReader> KserveCodec::make_reader() const {
  return std::make_unique<KserveReader>();
}

Verdict KserveReader::judge(std::string_view object) {
  JsonScanner scan{object};
  bool has_data = false, is_error = false;
  const bool whole = scan.document([&](const JsonString& key) {
    if (key.is("error")) return scan.present(is_error);
    if (!key.is("outputs")) return scan.skip();
    return scan.array([&] {
      return scan.object([&](const JsonString& k) {
        return k.is("data") ? scan.array([&] {
          if (!scan.is_string()) return scan.present(has_data);
          bool has_text = false;
          has_data = true;
          return scan.text(has_text, answer_of(text_));
        })
                            : scan.skip();
      });
    });
  });
  if (!whole) return Verdict::of_failure(Reason::malformed);
  if (is_error) return Verdict::of_failure(Reason::error_frame);
  return has_data ? Verdict::of_content(1) : Verdict{};
}

}  // namespace dsbench::loadgen
