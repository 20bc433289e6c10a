#include "loadgen/codec/sglang_codec.h"

#include "loadgen/codec/json_scanner.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {

using results::Reason;

std::optional<SglangFacts> scan_sglang_event(std::string_view json) {
  JsonScanner scan{json};
  SglangFacts facts;
  const auto reason_member = [&](const JsonString& key) {
    if (!key.is("type")) return scan.skip();
    std::optional<JsonString> type;
    if (!scan.string(type)) return false;
    if (type && type->is("abort")) facts.is_error = true;
    return true;
  };
  const auto info_member = [&](const JsonString& key) {
    if (key.is("prompt_tokens")) return scan.count(facts.usage.prompt_tokens);
    if (key.is("completion_tokens")) return scan.count(facts.usage.output_tokens);
    if (key.is("cached_tokens")) return scan.count(facts.usage.cached_prompt_tokens);
    if (key.is("finish_reason")) {  // an object; older versions wrote a word
      if (!scan.is_null()) facts.has_finish_reason = true;
      return scan.object(reason_member);
    }
    return scan.skip();
  };
  const bool whole = scan.document([&](const JsonString& key) {
    if (key.is("text")) return scan.text(facts.has_text);
    if (key.is("meta_info")) return scan.object(info_member);
    if (key.is("error")) return scan.present(facts.is_error);
    return scan.skip();
  });
  if (!whole) return std::nullopt;
  return facts;
}

void SglangCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += "{\"text\":\"";
  Prompt{attempt}.append_text(cache, body);
  text += "\",\"sampling_params\":{\"temperature\":0,\"max_new_tokens\":";
  append_number(text, attempt.output_tokens);
  if (exact_lengths_) {
    text += ",\"min_new_tokens\":";
    append_number(text, attempt.output_tokens);
    text += ",\"ignore_eos\":true";
  }
  text += "},\"stream\":true}";
}

std::unique_ptr<ReplyReader> SglangCodec::make_reader() const {
  return std::make_unique<SglangReader>();
}

void SglangReader::restart() {
  finished_ = false;
  counted_ = 0;
}

Verdict SglangReader::judge(const SseEvent& event) {
  if (event.data == "[DONE]")
    return finished_ ? Verdict::of_end() : Verdict::of_failure(Reason::closed_early);
  const auto facts = scan_sglang_event(event.data);
  if (!facts) return Verdict::of_failure(event.event == "error" ? Reason::error_frame : Reason::malformed);
  if (facts->is_error || event.event == "error") return Verdict::of_failure(Reason::error_frame);
  usage_.take(facts->usage);
  if (facts->has_finish_reason) finished_ = true;
  const std::int32_t all = facts->usage.output_tokens.value_or(facts->has_text ? counted_ + 1 : 0);
  if (all <= counted_) return {};
  const std::int32_t fresh = all - counted_;
  counted_ = all;
  return Verdict::of_content(fresh);
}

}  // namespace dsbench::loadgen
