#include "profiles/tokenizer/tokenizer_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/files.h"

namespace dsbench::profiles {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// "bos_token" is a text or an object with one.
std::optional<std::string> token_text(const Json& config, const char* key) {
  const auto at = config.find(key);
  if (at == config.end()) return std::nullopt;
  if (at->is_string()) return at->get<std::string>();
  if (at->is_object() && at->contains("content") && (*at)["content"].is_string())
    return (*at)["content"].get<std::string>();
  return std::nullopt;
}

// Empty when there is none. A list of named templates gives the one called "default".
std::string template_text(const Json& config) {
  const auto at = config.find("chat_template");
  if (at == config.end()) return "";
  if (at->is_string()) return at->get<std::string>();
  if (!at->is_array()) return "";
  for (const Json& entry : *at) {
    if (entry.is_object() && entry.value("name", Json()) == "default" &&
        entry.value("template", Json()).is_string())
      return entry["template"].get<std::string>();
  }
  return "";
}

// transformers puts these for LlamaTokenizerFast, whatever tokenizer.json's post-processor says.
Result<void> add_ends(const Json& config, const std::string& source, TokenizerFiles& files) {
  const auto wants = [&](const char* key) {
    const auto at = config.find(key);
    return at != config.end() && *at == true;
  };
  const auto id = [&](const char* key) -> Result<Tokenizer::Id> {
    const std::optional<std::string> text = token_text(config, key);
    const std::optional<Tokenizer::Id> found = text ? files.tokenizer.id_of(*text) : std::nullopt;
    if (!found)
      return fail(ErrorKind::usage, "{}: add_{} is true, but {} '{}' is no token of tokenizer.json", source,
                  key, key, text.value_or(""));
    return *found;
  };
  if (config.contains("add_bos_token") || config.contains("add_eos_token")) {
    files.before_text.clear();
    files.after_text.clear();
  }
  if (wants("add_bos_token")) {
    DSBENCH_TRY(const Tokenizer::Id bos, id("bos_token"));
    files.before_text.push_back(bos);
  }
  if (wants("add_eos_token")) {
    DSBENCH_TRY(const Tokenizer::Id eos, id("eos_token"));
    files.after_text.push_back(eos);
  }
  return {};
}

}  // namespace

Result<std::optional<TokenizerFiles>> load_tokenizer_files(const fs::path& directory,
                                                           std::string_view chat_template) {
  std::error_code error;
  if (!fs::exists(directory / "tokenizer.json", error)) {
    if (chat_template == "auto" || chat_template == "none") return std::nullopt;
    return fail(ErrorKind::usage, "--chat-template {} needs a tokenizer, but '{}' has no tokenizer.json",
                chat_template, directory.string());
  }
  DSBENCH_TRY(Tokenizer tokenizer, Tokenizer::load(directory / "tokenizer.json"));
  const std::span<const Tokenizer::Id> before = tokenizer.before_text();
  const std::span<const Tokenizer::Id> after = tokenizer.after_text();
  TokenizerFiles files{
      std::move(tokenizer), {before.begin(), before.end()}, {after.begin(), after.end()}, {}};

  const fs::path config_path = directory / "tokenizer_config.json";
  Json config = Json::object();
  if (fs::exists(config_path, error)) {
    DSBENCH_TRY(const std::string text, read_file(config_path));
    config = Json::parse(text, nullptr, false);
    if (!config.is_object()) return fail(ErrorKind::usage, "{}: is no JSON object", config_path.string());
    DSBENCH_CHECK(add_ends(config, config_path.string(), files));
  }
  if (chat_template != "auto") {
    DSBENCH_TRY(files.chat, ChatTemplate::named(chat_template));
  } else {
    std::string source = config_path.string();
    std::string jinja = template_text(config);
    if (const fs::path own = directory / "chat_template.jinja"; fs::exists(own, error)) {
      source = own.string();
      DSBENCH_TRY(jinja, read_file(own));
    }
    if (!jinja.empty()) {
      DSBENCH_TRY(files.chat, ChatTemplate::recognise(jinja, source));
    }
  }
  files.chat.set_special_tokens(token_text(config, "bos_token").value_or(""),
                                token_text(config, "eos_token").value_or(""));
  return files;
}

}  // namespace dsbench::profiles
