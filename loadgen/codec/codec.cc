#include "loadgen/codec/codec.h"

#include <functional>

#include "core/text.h"
#include "loadgen/codec/anthropic_codec.h"
#include "loadgen/codec/http_codec.h"
#include "loadgen/codec/openai_codec.h"
#include "loadgen/codec/responses_codec.h"
#include "loadgen/codec/sglang_codec.h"
#include "loadgen/codec/tgi_codec.h"
#include "loadgen/codec/triton_codec.h"

namespace dsbench::loadgen {
namespace {

constexpr std::string_view http_prefix = "http:";

using Made = std::shared_ptr<const Codec>;
using Config = CodecConfig;

struct Entry {
  ApiName name;
  enum class Way : std::uint8_t { both, stream, whole } way;  // how it can answer
  bool needs_model;                                           // in its path
  Made (*make)(const Config&);
};

const std::vector<Entry>& entries() {
  using enum Entry::Way;
  static const std::vector<Entry> all{
      {{"chat", "OpenAI chat completions: vLLM, SGLang, DeepSeek, TGI, llama.cpp, dsbench serve"},
       both,
       false,
       [](const Config& c) -> Made {
         return std::make_shared<OpenAiCodec>(Api::chat, c.model, c.exact_lengths, c.stream);
       }},
      {{"completions", "OpenAI text completions, without a chat template"},
       both,
       false,
       [](const Config& c) -> Made {
         return std::make_shared<OpenAiCodec>(Api::completions, c.model, c.exact_lengths, c.stream);
       }},
      {{"responses", "OpenAI Responses"},
       stream,
       false,
       [](const Config& c) -> Made { return std::make_shared<ResponsesCodec>(c.model); }},
      {{"anthropic", "Anthropic Messages: Anthropic, DeepSeek (base path /anthropic), vLLM, SGLang"},
       stream,
       false,
       [](const Config& c) -> Made { return std::make_shared<AnthropicCodec>(c.model); }},
      {{"sglang", "SGLang's own /generate"},
       stream,
       false,
       [](const Config& c) -> Made { return std::make_shared<SglangCodec>(c.exact_lengths); }},
      {{"tgi", "text-generation-inference's own /generate_stream"},
       stream,
       false,
       [](const Config&) -> Made { return std::make_shared<TgiCodec>(); }},
      {{"triton", "Triton's generate_stream: TensorRT-LLM, vLLM backend"},
       stream,
       true,
       [](const Config& c) -> Made { return std::make_shared<TritonCodec>(c.model, c.exact_lengths); }},
      {{"kserve", "KServe inference protocol v2, /infer in one piece"},
       whole,
       true,
       [](const Config& c) -> Made { return std::make_shared<KserveCodec>(c.model); }},
  };
  return all;
}

}  // namespace

const std::vector<ApiName>& apis() {
  static const std::vector<ApiName> names = [] {
    std::vector<ApiName> list;
    for (const Entry& e : entries()) list.push_back(e.name);
    list.push_back({"http:FILE", "any HTTP service, as a template says (docs/protocols.md)"});
    return list;
  }();
  return names;
}

Result<std::shared_ptr<const Codec>> make_codec(const CodecConfig& config) {
  if (config.api.starts_with(http_prefix)) {
    DSBENCH_TRY(HttpTemplate made, load_http_template(config.api.substr(http_prefix.size())));
    return std::make_shared<HttpCodec>(std::move(made));
  }
  for (const Entry& entry : entries()) {
    if (entry.name.name != config.api) continue;
    if (!config.stream && entry.way == Entry::Way::stream) {
      return fail(ErrorKind::usage,
                  "the API {} is read as a stream only; in one piece: chat, completions, kserve", config.api);
    }
    if (entry.needs_model && config.model.empty()) {
      return fail(ErrorKind::usage,
                  "the API {} has the model in its path and no list of models; name the model", config.api);
    }
    return entry.make(config);
  }
  std::vector<std::string_view> words;
  for (const ApiName& name : apis()) words.push_back(name.name);
  const std::string_view near = nearest_word(config.api, words);
  return fail(ErrorKind::usage, "no API '{}'; accepted: {}{}", config.api, join(words),
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

}  // namespace dsbench::loadgen
