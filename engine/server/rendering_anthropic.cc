#include <fmt/format.h>

#include <iterator>

#include "engine/server/stream_renderer.h"

// Anthropic's Messages API: https://docs.anthropic.com/en/api/messages-streaming and /en/api/errors.
namespace dsbench::engine::server {
namespace {

std::string_view stop_reason(FinishReason reason) {
  return reason == FinishReason::stop ? "end_turn" : "max_tokens";
}

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

class MessagesRenderer final : public StreamRenderer {
 public:
  explicit MessagesRenderer(const AnswerIdentity& identity) : identity_{identity} {}

  void open(std::string& out) override {
    fmt::format_to(
        std::back_inserter(out),
        "event: message_start\n"
        R"(data: {{"type":"message_start","message":{{"id":{},"type":"message","role":"assistant","model":{},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":1}}}}}})"
        "\n\n"
        "event: content_block_start\n"
        R"(data: {{"type":"content_block_start","index":0,"content_block":{{"type":"text","text":""}}}})"
        "\n\n"
        "event: ping\n"
        R"(data: {{"type":"ping"}})"
        "\n\n",
        json_quoted(identity_.id), json_quoted(identity_.model), identity_.prompt_tokens);
  }

  void token(std::string& out, TokenId token) override {
    out +=
        "event: content_block_delta\n"
        R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")";
    append_json_token(out, token, identity_.writer.get());
    out += "\"}}\n\n";
  }

  void close(std::string& out, const Finish& finish) override {
    fmt::format_to(
        std::back_inserter(out),
        "event: content_block_stop\n"
        R"(data: {{"type":"content_block_stop","index":0}})"
        "\n\n"
        "event: message_delta\n"
        R"(data: {{"type":"message_delta","delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{{"output_tokens":{}}}}})"
        "\n\n"
        "event: message_stop\n"
        R"(data: {{"type":"message_stop"}})"
        "\n\n",
        stop_reason(finish.reason), finish.output_tokens);
  }

  void fail(std::string& out, const ApiError& error) override {
    fmt::format_to(std::back_inserter(out), "event: error\ndata: {}\n\n", render_anthropic_error(error));
  }

 private:
  AnswerIdentity identity_;
};

}  // namespace

std::unique_ptr<StreamRenderer> make_messages_renderer(const AnswerIdentity& identity) {
  return std::make_unique<MessagesRenderer>(identity);
}

std::string render_message(const AnswerIdentity& identity, std::string_view text, const Finish& finish) {
  return fmt::format(
      R"({{"id":{},"type":"message","role":"assistant","model":{},"content":[{{"type":"text","text":{}}}],"stop_reason":"{}","stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":{}}}}})",
      json_quoted(identity.id), json_quoted(identity.model), json_quoted(text), stop_reason(finish.reason),
      finish.prompt_tokens, finish.output_tokens);
}

std::string render_anthropic_error(const ApiError& error) {
  return fmt::format(R"({{"type":"error","error":{{"type":"{}","message":{}}}}})", error_type(error.status),
                     json_quoted(error.message));
}

}  // namespace dsbench::engine::server
