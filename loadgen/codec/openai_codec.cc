#include "loadgen/codec/openai_codec.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "loadgen/codec/chunk_scanner.h"
#include "loadgen/codec/prompt_text.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;

void append_number(std::string& out, std::int64_t n) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, end);
}

void append_part(const PromptPart& part, PromptCache& cache, Body& body) {
  if (part.tokens >= PromptCache::worth_sharing) {
    body.append(cache.text(part.seed, part.tokens));
  } else {
    append_prompt(part.seed, part.tokens, body.text());
  }
}

std::string_view role_word(PromptPart::Role role) {
  switch (role) {
    case PromptPart::Role::system:
      return "system";
    case PromptPart::Role::assistant:
      return "assistant";
    case PromptPart::Role::user:
      break;
  }
  return "user";
}

}  // namespace

OpenAiCodec::OpenAiCodec(Api api, std::string_view model, bool exact_lengths)
    : api_{api}, exact_lengths_{exact_lengths} {
  using nlohmann::json;
  const std::string name = json(std::string{model}).dump(-1, ' ', true, json::error_handler_t::replace);
  head_ = "{\"model\":" + name;
  head_ += api == Api::chat ? ",\"messages\":[{\"role\":\"" : ",\"prompt\":\"";
  tail_ = api == Api::chat ? "\"}]" : "\"";
  tail_ += ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"temperature\":0";
  if (exact_lengths) tail_ += ",\"ignore_eos\":true";
  tail_ += ",\"max_tokens\":";
}

void OpenAiCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  body.clear();
  std::string& text = body.text();
  text += head_;
  const PromptPart whole{attempt.prompt_seed, attempt.prompt_tokens, PromptPart::Role::user};
  const std::span<const PromptPart> parts =
      attempt.parts ? std::span<const PromptPart>{*attempt.parts} : std::span<const PromptPart>{&whole, 1};
  // Parts of one role one after the other are one message; a prompt of text completions is all of them.
  const PromptPart* former = nullptr;
  for (const PromptPart& part : parts) {
    if (api_ == Api::chat && (former == nullptr || former->role != part.role)) {
      if (former != nullptr) text += "\"},{\"role\":\"";
      text += role_word(part.role);
      text += "\",\"content\":\"";
    }
    append_part(part, cache, body);
    former = &part;
  }
  text += tail_;
  append_number(text, attempt.output_tokens);
  if (exact_lengths_) {
    text += ",\"min_tokens\":";
    append_number(text, attempt.output_tokens);
  }
  text += ",\"seed\":";  // 31 bits: every server's integer holds it
  append_number(text, static_cast<std::int64_t>(attempt.prompt_seed & 0x7FFF'FFFF));
  text += '}';
}

std::string_view OpenAiCodec::path() const {
  return api_ == Api::chat ? "/v1/chat/completions" : "/v1/completions";
}

std::unique_ptr<ReplyReader> OpenAiCodec::make_reader() const {
  return std::make_unique<OpenAiReader>();
}

void OpenAiReader::begin(std::int32_t /*status*/) {
  parser_.reset();
  ended_ = finished_ = content_ = false;
  pending_failure_ = Reason::ok;
  usage_ = {};
}

void OpenAiReader::feed(std::string_view bytes) {
  parser_.feed(bytes);
}

ReplyReader::Step OpenAiReader::fail(Reason reason) {
  ended_ = true;
  return {.kind = Step::Kind::failed, .reason = reason};
}

std::optional<ReplyReader::Step> OpenAiReader::next() {
  if (ended_) return std::nullopt;
  if (pending_failure_ != Reason::ok) return fail(pending_failure_);
  while (const auto event = parser_.next()) {
    if (event->data == "[DONE]") {
      if (!finished_) return fail(Reason::closed_early);
      if (!content_) return fail(Reason::empty);
      ended_ = true;
      return Step{.kind = Step::Kind::done};
    }
    const auto facts = scan_chunk(event->data);
    if (event->event == "error" || (facts && facts->is_error)) return fail(Reason::error_frame);
    if (!facts) return fail(Reason::malformed);
    if (facts->usage_prompt_tokens) usage_.prompt_tokens = facts->usage_prompt_tokens;
    if (facts->usage_output_tokens) usage_.output_tokens = facts->usage_output_tokens;
    if (facts->has_finish_reason) finished_ = true;
    if (facts->insufficient_resource) pending_failure_ = Reason::insufficient_resource;
    if (facts->has_content) {
      content_ = true;
      return Step{};
    }
    if (pending_failure_ != Reason::ok) return fail(pending_failure_);
  }
  if (parser_.overflowed()) return fail(Reason::malformed);
  return std::nullopt;
}

ReplyReader::Step OpenAiReader::end_of_body() {
  return fail(broken_off());
}

Reason OpenAiReader::broken_off() const {
  // A body without one event but with lines that no event stream has: not the protocol (JSON, HTML).
  if (parser_.events() == 0 && (parser_.unknown_lines() > 0 || parser_.partial_is_foreign()))
    return Reason::malformed;
  return Reason::closed_early;
}

}  // namespace dsbench::loadgen
