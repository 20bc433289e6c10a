#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "profiles/tokenizer/chat_template.h"
#include "profiles/tokenizer/tokenizer.h"

namespace dsbench::profiles {

// A model's tokenizer as its directory has it: tokenizer.json; tokenizer_config.json, which says whether a
// beginning of sentence goes before a text; and the chat template, there or in chat_template.jinja.
struct TokenizerFiles {
  Tokenizer tokenizer;
  // Around a text that is no conversation.
  std::vector<Tokenizer::Id> before_text;
  std::vector<Tokenizer::Id> after_text;
  ChatTemplate chat;
};

// Nothing when the directory has no tokenizer.json. `chat_template` is a name of ChatTemplate::named(), or
// "auto": the directory's own, which must be one that we know, and none where it has none.
[[nodiscard]] Result<std::optional<TokenizerFiles>> load_tokenizer_files(
    const std::filesystem::path& directory, std::string_view chat_template);

}  // namespace dsbench::profiles
