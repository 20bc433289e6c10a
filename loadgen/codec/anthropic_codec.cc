#include "loadgen/codec/anthropic_codec.h"

#include <algorithm>
#include <limits>

#include "loadgen/codec/json_scanner.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;
using Kind = MessageFacts::Kind;

class MessageScan {
 public:
  MessageScan(std::string_view json, AnswerText* keep) : scan_{json}, keep_{keep} {}

  std::optional<MessageFacts> run(std::string_view event) {
    if (!scan_.document([this](const JsonString& key) { return root_member(key); })) return std::nullopt;
    facts_.kind = kind_of(type_ && !type_->escaped ? type_->raw : event);
    if (!type_ && error_) facts_.kind = Kind::error;  // an error envelope instead of an event
    return facts_;
  }

 private:
  Kind kind_of(std::string_view type) {
    if (type == "content_block_delta") {
      facts_.has_delta = text_ || thinking_;
      return thinking_ ? Kind::reasoning : Kind::answer;
    }
    if (type == "message_start") return Kind::start;
    if (type == "message_delta") return Kind::message_delta;
    if (type == "message_stop") return Kind::stop;
    if (type == "ping") return Kind::ping;
    if (type == "error") return Kind::error;
    return Kind::other;
  }

  bool root_member(const JsonString& key) {
    if (key.is("type")) return scan_.string(type_);
    if (key.is("delta")) {
      return scan_.object([this](const JsonString& k) {
        // Each type of delta has a key of its own; a signature is no content.
        if (k.is("text") || k.is("partial_json")) return scan_.text(text_, answer_of(keep_));
        if (k.is("thinking")) return scan_.text(thinking_, reasoning_of(keep_));
        if (k.is("stop_reason")) return scan_.present(facts_.has_stop_reason);
        return scan_.skip();
      });
    }
    if (key.is("usage")) return usage();
    if (key.is("message")) {
      return scan_.object([this](const JsonString& k) { return k.is("usage") ? usage() : scan_.skip(); });
    }
    if (key.is("error")) return scan_.present(error_);
    return scan_.skip();
  }

  bool usage() {
    return scan_.object([this](const JsonString& key) {
      if (key.is("input_tokens")) return scan_.count(facts_.input_tokens);
      if (key.is("output_tokens")) return scan_.count(facts_.output_tokens);
      if (key.is("cache_read_input_tokens")) return scan_.count(facts_.cache_read_tokens);
      if (key.is("cache_creation_input_tokens")) return scan_.count(facts_.cache_written_tokens);
      return scan_.skip();
    });
  }

  JsonScanner scan_;
  AnswerText* keep_;
  std::optional<JsonString> type_;
  bool text_ = false, thinking_ = false, error_ = false;
  MessageFacts facts_;
};

// Of counts that a server may have made up.
std::int32_t sum(std::int64_t a, std::int64_t b, std::int64_t c) {
  return static_cast<std::int32_t>(
      std::min<std::int64_t>(a + b + c, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace

std::optional<MessageFacts> scan_message_event(std::string_view event, std::string_view json,
                                               AnswerText* keep) {
  return MessageScan{json, keep}.run(event);
}

AnthropicCodec::AnthropicCodec(std::string_view model)
    : head_{"{\"model\":" + json_quoted(model) + ",\"stream\":true,\"max_tokens\":"} {}

void AnthropicCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += head_;
  append_number(text, attempt.output_tokens);
  const Prompt prompt{attempt};
  const auto parts = prompt.parts();
  const auto is_system = [](const PromptPart& part) { return part.role == PromptPart::Role::system; };
  auto first =
      static_cast<std::size_t>(std::find_if_not(parts.begin(), parts.end(), is_system) - parts.begin());
  if (first == parts.size()) first = 0;  // there must be a message
  if (first > 0) {
    text += ",\"system\":\"";
    prompt.append_text(cache, body, first);
    text += '"';
  }
  text += ",\"messages\":[";
  prompt.append_messages(cache, body, {first, "user", ImageForm::anthropic});
  text += "]}";
}

std::unique_ptr<ReplyReader> AnthropicCodec::make_reader() const {
  return std::make_unique<AnthropicReader>();
}

void AnthropicReader::restart() {
  stopped_ = false;
  input_.reset();
  cache_read_.reset();
  cache_written_.reset();
}

Verdict AnthropicReader::judge(const SseEvent& event) {
  const auto facts = scan_message_event(event.event, event.data, text_);
  if (!facts) return Verdict::of_failure(event.event == "error" ? Reason::error_frame : Reason::malformed);
  switch (facts->kind) {
    case Kind::answer:
    case Kind::reasoning:
      if (!facts->has_delta) return {};
      return Verdict::of_content(1, facts->kind == Kind::reasoning);
    case Kind::message_delta:
      // What message_start says of the output is a beginning, not a count.
      if (facts->output_tokens) usage_.output_tokens = facts->output_tokens;
      stopped_ = stopped_ || facts->has_stop_reason;
      [[fallthrough]];
    case Kind::start:
      if (facts->input_tokens) input_ = facts->input_tokens;
      if (facts->cache_read_tokens) cache_read_ = facts->cache_read_tokens;
      if (facts->cache_written_tokens) cache_written_ = facts->cache_written_tokens;
      if (input_) usage_.prompt_tokens = sum(*input_, cache_read_.value_or(0), cache_written_.value_or(0));
      if (cache_read_) usage_.cached_prompt_tokens = cache_read_;
      return {};
    case Kind::stop:
      return stopped_ ? Verdict::of_end() : Verdict::of_failure(Reason::closed_early);
    case Kind::ping:
      ++pings_;
      return {};
    case Kind::error:
      return Verdict::of_failure(Reason::error_frame);
    case Kind::other:
      break;
  }
  return {};
}

}  // namespace dsbench::loadgen
