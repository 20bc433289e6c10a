#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// A regular expression of a tokenizer.json. Those are written for Oniguruma with Ruby's rules; we run them on
// PCRE2, after the few things that the two read differently have been put into PCRE2's words (\s, \w, $,
// script names), and refuse what we cannot.
class Pattern {
 public:
  [[nodiscard]] static Result<Pattern> compile(std::string_view regex);
  [[nodiscard]] static Result<Pattern> compile_literal(std::string_view text);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  using Range = std::pair<std::size_t, std::size_t>;  // [begin, end) in bytes
  // All matches, left to right, in valid UTF-8. May be called from several threads. An error is a pattern
  // that gives up on this text (backtracking without end).
  [[nodiscard]] Result<std::vector<Range>> matches(std::string_view text) const;

 private:
  struct Code;
  explicit Pattern(std::unique_ptr<const Code> code);
  static Result<Pattern> compile(std::string_view shown, const std::string& pcre, unsigned options);
  std::unique_ptr<const Code> code_;
};

}  // namespace dsbench::profiles
