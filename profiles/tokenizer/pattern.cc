#include "profiles/tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <cstdint>

namespace dsbench::profiles {
namespace {

// Oniguruma's \s: Unicode's White_Space. PCRE2's has U+180E beside it.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// Oniguruma's \w.
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Pc})";

tl::unexpected<Error> refused(std::string_view regex, std::string_view what) {
  return fail(ErrorKind::usage, "the pattern {} holds {}, which is not supported", regex, what);
}

// Ruby's syntax in PCRE2's.
class Translator {
 public:
  explicit Translator(std::string_view regex) : regex_{regex} {}

  Result<std::string> translate() {
    while (at_ < regex_.size()) {
      const char c = regex_[at_];
      if (c == '\\') {
        DSBENCH_CHECK(escape());
      } else if (in_class_) {
        DSBENCH_CHECK(class_character());
      } else if (c == '[') {
        out_ += c;
        ++at_;
        in_class_ = true;
        if (at_ < regex_.size() && regex_[at_] == '^') out_ += regex_[at_++];
        if (at_ < regex_.size() && regex_[at_] == ']') return refused(regex_, "an empty class");
      } else if (c == '}' && at_ + 1 < regex_.size() && regex_[at_ + 1] == '+') {
        return refused(regex_, "an interval followed by + (the two engines read it differently)");
      } else {
        out_ += c;
        ++at_;
      }
    }
    if (in_class_) return refused(regex_, "a class without an end");
    return out_;
  }

 private:
  Result<void> class_character() {
    const char c = regex_[at_];
    if (c == '[') return refused(regex_, "a class inside a class");
    if (c == '&' && regex_.substr(at_).starts_with("&&"))
      return refused(regex_, "an intersection of classes (&&)");
    if (c == ']') in_class_ = false;
    out_ += c;
    ++at_;
    return {};
  }

  Result<void> escape() {
    if (at_ + 1 >= regex_.size()) return refused(regex_, "a \\ at its end");
    const char c = regex_[at_ + 1];
    at_ += 2;
    switch (c) {
      case 's':
        out_ += in_class_ ? std::string(kSpace) : fmt::format("[{}]", kSpace);
        return {};
      case 'S':
        if (in_class_) return refused(regex_, "\\S inside a class");
        out_ += fmt::format("[^{}]", kSpace);
        return {};
      case 'w':
        out_ += in_class_ ? std::string(kWord) : fmt::format("[{}]", kWord);
        return {};
      case 'W':
        if (in_class_) return refused(regex_, "\\W inside a class");
        out_ += fmt::format("[^{}]", kWord);
        return {};
      case 'p':
      case 'P':
        return property(c);
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
        out_ += '\\';
        out_ += c;
        return {};
      case 'u':
        return four_digits();
      default:
        break;
    }
    const auto byte = static_cast<unsigned char>(c);
    const bool letter_or_digit =
        (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    if (letter_or_digit && !(c == 'x' && at_ < regex_.size() && regex_[at_] == '{'))
      return refused(regex_, fmt::format("\\{}", c));
    if (byte < 0x80) out_ += '\\';
    out_ += c;
    return {};
  }

  // \uHHHH
  Result<void> four_digits() {
    const std::string_view digits = regex_.substr(at_, 4);
    if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      return refused(regex_, "\\u without four hexadecimal digits");
    out_ += fmt::format("\\x{{{}}}", digits);
    at_ += 4;
    return {};
  }

  // \p{Han} is the script to Oniguruma; PCRE2 takes the bare name for "has characters of it".
  Result<void> property(char p) {
    const std::size_t end = regex_.find('}', at_);
    if (at_ >= regex_.size() || regex_[at_] != '{' || end == std::string_view::npos)
      return refused(regex_, fmt::format("\\{} without a name in braces", p));
    std::string_view name = regex_.substr(at_ + 1, end - at_ - 1);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const bool script = name.size() > 2 && name != "Any";
    out_ += fmt::format("\\{}{{{}{}{}}}", p, negated ? "^" : "", script ? "sc:" : "", name);
    at_ = end + 1;
    return {};
  }

  std::string_view regex_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

constexpr std::size_t kJitStack = 4u << 20;

// What a match needs beside the pattern. One a thread: a text of a million pieces is a million matches.
struct Scratch {
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data{
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free};
  std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context{
      pcre2_match_context_create(nullptr), &pcre2_match_context_free};
  std::unique_ptr<pcre2_jit_stack, decltype(&pcre2_jit_stack_free)> stack{
      pcre2_jit_stack_create(32u << 10, kJitStack, nullptr), &pcre2_jit_stack_free};
  Scratch() { pcre2_jit_stack_assign(context.get(), nullptr, stack.get()); }
};

}  // namespace

struct Pattern::Code {
  std::string shown;
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Pattern::Pattern(std::unique_ptr<const Code> code) : code_{std::move(code)} {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view shown, const std::string& pcre, unsigned options) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  auto code = std::make_unique<Code>();
  code->shown = shown;
  int error = 0;
  PCRE2_SIZE where = 0;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre.data()), pcre.size(), PCRE2_UTF | options,
                             &error, &where, context.get());
  if (code->code == nullptr) {
    std::array<PCRE2_UCHAR, 200> words{};
    pcre2_get_error_message(error, words.data(), words.size());
    return fail(ErrorKind::usage, "the pattern {} is not understood: {}", shown,
                reinterpret_cast<const char*>(words.data()));
  }
  // Without JIT (refused by some hardened systems) the interpreter does the same, more slowly.
  (void)pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);
  return Pattern(std::move(code));
}

Result<Pattern> Pattern::compile(std::string_view regex) {
  DSBENCH_TRY(const std::string pcre, Translator(regex).translate());
  // Ruby's $ and ^ are of lines.
  return compile(regex, pcre, PCRE2_UCP | PCRE2_MULTILINE);
}

Result<Pattern> Pattern::compile_literal(std::string_view text) {
  return compile(text, std::string(text), PCRE2_LITERAL);
}

Result<std::vector<Pattern::Range>> Pattern::matches(std::string_view text) const {
  thread_local Scratch scratch;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::vector<Range> found;
  std::size_t at = 0;
  while (at <= text.size()) {
    // The text is valid UTF-8: checking it again for every match would take quadratic time.
    int n = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, scratch.data.get(),
                        scratch.context.get());
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) {
      n = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                      scratch.data.get(), scratch.context.get());
    }
    if (n == PCRE2_ERROR_NOMATCH) break;
    if (n < 0) {
      return fail(ErrorKind::usage,
                  "the pattern {} gives up on a text of {} bytes at byte {} (PCRE2 error {})", code_->shown,
                  text.size(), at, n);
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(scratch.data.get());
    if (range[1] > range[0]) {
      found.emplace_back(range[0], range[1]);
      at = range[1];
      continue;
    }
    at = range[1] + 1;  // an empty match: on to the next character
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  }
  return found;
}

}  // namespace dsbench::profiles
