#include "loadgen/codec/request_text.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

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

std::string_view detail_word(ImageDetail detail) {
  switch (detail) {
    case ImageDetail::low:
      return "low";
    case ImageDetail::high:
      return "high";
    case ImageDetail::automatic:
      break;
  }
  return "auto";
}

// `overhead`: tokens of the part that the API's own frame takes.
void append_part(const PromptPart& part, double overhead, PromptCache& cache, Body& body) {
  const std::int64_t bytes = cache.scale().bytes(part.tokens, overhead);
  if (bytes >= PromptCache::worth_sharing) {
    body.append(cache.text(part.seed, bytes));
  } else {
    append_prompt(part.seed, bytes, body.text());
  }
}

void append_image(const PromptPart& part, ImageForm form, PromptCache& cache, Body& body) {
  std::string& text = body.text();
  switch (form) {
    case ImageForm::chat:
      text += "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,";
      break;
    case ImageForm::responses:
      text += "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,";
      break;
    case ImageForm::anthropic:
      text += "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"";
      break;
  }
  const auto picture = cache.image(part.seed, part.image_bytes);
  if (picture->size() >= static_cast<std::size_t>(PromptCache::worth_sharing)) {
    body.append(picture);
  } else {
    text += *picture;
  }
  text += '"';
  if (form != ImageForm::anthropic) {
    text += ",\"detail\":\"";
    text += detail_word(part.detail);
    text += '"';
  }
  text += form == ImageForm::responses ? "}" : "}}";
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

Prompt::Prompt(const Attempt& attempt)
    : whole_{attempt.prompt_seed, attempt.prompt_tokens, PromptPart::Role::user} {
  if (attempt.parts && !attempt.parts->empty()) {
    parts_ = *attempt.parts;
  } else {
    parts_ = {&whole_, 1};
  }
}

void Prompt::append_text(PromptCache& cache, Body& body, std::size_t count) const {
  double overhead = cache.scale().request_overhead;
  for (const PromptPart& part : parts_.first(std::min(count, parts_.size()))) {
    if (part.image_bytes > 0) continue;
    append_part(part, std::exchange(overhead, 0), cache, body);
  }
}

void Prompt::append_messages(PromptCache& cache, Body& body, const MessageForm& form) const {
  std::string& text = body.text();
  // What stands before the first message has paid for the request.
  double overhead = form.first == 0 ? cache.scale().request_overhead : cache.scale().message_overhead;
  const auto parts = parts_.subspan(form.first);
  for (std::size_t i = 0; i < parts.size();) {
    const std::string_view role = role_word(parts[i].role, form.system_role);
    std::size_t end = i;
    bool has_image = false;
    for (; end < parts.size() && role_word(parts[end].role, form.system_role) == role; ++end)
      has_image = has_image || parts[end].image_bytes > 0;
    text += i == 0 ? "{\"role\":\"" : ",{\"role\":\"";
    text += role;
    text += has_image ? "\",\"content\":[" : "\",\"content\":\"";
    bool in_text = false;
    for (; i < end; ++i) {
      const PromptPart& part = parts[i];
      if (part.image_bytes > 0) {
        if (std::exchange(in_text, false)) text += "\"}";
        if (text.back() == '}') text += ',';
        append_image(part, form.images, cache, body);
        continue;
      }
      if (has_image && !std::exchange(in_text, true)) {
        if (text.back() == '}') text += ',';
        text += form.images == ImageForm::responses ? "{\"type\":\"input_text\",\"text\":\""
                                                    : "{\"type\":\"text\",\"text\":\"";
      }
      append_part(part, std::exchange(overhead, 0), cache, body);
    }
    if (in_text) text += "\"}";
    text += has_image ? "]}" : "\"}";
    overhead = cache.scale().message_overhead;
  }
}

}  // namespace dsbench::loadgen
