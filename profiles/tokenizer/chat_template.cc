#include "profiles/tokenizer/chat_template.h"

#include <utility>

namespace dsbench::profiles {
namespace {

constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
// V3's and V3.1's templates write the end of an answer out.
constexpr std::string_view kEnd = "<｜end▁of▁sentence｜>";
constexpr std::string_view kThought = "</think>";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::named(std::string_view name) {
  ChatTemplate t;
  if (name == "none") return t;
  if (name == "deepseek-v2") {
    t.family_ = Family::v2;
  } else if (name == "deepseek-v3") {
    t.family_ = Family::v3;
  } else if (name == "deepseek-r1") {
    t.family_ = Family::v3;
    t.drops_thinking_ = true;
    t.asks_to_think_ = true;
  } else if (name == "deepseek-v3.1") {
    t.family_ = Family::v31;
  } else {
    return fail(ErrorKind::usage,
                "no chat template '{}'; accepted: none, deepseek-v2, deepseek-v3, deepseek-r1, deepseek-v3.1",
                name);
  }
  return t;
}

Result<ChatTemplate> ChatTemplate::recognise(std::string_view jinja, std::string_view source) {
  ChatTemplate t;
  if (has(jinja, "'User: '") && has(jinja, "'Assistant: '") && has(jinja, "'Assistant:'") &&
      has(jinja, "bos_token") && has(jinja, "eos_token") && !has(jinja, "<｜") && !has(jinja, "loop.")) {
    t.family_ = Family::v2;
    return t;
  }
  const bool v3 = has(jinja, "'<｜User｜>'") && has(jinja, "'<｜Assistant｜>") &&
                  has(jinja, "'<｜end▁of▁sentence｜>'") && has(jinja, "bos_token") &&
                  has(jinja, "system_prompt");
  if (!v3) {
    return fail(ErrorKind::usage,
                "the chat template of {} is not one that we know; accepted are those of DeepSeek V2, V3, R1 "
                "and V3.1. "
                "Choose one with --chat-template none|deepseek-v2|deepseek-v3|deepseek-r1|deepseek-v3.1",
                source);
  }
  t.joins_system_ = has(jinja, "is_first_sp");
  if (has(jinja, "thinking")) {
    t.family_ = Family::v31;
    return t;
  }
  t.family_ = Family::v3;
  t.drops_thinking_ = has(jinja, "split('</think>')");
  t.opens_with_user_ = has(jinja, "+ '<｜Assistant｜>'}}");
  t.asks_to_think_ = has(jinja, "'<｜Assistant｜><think>");
  return t;
}

void ChatTemplate::set_special_tokens(std::string bos, std::string eos) {
  bos_ = std::move(bos);
  eos_ = std::move(eos);
}

std::string_view ChatTemplate::name() const {
  switch (family_) {
    case Family::none:
      return "none";
    case Family::v2:
      return "deepseek-v2";
    case Family::v31:
      return "deepseek-v3.1";
    case Family::v3:
      break;
  }
  return drops_thinking_ || asks_to_think_ ? "deepseek-r1" : "deepseek-v3";
}

std::string ChatTemplate::system_prompt(std::span<const ChatMessage> messages) const {
  std::string text;
  bool first = true;
  for (const ChatMessage& m : messages) {
    if (m.role != "system") continue;
    if (joins_system_) {
      if (!first) text += "\n\n";
      text += m.content;
    } else {
      text = m.content;
    }
    first = false;
  }
  return text;
}

std::string ChatTemplate::render_v2(std::span<const ChatMessage> messages) const {
  std::string out = bos_;
  for (const ChatMessage& m : messages) {
    if (m.role == "user") out += "User: " + m.content + "\n\n";
    if (m.role == "assistant") out += "Assistant: " + m.content + eos_;
    if (m.role == "system") out += m.content + "\n\n";
  }
  return out + "Assistant:";
}

std::string ChatTemplate::render_v3(std::span<const ChatMessage> messages) const {
  std::string out = bos_ + system_prompt(messages);
  bool user_was_last = false;
  for (const ChatMessage& m : messages) {
    if (m.role == "user") {
      out += kUser;
      out += m.content;
      if (opens_with_user_) out += kAssistant;
      user_was_last = true;
    } else if (m.role == "assistant") {
      std::string_view answer = m.content;
      if (const std::size_t at = answer.rfind(kThought); drops_thinking_ && at != std::string_view::npos)
        answer.remove_prefix(at + kThought.size());
      if (!opens_with_user_) out += kAssistant;
      out += answer;
      out += kEnd;
      user_was_last = false;
    }
  }
  if (!opens_with_user_ || !user_was_last) {
    out += kAssistant;
    if (asks_to_think_) out += "<think>\n";
  }
  return out;
}

std::string ChatTemplate::render_v31(std::span<const ChatMessage> messages) const {
  std::string out = bos_ + system_prompt(messages);
  bool user_was_last = false;
  for (const ChatMessage& m : messages) {
    if (m.role == "user") {
      out += kUser;
      out += m.content;
      user_was_last = true;
    } else if (m.role == "assistant") {
      if (user_was_last) {
        out += kAssistant;
        out += kThought;
      }
      std::string_view answer = m.content;
      if (const std::size_t at = answer.find(kThought); at != std::string_view::npos)
        answer.remove_prefix(at + kThought.size());
      out += answer;
      out += kEnd;
      user_was_last = false;
    }
  }
  if (user_was_last) {
    out += kAssistant;
    out += kThought;
  }
  return out;
}

Result<std::string> ChatTemplate::render(std::span<const ChatMessage> messages) const {
  if (family_ == Family::none) {
    std::string out;
    for (const ChatMessage& m : messages) out += m.content;
    return out;
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      return fail(
          ErrorKind::usage,
          "messages[{}]: the role '{}' is not supported by the chat template {}; accepted: system, user, "
          "assistant",
          i, role, name());
    }
  }
  return family_ == Family::v2   ? render_v2(messages)
         : family_ == Family::v3 ? render_v3(messages)
                                 : render_v31(messages);
}

}  // namespace dsbench::profiles
