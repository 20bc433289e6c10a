#include "engine/server/rendering.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/server/stream_renderer.h"

namespace dsbench::engine::server {
namespace {

std::string_view finish_word(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : "length";
}

std::string usage_json(const Finish& finish) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})",
                     finish.prompt_tokens, finish.output_tokens, finish.prompt_tokens + finish.output_tokens);
}

std::string null_or_quoted(const std::string& text) {
  return text.empty() ? "null" : json_quoted(text);
}

// Chat and completions.
class OpenAiRenderer final : public StreamRenderer {
 public:
  explicit OpenAiRenderer(const AnswerIdentity& identity) : sse_{identity} {}
  void open(std::string& out) override { sse_.open(out); }
  void token(std::string& out, TokenId token) override { sse_.token(out, token); }
  void close(std::string& out, const Finish& finish) override { sse_.close(out, finish); }
  void fail(std::string& out, const ApiError& error) override { out += render_error_event(error); }

 private:
  SseRenderer sse_;
};

}  // namespace

std::string json_quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string render_error(const ApiError& error) {
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})",
                     json_quoted(error.message), json_quoted(error.type), null_or_quoted(error.param),
                     null_or_quoted(error.code));
}

std::string render_error(ApiKind kind, const ApiError& error) {
  return kind == ApiKind::messages ? render_anthropic_error(error) : render_error(error);
}

int http_status(ApiKind kind, const ApiError& error) {
  return kind == ApiKind::messages && error.status == 503 ? 529 : error.status;
}

std::unique_ptr<StreamRenderer> make_stream_renderer(const AnswerIdentity& identity) {
  switch (identity.kind) {
    case ApiKind::messages:
      return make_messages_renderer(identity);
    case ApiKind::responses:
      return make_responses_renderer(identity);
    case ApiKind::chat:
    case ApiKind::completion:
      break;
  }
  return std::make_unique<OpenAiRenderer>(identity);
}

std::string render_error_event(const ApiError& error) {
  return fmt::format("data: {}\n\n", render_error(error));
}

SseRenderer::SseRenderer(const AnswerIdentity& identity)
    : kind_{identity.kind}, include_usage_{identity.include_usage}, writer_{identity.writer} {
  const bool chat = kind_ == ApiKind::chat;
  head_ = fmt::format(R"(data: {{"id":{},"object":"{}","created":{},"model":{},"choices":[)",
                      json_quoted(identity.id), chat ? "chat.completion.chunk" : "text_completion",
                      identity.created, json_quoted(identity.model));
  prefix_ = head_ + (chat ? R"({"index":0,"delta":{"content":")" : R"({"index":0,"text":")");
  suffix_ =
      chat ? R"("},"logprobs":null,"finish_reason":null}])" : R"(","logprobs":null,"finish_reason":null}])";
  suffix_ += include_usage_ ? ",\"usage\":null}\n\n" : "}\n\n";
}

void SseRenderer::open(std::string& out) const {
  if (kind_ != ApiKind::chat) return;
  out += head_;
  out += R"({"index":0,"delta":{"role":"assistant","content":)";
  out += '"';
  out += suffix_;
}

void SseRenderer::token(std::string& out, TokenId token) const {
  out += prefix_;
  append_json_token(out, token, writer_.get());
  out += suffix_;
}

void SseRenderer::close(std::string& out, const Finish& finish) const {
  out += head_;
  out += kind_ == ApiKind::chat ? R"({"index":0,"delta":{},"logprobs":null,"finish_reason":")"
                                : R"({"index":0,"text":"","logprobs":null,"finish_reason":")";
  out += finish_word(finish.reason);
  out += include_usage_ ? "\"}],\"usage\":null}\n\n" : "\"}]}\n\n";
  if (include_usage_) {
    out += head_;
    out += "],\"usage\":";
    out += usage_json(finish);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

std::string render_answer(const AnswerIdentity& identity, std::string_view text, const Finish& finish) {
  if (identity.kind == ApiKind::messages) return render_message(identity, text, finish);
  if (identity.kind == ApiKind::responses) return render_response(identity, text, finish);
  const bool chat = identity.kind == ApiKind::chat;
  const std::string quoted = json_quoted(text);
  const std::string choice = chat ? fmt::format(R"("message":{{"role":"assistant","content":{}}})", quoted)
                                  : fmt::format(R"("text":{})", quoted);
  return fmt::format(
      R"({{"id":{},"object":"{}","created":{},"model":{},"choices":[{{"index":0,{},"logprobs":null,"finish_reason":"{}"}}],"usage":{}}})",
      json_quoted(identity.id), chat ? "chat.completion" : "text_completion", identity.created,
      json_quoted(identity.model), choice, finish_word(finish.reason), usage_json(finish));
}

std::string render_model(const ApiModel& model, std::int64_t created) {
  return fmt::format(R"({{"id":{},"object":"model","created":{},"owned_by":"dsbench","max_model_len":{}}})",
                     json_quoted(model.name), created, model.max_model_len);
}

std::string render_models(const ApiModel& model, std::int64_t created) {
  return fmt::format(R"({{"object":"list","data":[{}]}})", render_model(model, created));
}

std::string render_tokenized(std::span<const TokenId> tokens, const ApiModel& model) {
  return fmt::format(R"({{"count":{},"max_model_len":{},"tokens":[{}]}})", tokens.size(), model.max_model_len,
                     fmt::join(tokens, ","));
}

}  // namespace dsbench::engine::server
