#include "loadgen/codec/codec.h"

#include "core/text.h"
#include "loadgen/codec/openai_codec.h"

namespace dsbench::loadgen {

const std::vector<std::string_view>& codec_names() {
  static const std::vector<std::string_view> names{"chat", "completions"};
  return names;
}

Result<std::shared_ptr<const Codec>> make_codec(const CodecConfig& config) {
  if (config.api == "chat")
    return std::make_shared<OpenAiCodec>(Api::chat, config.model, config.exact_lengths);
  if (config.api == "completions") {
    return std::make_shared<OpenAiCodec>(Api::completions, config.model, config.exact_lengths);
  }
  const std::string_view near = nearest_word(config.api, codec_names());
  return fail(ErrorKind::usage, "no API '{}'; accepted: {}{}", config.api, join(codec_names()),
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

}  // namespace dsbench::loadgen
