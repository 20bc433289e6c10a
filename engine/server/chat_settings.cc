#include "engine/server/chat_settings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

namespace dsbench::engine::server {
namespace {

// In the order of the request: a schema is written as it came.
using Json = nlohmann::ordered_json;
template <class T>
using Read = tl::expected<T, ApiError>;

tl::unexpected<ApiError> refuse(const std::string& param, const std::string& accepted) {
  return tl::unexpected(ApiError{.message = fmt::format("'{}' must be {}", param, accepted), .param = param});
}

// As Python's json.dumps has it: ", " and ": ", and what is not ASCII as it is.
void dump(const Json& value, std::string& out) {
  if (value.is_object()) {
    out += '{';
    const char* between = "";
    for (const auto& [key, member] : value.items()) {
      out += between + Json(key).dump() + ": ";
      dump(member, out);
      between = ", ";
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    const char* between = "";
    for (const Json& member : value) {
      out += between;
      dump(member, out);
      between = ", ";
    }
    out += ']';
  } else {
    out += value.dump();
  }
}

const Json* field(const Json& object, std::string_view key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Read<bool> read_thinking(const Json& body) {
  bool thinking = false;
  if (const Json* kwargs = field(body, "chat_template_kwargs"); kwargs != nullptr) {
    if (!kwargs->is_object()) return refuse("chat_template_kwargs", "an object");
    for (const std::string_view key : {"thinking", "enable_thinking"}) {
      const Json* value = field(*kwargs, key);
      if (value == nullptr) continue;
      if (!value->is_boolean()) return refuse(fmt::format("chat_template_kwargs.{}", key), "true or false");
      thinking = value->get<bool>();
    }
  }
  if (const Json* asked = field(body, "thinking"); asked != nullptr) {
    const Json* type = asked->is_object() ? field(*asked, "type") : nullptr;
    if (type == nullptr || (*type != "enabled" && *type != "disabled"))
      return refuse("thinking", R"({"type": "enabled"} or {"type": "disabled"})");
    thinking = *type == "enabled";
  }
  return thinking;
}

Read<profiles::ToolDescription> read_tool(const Json& tool, const std::string& at) {
  const Json* function = tool.is_object() ? field(tool, "function") : nullptr;
  if (function == nullptr || !function->is_object())
    return refuse(at, R"({"type": "function", "function": {name, description, parameters}})");
  profiles::ToolDescription out;
  const Json* name = field(*function, "name");
  if (name == nullptr || !name->is_string()) return refuse(at + ".function.name", "a string");
  out.name = name->get<std::string>();
  if (const Json* description = field(*function, "description"); description != nullptr) {
    if (!description->is_string()) return refuse(at + ".function.description", "a string");
    out.description = description->get<std::string>();
  }
  if (const Json* parameters = field(*function, "parameters"); parameters != nullptr) {
    if (!parameters->is_object()) return refuse(at + ".function.parameters", "an object: a JSON schema");
    dump(*parameters, out.parameters);
  }
  return out;
}

}  // namespace

Read<profiles::ChatSettings> read_chat_settings(std::string_view text) {
  const Json body = Json::parse(text, nullptr, false);
  profiles::ChatSettings settings;
  const auto thinking = read_thinking(body);
  if (!thinking) return tl::unexpected(thinking.error());
  settings.thinking = *thinking;
  const Json* choice = field(body, "tool_choice");
  if (choice != nullptr && *choice != "auto" && *choice != "none")
    return refuse("tool_choice", "\"auto\" or \"none\": nothing here binds a model to a tool");
  const Json* tools = field(body, "tools");
  if (tools == nullptr || (choice != nullptr && *choice == "none")) return settings;
  if (!tools->is_array()) return refuse("tools", "an array of functions");
  for (std::size_t i = 0; i < tools->size(); ++i) {
    auto tool = read_tool((*tools)[i], fmt::format("tools[{}]", i));
    if (!tool) return tl::unexpected(std::move(tool).error());
    settings.tools.push_back(std::move(*tool));
  }
  return settings;
}

}  // namespace dsbench::engine::server
