#include "loadgen/codec/openai_codec.h"

#include <algorithm>

#include "loadgen/codec/chunk_scanner.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {

using results::Reason;

OpenAiCodec::OpenAiCodec(Api api, std::string_view model, bool exact_lengths, bool stream)
    : api_{api}, exact_lengths_{exact_lengths}, stream_{stream} {
  head_ = "{\"model\":" + json_quoted(model);
  head_ += api == Api::chat ? ",\"messages\":[" : ",\"prompt\":\"";
  tail_ = api == Api::chat ? "]" : "\"";
  tail_ += stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : ",\"stream\":false";
  tail_ += ",\"temperature\":0";
  if (exact_lengths) tail_ += ",\"ignore_eos\":true";
  tail_ += ",\"max_tokens\":";
}

void OpenAiCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += head_;
  const Prompt prompt{attempt};
  if (api_ == Api::chat) {
    prompt.append_messages(cache, body);
  } else {
    prompt.append_text(cache, body);
  }
  text += tail_;
  append_number(text, attempt.output_tokens);
  if (exact_lengths_) {
    text += ",\"min_tokens\":";
    append_number(text, attempt.output_tokens);
  }
  text += ",\"seed\":";
  append_number(text, seed_of(attempt));
  text += '}';
}

std::string_view OpenAiCodec::path() const {
  return api_ == Api::chat ? "/v1/chat/completions" : "/v1/completions";
}

std::unique_ptr<ReplyReader> OpenAiCodec::make_reader() const {
  if (!stream_) return std::make_unique<OpenAiWholeReader>();
  return std::make_unique<OpenAiReader>();
}

std::string_view OpenAiCodec::whole_answer() const {
  return stream_ ? "an event stream of content, a finish_reason and data: [DONE]"
                 : "one JSON object with choices that have content";
}

void OpenAiReader::restart() {
  finished_ = false;
  counted_ = 0;
}

Verdict OpenAiReader::judge(const SseEvent& event) {
  if (event.data == "[DONE]")
    return finished_ ? Verdict::of_end() : Verdict::of_failure(Reason::closed_early);
  const auto facts = scan_chunk(event.data, text_);
  if (event.event == "error" || (facts && facts->is_error)) return Verdict::of_failure(Reason::error_frame);
  if (!facts) return Verdict::of_failure(Reason::malformed);
  usage_.take(facts->usage);
  if (facts->has_finish_reason) finished_ = true;
  Verdict verdict;
  if (facts->answers + facts->reasonings > 0) {
    verdict = Verdict::of_content(facts->answers + facts->reasonings, facts->answers == 0);
    if (const std::int32_t all = facts->usage.output_tokens.value_or(0); all > 0)
      verdict.tokens = std::max(0, all - counted_);
    counted_ += verdict.tokens;
  }
  if (facts->insufficient_resource) verdict.failure = Reason::insufficient_resource;
  return verdict;
}

Verdict OpenAiWholeReader::judge(std::string_view object) {
  const auto facts = scan_answer(object, text_);
  if (!facts) return Verdict::of_failure(Reason::malformed);
  if (facts->is_error) return Verdict::of_failure(Reason::error_frame);
  usage_ = facts->usage;
  const std::int32_t choices = facts->answers + facts->reasonings;
  Verdict verdict;
  if (choices > 0) verdict = Verdict::of_content(usage_.output_tokens.value_or(choices), facts->answers == 0);
  if (facts->insufficient_resource) verdict.failure = Reason::insufficient_resource;
  return verdict;
}

}  // namespace dsbench::loadgen
