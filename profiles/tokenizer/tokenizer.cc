#include "profiles/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "core/files.h"
#include "profiles/tokenizer/added_tokens.h"
#include "profiles/tokenizer/bpe.h"
#include "profiles/tokenizer/byte_level.h"
#include "profiles/tokenizer/pre_tokenizer.h"

namespace dsbench::profiles {

struct Tokenizer::State {
  AddedTokens first;   // found in the text as it stands
  AddedTokens second;  // found in what is left, after a normaliser: we have none, so only their order differs
  std::vector<Cut> cuts;
  Bpe bpe;
  std::vector<std::string> bytes;  // by id
  std::vector<bool> special;
  std::unordered_map<std::string, Id> ids;  // as written in the file
  std::vector<Id> before;
  std::vector<Id> after;
};

namespace {

using Json = nlohmann::json;

// A token id above this is a broken file, and would be memory.
constexpr std::int64_t kMostTokens = 1 << 22;

// What GPT-2's ByteLevel cuts at.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

// The reading of one file; every refusal begins with its name.
class Reader {
 public:
  Reader(const Json& json, std::string source) : json_{json}, source_{std::move(source)} {}

  template <class... Args>
  tl::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorKind::usage, "{}: {}", source_, fmt::format(format, std::forward<Args>(args)...));
  }

  Result<void> refuse_what_changes_lengths() const {
    for (const char* key : {"truncation", "padding"}) {
      if (!get(json_, key).is_null()) return bad("'{}' is not supported; accepted: null", key);
    }
    return {};
  }

  Result<void> check_normalizer() const { return check_normalizer(get(json_, "normalizer")); }

  Result<std::vector<Cut>> read_cuts() const {
    std::vector<Cut> cuts;
    bool byte_level = false;
    DSBENCH_CHECK(add_cuts(get(json_, "pre_tokenizer"), cuts, byte_level));
    if (!byte_level) return bad("pre_tokenizer: has no ByteLevel; accepted are byte-level tokenizers");
    const Json& decoder = get(json_, "decoder");
    if (type_of(decoder) != "ByteLevel")
      return bad("decoder: '{}' is not supported; accepted: ByteLevel", type_of(decoder));
    return cuts;
  }

  // The vocabulary and the merges of the model.
  Result<Bpe> read_model(std::vector<std::pair<std::string, std::int32_t>>& vocabulary) const {
    const Json& model = get(json_, "model");
    if (!model.is_object()) return bad("has no 'model'");
    // Files from before 0.9 name no type.
    if (const std::string type = type_of(model);
        !(type == "BPE" || (type.empty() && model.contains("merges"))))
      return bad("model: '{}' is not supported; accepted: BPE", type);
    for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = get(model, key);
      if (!value.is_null() && value != "" && value != 0.0)
        return bad("model.{}: found {}; accepted: null", key, shown(value));
    }
    if (get(model, "byte_fallback") == true) return bad("model.byte_fallback: found true; accepted: false");
    const Json& vocab = get(model, "vocab");
    if (!vocab.is_object() || vocab.empty()) return bad("model.vocab: is no object of tokens");
    for (const auto& [token, id] : vocab.items()) {
      DSBENCH_TRY(const std::int32_t number, token_id(id, "model.vocab"));
      vocabulary.emplace_back(token, number);
    }
    std::vector<std::pair<std::string, std::string>> merges;
    const Json& list = get(model, "merges");
    if (!list.is_array()) return bad("model.merges: is no list");
    for (const Json& merge : list) {
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        continue;
      }
      const std::string text = merge.is_string() ? merge.get<std::string>() : "";
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        return bad("model.merges[{}]: found {}; accepted: \"left right\" or [\"left\", \"right\"]",
                   merges.size(), shown(merge));
      merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    const Json& ignore = get(model, "ignore_merges");
    auto bpe = Bpe::make(vocabulary, merges, ignore == true);
    if (!bpe) return bad("model: {}", bpe.error().message);
    return std::move(*bpe);
  }

  struct Added {
    std::string content;
    std::int32_t id = 0;
    bool special = false;
    bool normalized = false;
  };

  Result<std::vector<Added>> read_added_tokens() const {
    std::vector<Added> out;
    const Json& list = get(json_, "added_tokens");
    if (list.is_null()) return out;
    if (!list.is_array()) return bad("added_tokens: is no list");
    for (const Json& token : list) {
      const Json& content = get(token, "content");
      if (!content.is_string()) return bad("added_tokens[{}]: has no 'content'", out.size());
      for (const char* key : {"single_word", "lstrip", "rstrip"}) {
        if (get(token, key) == true)
          return bad("added_tokens[{}] ('{}'): '{}' is not supported; accepted: false", out.size(),
                     content.get<std::string>(), key);
      }
      DSBENCH_TRY(const std::int32_t id,
                  token_id(get(token, "id"), fmt::format("added_tokens[{}].id", out.size())));
      out.push_back(
          {content.get<std::string>(), id, get(token, "special") == true, get(token, "normalized") == true});
    }
    return out;
  }

  Result<void> read_post_processor(std::vector<std::int32_t>& before,
                                   std::vector<std::int32_t>& after) const {
    return add_post_processor(get(json_, "post_processor"), before, after);
  }

 private:
  static const Json& get(const Json& object, const char* key) {
    static const Json none;
    if (!object.is_object()) return none;
    const auto at = object.find(key);
    return at == object.end() ? none : *at;
  }

  static std::string type_of(const Json& object) {
    const Json& type = get(object, "type");
    return type.is_string() ? type.get<std::string>() : "";
  }

  Result<std::int32_t> token_id(const Json& value, std::string_view where) const {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
        value.get<std::int64_t>() >= kMostTokens ||
        (value.is_number_unsigned() && value.get<std::uint64_t>() >= static_cast<std::uint64_t>(kMostTokens)))
      return bad("{}: found {}; accepted are token ids from 0 to {}", where, shown(value), kMostTokens - 1);
    return value.get<std::int32_t>();
  }

  Result<void> check_normalizer(const Json& normalizer) const {
    if (normalizer.is_null()) return {};
    if (type_of(normalizer) != "Sequence")
      return bad("normalizer: '{}' is not supported; accepted: none", type_of(normalizer));
    for (const Json& part : get(normalizer, "normalizers")) DSBENCH_CHECK(check_normalizer(part));
    return {};
  }

  Result<void> add_cuts(const Json& part, std::vector<Cut>& cuts, bool& byte_level) const {
    const std::string type = type_of(part);
    if (type == "Sequence") {
      const Json& list = get(part, "pretokenizers");
      if (!list.is_array()) return bad("pre_tokenizer: a Sequence without 'pretokenizers'");
      for (const Json& inner : list) DSBENCH_CHECK(add_cuts(inner, cuts, byte_level));
      return {};
    }
    if (byte_level)
      return bad("pre_tokenizer: '{}' behind ByteLevel; accepted is ByteLevel as the last", type);
    if (type == "ByteLevel") {
      byte_level = true;
      if (get(part, "add_prefix_space") == true)
        return bad("pre_tokenizer ByteLevel: add_prefix_space: found true; accepted: false");
      if (get(part, "use_regex") == false) return {};
      return add_cut(Pattern::compile(kGpt2Pattern), cuts, Cut::Keep::isolated, false);
    }
    if (type == "Digits") {
      const bool one_by_one = get(part, "individual_digits") == true;
      // The library asks Rust's char::is_numeric: the three categories of numbers.
      return add_cut(Pattern::compile(one_by_one ? R"(\p{N})" : R"(\p{N}+)"), cuts, Cut::Keep::isolated,
                     false);
    }
    if (type != "Split")
      return bad("pre_tokenizer: '{}' is not supported; accepted: Sequence, Split, Digits, ByteLevel", type);
    const Json& behavior = get(part, "behavior");
    if (behavior != "Isolated" && behavior != "Removed")
      return bad("pre_tokenizer Split: behavior: found {}; accepted: Isolated, Removed", shown(behavior));
    const Cut::Keep keep = behavior == "Removed" ? Cut::Keep::removed : Cut::Keep::isolated;
    const bool invert = get(part, "invert") == true;
    const Json& regex = get(get(part, "pattern"), "Regex");
    const Json& literal = get(get(part, "pattern"), "String");
    if (regex.is_string())
      return add_cut(Pattern::compile(regex.get_ref<const std::string&>()), cuts, keep, invert);
    if (literal.is_string())
      return add_cut(Pattern::compile_literal(literal.get_ref<const std::string&>()), cuts, keep, invert);
    return bad("pre_tokenizer Split: pattern: found {}; accepted: {{\"Regex\": …}} or {{\"String\": …}}",
               shown(get(part, "pattern")));
  }

  Result<void> add_cut(Result<Pattern> pattern, std::vector<Cut>& cuts, Cut::Keep keep, bool invert) const {
    if (!pattern) return bad("pre_tokenizer: {}", pattern.error().message);
    cuts.push_back({std::move(*pattern), keep, invert});
    return {};
  }

  Result<void> add_post_processor(const Json& part, std::vector<std::int32_t>& before,
                                  std::vector<std::int32_t>& after) const {
    const std::string type = type_of(part);
    if (part.is_null() || type == "ByteLevel") return {};  // ByteLevel's trims offsets, which we have not
    if (type == "Sequence") {
      for (const Json& inner : get(part, "processors"))
        DSBENCH_CHECK(add_post_processor(inner, before, after));
      return {};
    }
    if (type != "TemplateProcessing")
      return bad("post_processor: '{}' is not supported; accepted: ByteLevel, TemplateProcessing, Sequence",
                 type);
    bool behind = false;
    for (const Json& item : get(part, "single")) {
      if (item.contains("Sequence")) {
        behind = true;
        continue;
      }
      const Json& name = get(get(item, "SpecialToken"), "id");
      if (!name.is_string()) return bad("post_processor: found {} in its template", shown(item));
      const Json& ids =
          get(get(get(part, "special_tokens"), name.get_ref<const std::string&>().c_str()), "ids");
      if (!ids.is_array())
        return bad("post_processor: special token '{}' has no ids", name.get_ref<const std::string&>());
      for (const Json& id : ids) {
        DSBENCH_TRY(const std::int32_t number, token_id(id, "post_processor"));
        (behind ? after : before).push_back(number);
      }
    }
    return {};
  }

  const Json& json_;
  std::string source_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_{std::move(state)} {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  DSBENCH_TRY(const std::string text, read_file(tokenizer_json));
  return parse(text, tokenizer_json.string());
}

Result<Tokenizer> Tokenizer::parse(std::string_view text, const std::string& source) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorKind::usage, "{}: is no JSON object", source);
  const Reader reader(json, source);
  auto state = std::make_unique<State>();
  DSBENCH_CHECK(reader.refuse_what_changes_lengths());
  DSBENCH_CHECK(reader.check_normalizer());
  DSBENCH_TRY(state->cuts, reader.read_cuts());
  std::vector<std::pair<std::string, Id>> vocabulary;
  DSBENCH_TRY(state->bpe, reader.read_model(vocabulary));
  DSBENCH_TRY(const auto added, reader.read_added_tokens());
  DSBENCH_CHECK(reader.read_post_processor(state->before, state->after));

  Id highest = -1;
  for (const auto& [token, id] : vocabulary) highest = std::max(highest, id);
  for (const auto& token : added) highest = std::max(highest, token.id);
  for (const auto* list : {&state->before, &state->after}) {
    for (const Id id : *list) highest = std::max(highest, id);
  }
  state->bytes.resize(static_cast<std::size_t>(highest) + 1);
  state->special.resize(state->bytes.size());
  for (const auto& [token, id] : vocabulary) {
    state->bytes[static_cast<std::size_t>(id)] = token_to_bytes(token);
    state->ids.emplace(token, id);
  }
  for (const auto& token : added) {
    state->bytes[static_cast<std::size_t>(token.id)] = token_to_bytes(token.content);
    state->special[static_cast<std::size_t>(token.id)] = token.special;
    state->ids.insert_or_assign(token.content, token.id);
    (token.normalized ? state->second : state->first).add(token.content, token.id);
  }
  return Tokenizer(std::move(state));
}

Result<std::vector<Tokenizer::Id>> Tokenizer::encode(std::string_view raw) const {
  const std::string text = make_valid_utf8(raw);
  std::vector<AddedTokens::Part> parts;
  state_->first.split(text, parts);
  if (!state_->second.empty()) {
    std::vector<AddedTokens::Part> finer;
    for (const AddedTokens::Part& part : parts) {
      if (part.id >= 0) {
        finer.push_back(part);
      } else {
        state_->second.split(part.text, finer);
      }
    }
    parts.swap(finer);
  }
  std::vector<Id> out;
  for (const AddedTokens::Part& part : parts) {
    if (part.id >= 0) {
      out.push_back(part.id);
      continue;
    }
    DSBENCH_TRY(const std::vector<std::string_view> pieces, cut_text(state_->cuts, part.text));
    for (const std::string_view piece : pieces) state_->bpe.encode(piece, out);
  }
  return out;
}

std::span<const Tokenizer::Id> Tokenizer::before_text() const {
  return state_->before;
}
std::span<const Tokenizer::Id> Tokenizer::after_text() const {
  return state_->after;
}

std::string_view Tokenizer::bytes(Id id) const {
  if (id < 0 || id >= size()) return {};
  return state_->bytes[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_special(Id id) const {
  return id >= 0 && id < size() && state_->special[static_cast<std::size_t>(id)];
}

std::optional<Tokenizer::Id> Tokenizer::id_of(std::string_view token) const {
  const auto at = state_->ids.find(std::string(token));
  if (at == state_->ids.end()) return std::nullopt;
  return at->second;
}

std::int32_t Tokenizer::size() const {
  return static_cast<std::int32_t>(state_->bytes.size());
}

}  // namespace dsbench::profiles
