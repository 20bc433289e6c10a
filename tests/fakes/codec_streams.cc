#include "tests/fakes/codec_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace dsbench::loadgen::testing {

std::shared_ptr<const Codec> codec_of(std::string_view api, bool stream) {
  CodecConfig config;
  config.api = api;
  config.model = "m";
  config.stream = stream;
  auto codec = make_codec(config);
  if (!codec) throw std::runtime_error(codec.error().message);
  return *codec;
}

Told tell(ReplyReader& reader, std::string_view stream, const std::vector<std::size_t>& cuts,
          std::int32_t status) {
  using Kind = ReplyReader::Step::Kind;
  Told told;
  bool ended = false;
  const auto add = [&](const ReplyReader::Step& step) {
    if (!told.steps.empty()) told.steps += ' ';
    if (step.kind == Kind::tokens) told.steps += fmt::format("{}{}", step.reasoning ? "r" : "", step.tokens);
    if (step.kind == Kind::done) told.steps += "done";
    if (step.kind == Kind::failed) told.steps += results::to_word(step.reason);
    ended = ended || step.kind != Kind::tokens;
  };
  reader.begin(status);
  while (const auto step = reader.next()) add(*step);
  for (std::size_t i = 0; i <= cuts.size(); ++i) {
    const std::size_t from = i == 0 ? 0 : std::min(cuts[i - 1], stream.size());
    const std::size_t to = i == cuts.size() ? stream.size() : std::min(cuts[i], stream.size());
    const auto piece = std::make_unique<std::string>(stream.substr(from, to - from));  // gone after its turn
    reader.feed(*piece);
    while (const auto step = reader.next()) {
      if (ended) told.steps += " AFTER-THE-END";
      add(*step);
    }
  }
  if (!ended) add(reader.end_of_body());
  told.usage = reader.usage();
  told.comments = reader.comments();
  return told;
}

Told tell_pieces(ReplyReader& reader, std::string_view stream, std::size_t size) {
  std::vector<std::size_t> cuts;
  for (std::size_t at = size; at < stream.size(); at += size) cuts.push_back(at);
  return tell(reader, stream, cuts);
}

std::string frame(std::string_view json) {
  return fmt::format("data: {}\n\n", json);
}

std::string typed(std::string_view type, std::string_view members) {
  return fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"{1}{2}}}\n\n", type, members.empty() ? "" : ",",
                     members);
}

std::string chat_stream(int tokens) {
  constexpr std::string_view head =
      R"("id":"c-1","object":"chat.completion.chunk","created":1780000000,"model":"m","system_fingerprint":"fp_1")";
  std::string out =
      frame(fmt::format(R"({{{},"choices":[{{"index":0,"delta":{{"role":"assistant","content":null,)"
                       R"("reasoning_content":""}},"logprobs":null,"finish_reason":null}}]}})",
                       head));
  for (int i = 0; i < tokens; ++i) {
    const bool reasoning = i < tokens / 2;
    out += frame(fmt::format(R"({{{},"choices":[{{"index":0,"delta":{{"content":{},"reasoning_content":{}}},)"
                            R"("logprobs":null,"finish_reason":null}}]}})",
                            head, reasoning ? "null" : R"(" w\u00f6rd\n")", reasoning ? R"(" hm")" : "null"));
    if (i % 3 == 2) out += ": keep-alive\n\n";
  }
  out += frame(fmt::format(R"({{{},"choices":[{{"index":0,"delta":{{"content":"","reasoning_content":null}},)"
                          R"("logprobs":null,"finish_reason":"length"}}]}})",
                          head));
  out += frame(fmt::format(
      R"({{{},"choices":[],"usage":{{"prompt_tokens":17,"completion_tokens":{},"total_tokens":{},)"
      R"("prompt_tokens_details":{{"cached_tokens":8}},"completion_tokens_details":)"
      R"({{"reasoning_tokens":{}}},"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":9}}}})",
      head, tokens, tokens + 17, tokens / 2));
  return out + "data: [DONE]\n\n";
}

std::string responses_stream(int tokens) {
  const auto response = [](std::string_view status, std::string_view usage) {
    return fmt::format(R"("response":{{"id":"resp_1","object":"response","status":"{}","error":null,)"
                       R"("incomplete_details":null,"model":"m","output":[],"usage":{}}})",
                       status, usage);
  };
  int number = 0;
  const auto numbered = [&](std::string_view members) {
    return fmt::format(R"({},"sequence_number":{})", members, number++);
  };
  std::string out = typed("response.created", numbered(response("in_progress", "null")));
  out += typed("response.in_progress", numbered(response("in_progress", "null")));
  out += typed("response.output_item.added",
               numbered(R"("output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]})"));
  for (int i = 0; i < tokens; ++i) {
    const bool reasoning = i < tokens / 2;
    out += typed(
        reasoning ? "response.reasoning_summary_text.delta" : "response.output_text.delta",
        numbered(R"("item_id":"msg_1","output_index":1,"content_index":0,"delta":" w\"ord","logprobs":[])"));
  }
  out += typed("response.output_text.done", numbered(R"("item_id":"msg_1","text":"all of it")"));
  out += typed(
      "response.completed",
      numbered(response("completed", fmt::format(R"({{"input_tokens":17,"input_tokens_details":)"
                                                 R"({{"cached_tokens":8}},"output_tokens":{},)"
                                                 R"("output_tokens_details":{{"reasoning_tokens":{}}}}})",
                                                 tokens, tokens / 2))));
  return out;
}

std::string anthropic_stream(int tokens) {
  std::string out =
      typed("message_start",
            R"("message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"m",)"
            R"("stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":8,"output_tokens":1}})");
  out += typed("content_block_start", R"("index":0,"content_block":{"type":"thinking","thinking":""})");
  out += typed("ping");
  for (int i = 0; i < tokens; ++i) {
    out += typed("content_block_delta",
                 i < tokens / 2 ? R"("index":0,"delta":{"type":"thinking_delta","thinking":" hm"})"
                                : R"("index":1,"delta":{"type":"text_delta","text":" w\u00f6rd"})");
  }
  out += typed("content_block_delta", R"("index":0,"delta":{"type":"signature_delta","signature":"c2ln"})");
  out += typed("content_block_stop", R"("index":1)");
  out += typed("message_delta", fmt::format(R"("delta":{{"stop_reason":"max_tokens","stop_sequence":null}},)"
                                            R"("usage":{{"output_tokens":{}}})",
                                            tokens));
  return out + typed("message_stop");
}

std::string sglang_stream(int tokens) {
  std::string out, text;
  for (int i = 1; i <= tokens; ++i) {
    text += " word";
    out += frame(fmt::format(
        R"({{"text":"{}","output_ids":[{}],"meta_info":{{"id":"a1","finish_reason":{},)"
        R"("prompt_tokens":17,"completion_tokens":{},"cached_tokens":8,"weight_version":"default"}}}})",
        text, i, i == tokens ? fmt::format(R"({{"type":"length","length":{}}})", tokens) : "null", i));
  }
  return out + "data: [DONE]\n\n";
}

std::string tgi_stream(int tokens) {
  std::string out;
  for (int i = 1; i <= tokens; ++i) {
    out += fmt::format(
        "data:{{\"index\":{},\"token\":{{\"id\":{},\"text\":\" word\",\"logprob\":-0.5,\"special\":false}},"
        "\"generated_text\":{},\"details\":{}}}\n\n",
        i, 700 + i, i == tokens ? "\"all words\"" : "null",
        i == tokens ? fmt::format(R"({{"finish_reason":"length","generated_tokens":{},"seed":null,)"
                                  R"("input_length":17}})",
                                  tokens)
                    : "null");
  }
  return out;
}

std::string triton_stream(int tokens) {
  std::string out;
  for (int i = 0; i < tokens; ++i) {
    out += frame(R"({"model_name":"ensemble","model_version":"1","sequence_end":false,"sequence_id":0,)"
                R"("sequence_start":false,"text_output":" word"})");
  }
  return out;
}

}  // namespace dsbench::loadgen::testing
