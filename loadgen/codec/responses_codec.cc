#include "loadgen/codec/responses_codec.h"

#include <algorithm>

#include "loadgen/codec/json_scanner.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;
using Kind = ResponseFacts::Kind;

Kind kind_of(std::string_view type) {
  if (!type.starts_with("response.")) return type == "error" ? Kind::failed : Kind::other;
  type.remove_prefix(9);
  if (type.ends_with(".delta")) {
    type.remove_suffix(6);
    if (type == "output_text" || type == "refusal" || type == "function_call_arguments" ||
        type == "custom_tool_call_input" || type == "mcp_call_arguments")
      return Kind::answer;
    if (type == "reasoning_text" || type == "reasoning_summary_text") return Kind::reasoning;
    return Kind::other;
  }
  if (type == "completed") return Kind::completed;
  if (type == "incomplete") return Kind::incomplete;
  if (type == "failed") return Kind::failed;
  return Kind::other;
}

class ResponseScan {
 public:
  ResponseScan(std::string_view json, AnswerText* keep) : scan_{json}, keep_{keep} {}

  std::optional<ResponseFacts> run(std::string_view event) {
    if (!scan_.document([this](const JsonString& key) { return root_member(key); })) return std::nullopt;
    facts_.kind = kind_of(type_ && !type_->escaped ? type_->raw : event);
    if (!type_ && error_) facts_.kind = Kind::failed;  // an error envelope instead of an event
    if (facts_.kind == Kind::answer && keep_ != nullptr) keep_->answer += delta_;
    if (facts_.kind == Kind::reasoning && keep_ != nullptr) keep_->reasoning += delta_;
    return facts_;
  }

 private:
  bool root_member(const JsonString& key) {
    if (key.is("type")) return scan_.string(type_);
    if (key.is("delta")) return scan_.text(facts_.has_delta, keep_ == nullptr ? nullptr : &delta_);
    if (key.is("error")) return scan_.present(error_);
    if (key.is("response")) return scan_.object([this](const JsonString& k) { return response_member(k); });
    return scan_.skip();
  }

  bool response_member(const JsonString& key) {
    if (key.is("usage")) return scan_.object([this](const JsonString& k) { return usage_member(k); });
    if (key.is("incomplete_details")) {
      return scan_.object([this](const JsonString& k) {
        if (!k.is("reason")) return scan_.skip();
        std::optional<JsonString> reason;
        if (!scan_.string(reason)) return false;
        if (reason && (reason->is("max_output_tokens") || reason->is("content_filter")))
          facts_.within_limits = true;
        return true;
      });
    }
    return scan_.skip();
  }

  bool usage_member(const JsonString& key) {
    ReplyReader::Usage& u = facts_.usage;
    if (key.is("input_tokens")) return scan_.count(u.prompt_tokens);
    if (key.is("output_tokens")) return scan_.count(u.output_tokens);
    if (key.is("input_tokens_details")) {
      return scan_.object([this, &u](const JsonString& k) {
        return k.is("cached_tokens") ? scan_.count(u.cached_prompt_tokens) : scan_.skip();
      });
    }
    if (key.is("output_tokens_details")) {
      return scan_.object([this, &u](const JsonString& k) {
        return k.is("reasoning_tokens") ? scan_.count(u.reasoning_tokens) : scan_.skip();
      });
    }
    return scan_.skip();
  }

  JsonScanner scan_;
  AnswerText* keep_;
  std::string delta_;  // what it is comes after it, maybe
  std::optional<JsonString> type_;
  bool error_ = false;
  ResponseFacts facts_;
};

}  // namespace

std::optional<ResponseFacts> scan_response_event(std::string_view event, std::string_view json,
                                                 AnswerText* keep) {
  return ResponseScan{json, keep}.run(event);
}

ResponsesCodec::ResponsesCodec(std::string_view model)
    : head_{"{\"model\":" + json_quoted(model) + ",\"stream\":true,\"store\":false,\"input\":["} {}

void ResponsesCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += head_;
  Prompt{attempt}.append_messages(cache, body, {.images = ImageForm::responses});
  text += "],\"max_output_tokens\":";
  append_number(text, std::max(attempt.output_tokens, fewest_output_tokens()));
  text += '}';
}

std::unique_ptr<ReplyReader> ResponsesCodec::make_reader() const {
  return std::make_unique<ResponsesReader>();
}

Verdict ResponsesReader::judge(const SseEvent& event) {
  if (event.data == "[DONE]") return Verdict::of_failure(Reason::closed_early);  // no end before it
  const auto facts = scan_response_event(event.event, event.data, text_);
  if (!facts) return Verdict::of_failure(event.event == "error" ? Reason::error_frame : Reason::malformed);
  usage_.take(facts->usage);
  switch (facts->kind) {
    case Kind::answer:
    case Kind::reasoning:
      if (!facts->has_delta) return {};
      return Verdict::of_content(1, facts->kind == Kind::reasoning);
    case Kind::completed:
      return Verdict::of_end();
    case Kind::incomplete:
      return facts->within_limits ? Verdict::of_end() : Verdict::of_failure(Reason::error_frame);
    case Kind::failed:
      return Verdict::of_failure(Reason::error_frame);
    case Kind::other:
      break;
  }
  return {};
}

}  // namespace dsbench::loadgen
