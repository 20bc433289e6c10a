#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// A tool that the model asked for: what it said then, as it is told again in later turns.
struct ToolCall {
  std::string type = "function";
  std::string name;
  std::string arguments;  // JSON, as the model wrote it
};

struct ChatMessage {
  std::string role;
  std::string content;
  std::vector<ToolCall> tool_calls = {};  // of an assistant
};

// A tool that the model may ask for.
struct ToolDescription {
  std::string name;
  std::string description;
  std::string parameters;  // a JSON schema, as json.dumps has it
};

// What a request asks of a template beside its messages.
struct ChatSettings {
  bool thinking = false;
  std::vector<ToolDescription> tools = {};
};

// How a conversation becomes one text. Hugging Face's templates are programs in Jinja; we recognise
// DeepSeek's by their marks and write what they would, with their generation prompt at the end. Tools that a
// request offers are in none of their templates; V3.1's model card says what to put behind the system prompt,
// which is done here.
class ChatTemplate {
 public:
  enum class Family : std::uint8_t {
    none,  // the contents one after another, nothing between or around them
    v2,    // "User: …\n\nAssistant: …<eos>", of DeepSeek LLM and V2
    v3,    // "<｜User｜>…<｜Assistant｜>…<eos>", of V2.5, V3 and R1
    v31,   // the same with </think> before an answer that did not think, of V3.1
  };

  // A family's template as its latest release has it: "none", "deepseek-v2", "deepseek-v3", "deepseek-r1",
  // "deepseek-v3.1".
  [[nodiscard]] static Result<ChatTemplate> named(std::string_view name);
  // From the text of a template. Refuses one that is not DeepSeek's.
  [[nodiscard]] static Result<ChatTemplate> recognise(std::string_view jinja, std::string_view source);

  // What the template puts for bos_token and eos_token.
  void set_special_tokens(std::string bos, std::string eos);

  // Roles are system, user, assistant, and tool where the template knows tools. Refuses others by name
  // ("messages[1]: …"), and settings that the template has no place for.
  [[nodiscard]] Result<std::string> render(std::span<const ChatMessage> messages,
                                           const ChatSettings& settings = {}) const;
  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] std::string_view name() const;

 private:
  [[nodiscard]] std::string render_v2(std::span<const ChatMessage> messages) const;
  [[nodiscard]] std::string render_v3(std::span<const ChatMessage> messages) const;
  [[nodiscard]] std::string render_v31(std::span<const ChatMessage> messages,
                                       const ChatSettings& settings) const;
  [[nodiscard]] Result<void> check(std::span<const ChatMessage> messages, const ChatSettings& settings) const;
  [[nodiscard]] std::string system_prompt(std::span<const ChatMessage> messages) const;

  Family family_ = Family::none;
  std::string bos_ = "<｜begin▁of▁sentence｜>";
  std::string eos_ = "<｜end▁of▁sentence｜>";
  // What releases of V3's and R1's templates do differently.
  bool joins_system_ = true;      // several system messages: all with "\n\n" between them, or the last one
  bool drops_thinking_ = false;   // of earlier answers, up to </think>
  bool opens_with_user_ = false;  // <｜Assistant｜> stands behind a user's message, not before an answer
  bool asks_to_think_ = false;    // the generation prompt ends with "<think>\n"
  bool knows_tools_ = false;      // writes calls and outputs
  bool many_rounds_ = true;  // V3's: outputs behind a second round of calls have their own beginning and end
};

}  // namespace dsbench::profiles
