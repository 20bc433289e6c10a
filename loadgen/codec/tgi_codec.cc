#include "loadgen/codec/tgi_codec.h"

#include "loadgen/codec/json_scanner.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {

using results::Reason;

std::optional<TgiFacts> scan_tgi_event(std::string_view json, AnswerText* keep) {
  JsonScanner scan{json};
  TgiFacts facts;
  std::string token_text;
  bool has_text = false;
  const auto token_member = [&](const JsonString& key) {
    if (key.is("id")) return scan.present(facts.has_token);
    if (key.is("text") && keep != nullptr) return scan.text(has_text, &token_text);
    if (key.is("special")) return scan.truth(facts.special);
    return scan.skip();
  };
  const auto details_member = [&](const JsonString& key) {
    if (key.is("generated_tokens")) return scan.count(facts.usage.output_tokens);
    if (key.is("input_length")) return scan.count(facts.usage.prompt_tokens);
    return scan.skip();
  };
  const bool whole = scan.document([&](const JsonString& key) {
    if (key.is("token")) return scan.object(token_member);
    if (key.is("generated_text")) return scan.present(facts.has_generated_text);
    if (key.is("details")) return scan.object(details_member);
    if (key.is("error")) return scan.present(facts.is_error);
    return scan.skip();
  });
  if (!whole) return std::nullopt;
  if (keep != nullptr && !facts.special) keep->answer += token_text;
  return facts;
}

void TgiCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += "{\"inputs\":\"";
  Prompt{attempt}.append_text(cache, body);
  text += "\",\"parameters\":{\"do_sample\":false,\"details\":true,\"seed\":";
  append_number(text, seed_of(attempt));
  text += ",\"max_new_tokens\":";
  append_number(text, attempt.output_tokens);
  text += "}}";
}

std::unique_ptr<ReplyReader> TgiCodec::make_reader() const {
  return std::make_unique<TgiReader>();
}

Verdict TgiReader::judge(const SseEvent& event) {
  const auto facts = scan_tgi_event(event.data, text_);
  if (!facts) return Verdict::of_failure(event.event == "error" ? Reason::error_frame : Reason::malformed);
  if (facts->is_error || event.event == "error") return Verdict::of_failure(Reason::error_frame);
  usage_.take(facts->usage);
  Verdict verdict;
  if (facts->has_token && !facts->special) verdict = Verdict::of_content(1);
  verdict.done = facts->has_generated_text;
  return verdict;
}

}  // namespace dsbench::loadgen
