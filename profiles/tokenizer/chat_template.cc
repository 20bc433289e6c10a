#include "profiles/tokenizer/chat_template.h"

#include <fmt/format.h>

#include <utility>

namespace dsbench::profiles {
namespace {

constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
// V3's and V3.1's templates write the end of an answer out.
constexpr std::string_view kEnd = "<｜end▁of▁sentence｜>";
constexpr std::string_view kThought = "</think>";
constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>";
constexpr std::string_view kCallsEnd = "<｜tool▁calls▁end｜>";
constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";
constexpr std::string_view kSeparator = "<｜tool▁sep｜>";
constexpr std::string_view kOutputsBegin = "<｜tool▁outputs▁begin｜>";
constexpr std::string_view kOutputsEnd = "<｜tool▁outputs▁end｜>";
constexpr std::string_view kOutputBegin = "<｜tool▁output▁begin｜>";
constexpr std::string_view kOutputEnd = "<｜tool▁output▁end｜>";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// What V3.1's model card puts behind the system prompt.
std::string describe(std::span<const ToolDescription> tools) {
  std::string out = "\n\n## Tools\nYou have access to the following tools:\n\n";
  for (const ToolDescription& tool : tools) {
    out += fmt::format("### {}\nDescription: {}\n\nParameters: {}\n\n", tool.name, tool.description,
                       tool.parameters.empty() ? "{}" : tool.parameters);
  }
  return out +
         fmt::format(
             "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
             "{}{}tool_call_name{}tool_call_arguments{}{{additional_tool_calls}}{}\n\n"
             "Where:\n"
             "- `tool_call_name` must be an exact match to one of the available tools\n"
             "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
             "- For multiple tool calls, chain them directly without separators or spaces",
             kCallsBegin, kCallBegin, kSeparator, kCallEnd, kCallsEnd);
}

}  // namespace

Result<ChatTemplate> ChatTemplate::named(std::string_view name) {
  ChatTemplate t;
  if (name == "none") return t;
  t.knows_tools_ = name != "deepseek-v2";
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
  t.knows_tools_ = has(jinja, kCallsBegin);
  t.many_rounds_ = has(jinja, "is_output_first = true");
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
  bool in_outputs = false;  // what tools said is not closed yet
  bool first_output = true;
  for (const ChatMessage& m : messages) {
    if (m.role == "user") {
      in_outputs = false;
      out += kUser;
      out += m.content;
      if (opens_with_user_) out += kAssistant;
      user_was_last = true;
    } else if (m.role == "assistant" && !m.tool_calls.empty()) {
      if (in_outputs && many_rounds_) out += kOutputsEnd;
      if (many_rounds_) first_output = true;
      in_outputs = false;
      user_was_last = false;
      if (!opens_with_user_) out += kAssistant;
      out += m.content;
      out += kCallsBegin;
      for (std::size_t i = 0; i < m.tool_calls.size(); ++i) {
        const ToolCall& call = m.tool_calls[i];
        out += fmt::format("{}{}{}{}{}\n```json\n{}\n```{}", i > 0 ? "\n" : "", kCallBegin, call.type,
                           kSeparator, call.name, call.arguments, kCallEnd);
      }
      out += kCallsEnd;
      out += kEnd;
    } else if (m.role == "assistant") {
      std::string_view answer = m.content;
      if (in_outputs) {
        out += kOutputsEnd;
      } else {
        if (const std::size_t at = answer.rfind(kThought); drops_thinking_ && at != std::string_view::npos)
          answer.remove_prefix(at + kThought.size());
        if (!opens_with_user_) out += kAssistant;
      }
      out += answer;
      out += kEnd;
      in_outputs = false;
      user_was_last = false;
    } else if (m.role == "tool") {
      out += first_output ? kOutputsBegin : std::string_view{"\n"};
      out += fmt::format("{}{}{}", kOutputBegin, m.content, kOutputEnd);
      first_output = false;
      in_outputs = true;
      user_was_last = false;
    }
  }
  // Behind what tools said the model goes on by itself.
  if (in_outputs) {
    out += kOutputsEnd;
  } else if (!opens_with_user_ || !user_was_last) {
    out += kAssistant;
    if (asks_to_think_) out += "<think>\n";
  }
  return out;
}

std::string ChatTemplate::render_v31(std::span<const ChatMessage> messages,
                                     const ChatSettings& settings) const {
  std::string out = bos_ + system_prompt(messages);
  if (!settings.tools.empty()) out += describe(settings.tools);
  bool user_was_last = false;
  bool tool_was_last = false;
  for (const ChatMessage& m : messages) {
    if (m.role == "user") {
      out += kUser;
      out += m.content;
      user_was_last = true;
      tool_was_last = false;
    } else if (m.role == "assistant") {
      if (user_was_last) {
        out += kAssistant;
        out += kThought;
      }
      std::string_view answer = m.content;
      const std::size_t at = answer.find(kThought);
      if (m.tool_calls.empty() && !tool_was_last && at != std::string_view::npos)
        answer.remove_prefix(at + kThought.size());
      out += answer;
      if (!m.tool_calls.empty()) {
        out += kCallsBegin;
        for (const ToolCall& call : m.tool_calls)
          out += fmt::format("{}{}{}{}{}", kCallBegin, call.name, kSeparator, call.arguments, kCallEnd);
        out += kCallsEnd;
      }
      out += kEnd;
      user_was_last = false;
      tool_was_last = false;
    } else if (m.role == "tool") {
      out += fmt::format("{}{}{}", kOutputBegin, m.content, kOutputEnd);
      user_was_last = false;
      tool_was_last = true;
    }
  }
  if (user_was_last) {
    out += kAssistant;
    out += settings.thinking ? "<think>" : kThought;
  }
  return out;
}

Result<void> ChatTemplate::check(std::span<const ChatMessage> messages, const ChatSettings& settings) const {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant" && !(role == "tool" && knows_tools_)) {
      return fail(
          ErrorKind::usage,
          "messages[{}]: the role '{}' is not supported by the chat template {}; accepted: system, user, "
          "assistant{}",
          i, role, name(), knows_tools_ ? ", tool" : "");
    }
    if (!messages[i].tool_calls.empty() && !(role == "assistant" && knows_tools_)) {
      return fail(
          ErrorKind::usage,
          "messages[{}]: tool_calls are accepted of an assistant, in a chat template that writes them; "
          "this is {} and {}",
          i, role, name());
    }
  }
  if (!settings.tools.empty() && !(family_ == Family::v31 && knows_tools_)) {
    return fail(ErrorKind::usage,
                "tools: the chat template {} has no place for descriptions of tools; they are accepted with "
                "deepseek-v3.1, and with any as a part of the system message",
                name());
  }
  if (settings.thinking && family_ != Family::v31 && !asks_to_think_) {
    return fail(
        ErrorKind::usage,
        "thinking: the chat template {} has no thinking; accepted with deepseek-v3.1, and deepseek-r1 "
        "always thinks",
        name());
  }
  return {};
}

Result<std::string> ChatTemplate::render(std::span<const ChatMessage> messages,
                                         const ChatSettings& settings) const {
  if (family_ == Family::none) {
    std::string out;
    for (const ChatMessage& m : messages) out += m.content;
    return out;
  }
  DSBENCH_CHECK(check(messages, settings));
  return family_ == Family::v2   ? render_v2(messages)
         : family_ == Family::v3 ? render_v3(messages)
                                 : render_v31(messages, settings);
}

}  // namespace dsbench::profiles
