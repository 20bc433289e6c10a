#include "loadgen/codec/request_text.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "loadgen/codec/prompt_text.h"

namespace dsbench::loadgen {
namespace {

std::string_view role_word(PromptPart::Role role, std::string_view system_role) {
  switch (role) {
    case PromptPart::Role::system:
      return system_role;
    case PromptPart::Role::assistant:
      return "assistant";
    case PromptPart::Role::user:
      break;
  }
  return "user";
}

}  // namespace

std::string json_quoted(std::string_view text) {
  using nlohmann::json;
  return json(std::string{text}).dump(-1, ' ', true, json::error_handler_t::replace);
}

std::string url_segment(std::string_view text) {
  constexpr std::string_view plain = "-._~";
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || plain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto u = static_cast<unsigned char>(c);
      out += '%';
      out += digits[u >> 4];
      out += digits[u & 15];
    }
  }
  return out;
}

void append_number(std::string& out, std::int64_t n) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, n).ptr;
  out.append(text, end);
}

void append_part(const PromptPart& part, PromptCache& cache, Body& body) {
  if (part.tokens >= PromptCache::worth_sharing) {
    body.append(cache.text(part.seed, part.tokens));
  } else {
    append_prompt(part.seed, part.tokens, body.text());
  }
}

Prompt::Prompt(const Attempt& attempt)
    : whole_{attempt.prompt_seed, attempt.prompt_tokens, PromptPart::Role::user} {
  if (attempt.parts && !attempt.parts->empty()) {
    parts_ = *attempt.parts;
  } else {
    parts_ = {&whole_, 1};
  }
}

void Prompt::append_text(PromptCache& cache, Body& body) const {
  for (const PromptPart& part : parts_) append_part(part, cache, body);
}

void Prompt::append_messages(PromptCache& cache, Body& body, std::size_t first,
                             std::string_view system_role) const {
  std::string& text = body.text();
  std::string_view former;
  for (const PromptPart& part : parts_.subspan(first)) {
    const std::string_view role = role_word(part.role, system_role);
    if (role != former) {
      text += former.empty() ? "{\"role\":\"" : "\"},{\"role\":\"";
      text += role;
      text += "\",\"content\":\"";
      former = role;
    }
    append_part(part, cache, body);
  }
  if (!former.empty()) text += "\"}";
}

}  // namespace dsbench::loadgen
