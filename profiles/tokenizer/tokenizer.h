#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// The tokenizer of a model, from Hugging Face's tokenizer.json: byte-level BPE with its pre-tokeniser and its
// added tokens. The same ids as the `tokenizers` library gives; a part of a tokenizer.json that we do not
// have is refused by its name when the file is read. Const members may be called from several threads.
class Tokenizer {
 public:
  using Id = std::int32_t;

  // `source` names the file in messages.
  [[nodiscard]] static Result<Tokenizer> parse(std::string_view json, const std::string& source);
  [[nodiscard]] static Result<Tokenizer> load(const std::filesystem::path& tokenizer_json);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // The text's tokens, with those of special tokens that it names ("<｜User｜>") and nothing around them.
  // What is no UTF-8 counts as U+FFFD. An error is a pattern that gives up on this text.
  [[nodiscard]] Result<std::vector<Id>> encode(std::string_view text) const;
  // What the file's post-processor puts before and after a text (a beginning of sentence, say); often
  // nothing.
  [[nodiscard]] std::span<const Id> before_text() const;
  [[nodiscard]] std::span<const Id> after_text() const;

  // The bytes that a token stands for, which need not be whole characters; empty for an id that there is not.
  [[nodiscard]] std::string_view bytes(Id id) const;
  [[nodiscard]] bool is_special(Id id) const;
  [[nodiscard]] std::optional<Id> id_of(std::string_view token) const;
  // One more than the highest id.
  [[nodiscard]] std::int32_t size() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace dsbench::profiles
