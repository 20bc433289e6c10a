#include <fmt/format.h>

#include <cstdint>
#include <iterator>

#include "engine/server/stream_renderer.h"

// OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses and …/responses-streaming.
namespace dsbench::engine::server {
namespace {

enum class State : std::uint8_t { in_progress, completed, incomplete };

State state_of(const Finish& finish) {
  return finish.reason == FinishReason::stop ? State::completed : State::incomplete;
}

std::string_view to_word(State state) {
  return state == State::in_progress ? "in_progress" : state == State::completed ? "completed" : "incomplete";
}

std::string item_id(const AnswerIdentity& identity) {
  return json_quoted("msg_" + identity.id);
}

std::string part(std::string_view text) {
  return fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":[]}})",
                     json_quoted(text));
}

// The one output item, a message.
std::string item(const AnswerIdentity& identity, State state, std::string_view content) {
  return fmt::format(R"({{"id":{},"type":"message","status":"{}","role":"assistant","content":[{}]}})",
                     item_id(identity), to_word(state), content);
}

std::string response(const AnswerIdentity& identity, State state, std::string_view output,
                     std::string_view usage) {
  return fmt::format(
      R"({{"id":{},"object":"response","created_at":{},"status":"{}","background":false,"error":null,"incomplete_details":{},"instructions":null,"max_output_tokens":null,"metadata":{{}},"model":{},"output":[{}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"store":false,"temperature":1.0,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{},"user":null}})",
      json_quoted(identity.id), identity.created, to_word(state),
      state == State::incomplete ? R"({"reason":"max_output_tokens"})" : "null", json_quoted(identity.model),
      output, usage);
}

std::string usage_of(const Finish& finish) {
  return fmt::format(
      R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}})",
      finish.prompt_tokens, finish.cached_tokens, finish.output_tokens,
      finish.prompt_tokens + finish.output_tokens);
}

class ResponsesRenderer final : public StreamRenderer {
 public:
  explicit ResponsesRenderer(const AnswerIdentity& identity)
      : identity_{identity},
        where_{fmt::format(R"("item_id":{},"output_index":0,"content_index":0)", item_id(identity))},
        before_token_{fmt::format("event: response.output_text.delta\ndata: "
                                  "{{\"type\":\"response.output_text.delta\",{},\"logprobs\":[],"
                                  "\"sequence_number\":",
                                  where_)} {}

  void open(std::string& out) override {
    const std::string begun = response(identity_, State::in_progress, "", "null");
    event(out, "response.created", fmt::format(R"("response":{})", begun));
    event(out, "response.in_progress", fmt::format(R"("response":{})", begun));
    event(out, "response.output_item.added",
          fmt::format(R"("output_index":0,"item":{})", item(identity_, State::in_progress, "")));
    event(out, "response.content_part.added", fmt::format(R"({},"part":{})", where_, part("")));
  }

  void token(std::string& out, TokenId token) override {
    out += before_token_;
    fmt::format_to(std::back_inserter(out), "{}", number_++);
    out += R"(,"delta":")";
    // What the last events repeat is quoted when it is whole.
    const std::size_t before = text_.size();
    append_plain_token(text_, token, identity_.writer.get());
    append_json_text(out, std::string_view(text_).substr(before));
    out += "\"}\n\n";
  }

  void close(std::string& out, const Finish& finish) override {
    const State state = state_of(finish);
    const std::string content = part(text_);
    const std::string whole = item(identity_, state, content);
    event(out, "response.output_text.done",
          fmt::format(R"({},"text":{},"logprobs":[])", where_, json_quoted(text_)));
    event(out, "response.content_part.done", fmt::format(R"({},"part":{})", where_, content));
    event(out, "response.output_item.done", fmt::format(R"("output_index":0,"item":{})", whole));
    event(out, state == State::completed ? "response.completed" : "response.incomplete",
          fmt::format(R"("response":{})", response(identity_, state, whole, usage_of(finish))));
  }

  void fail(std::string& out, const ApiError& error) override {
    event(out, "error",
          fmt::format(R"("code":{},"message":{},"param":null)",
                      json_quoted(error.code.empty() ? error.type : error.code), json_quoted(error.message)));
  }

 private:
  void event(std::string& out, std::string_view type, std::string_view fields) {
    fmt::format_to(std::back_inserter(out),
                   "event: {}\ndata: {{\"type\":\"{}\",\"sequence_number\":{},{}}}\n\n", type, type,
                   number_++, fields);
  }

  AnswerIdentity identity_;
  std::string where_;         // of the one part of the one item
  std::string before_token_;  // up to the event's number
  std::string text_;          // so far: the last events repeat it
  std::int64_t number_ = 0;
};

}  // namespace

std::unique_ptr<StreamRenderer> make_responses_renderer(const AnswerIdentity& identity) {
  return std::make_unique<ResponsesRenderer>(identity);
}

std::string render_response(const AnswerIdentity& identity, std::string_view text, const Finish& finish) {
  const State state = state_of(finish);
  return response(identity, state, item(identity, state, part(text)), usage_of(finish));
}

}  // namespace dsbench::engine::server
