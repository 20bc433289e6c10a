#include "engine/checkpoint/config_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/text.h"

namespace dsbench::engine::checkpoint {

using Json = nlohmann::json;

struct ConfigObject::Node {
  Json json;
  std::string source;
  std::string path;  // "rope_scaling."
  std::shared_ptr<std::string> complaints;

  // Null for absent.
  [[nodiscard]] const Json* find(std::string_view key) const {
    const auto at = json.find(key);
    return at == json.end() || at->is_null() ? nullptr : &*at;
  }
};

namespace {

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

ConfigObject::ConfigObject(std::unique_ptr<Node> node) : node_{std::move(node)} {}
ConfigObject::ConfigObject(ConfigObject&&) noexcept = default;
ConfigObject& ConfigObject::operator=(ConfigObject&&) noexcept = default;
ConfigObject::~ConfigObject() = default;

Result<ConfigObject> ConfigObject::parse(std::string_view text, const std::string& source) {
  auto node = std::make_unique<Node>();
  node->json = Json::parse(text, nullptr, false);
  if (!node->json.is_object()) return fail(ErrorKind::usage, "{}: is no JSON object", source);
  node->source = source;
  node->complaints = std::make_shared<std::string>();
  return ConfigObject(std::move(node));
}

ConfigObject ConfigObject::object(std::string_view key) {
  auto node = std::make_unique<Node>();
  node->source = node_->source;
  node->path = fmt::format("{}{}.", node_->path, key);
  node->complaints = node_->complaints;
  const Json* value = node_->find(key);
  if (value != nullptr && !value->is_object())
    complain(key, fmt::format("found {}; accepted is an object", shown(*value)));
  node->json = value != nullptr && value->is_object() ? *value : Json::object();
  return ConfigObject(std::move(node));
}

void ConfigObject::complain(std::string_view key, const std::string& message) {
  std::string& all = *node_->complaints;
  if (!all.empty()) all += '\n';
  all += fmt::format("{}: {}{}: {}", node_->source, node_->path, key, message);
}

Result<void> ConfigObject::finish() const {
  if (node_->complaints->empty()) return {};
  return tl::unexpected(Error{ErrorKind::usage, *node_->complaints});
}

bool ConfigObject::has(std::string_view key) const {
  return node_->find(key) != nullptr;
}

bool ConfigObject::is_list(std::string_view key) const {
  const Json* value = node_->find(key);
  return value != nullptr && value->is_array();
}

std::int32_t ConfigObject::count(std::string_view key, std::int64_t least,
                                 std::optional<std::int32_t> fallback) {
  const Json* value = node_->find(key);
  if (value == nullptr) {
    if (!fallback) complain(key, "is missing; a whole number is needed");
    return fallback.value_or(static_cast<std::int32_t>(least));
  }
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const bool whole =
      value->is_number_integer() &&
      !(value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(most));
  if (!whole || value->get<std::int64_t>() < least || value->get<std::int64_t>() > most) {
    complain(key,
             fmt::format("found {}; accepted are whole numbers from {} to {}", shown(*value), least, most));
    return static_cast<std::int32_t>(least);
  }
  return value->get<std::int32_t>();
}

double ConfigObject::positive(std::string_view key, std::optional<double> fallback) {
  const Json* value = node_->find(key);
  if (value == nullptr) {
    if (!fallback) complain(key, "is missing; a number above 0 is needed");
    return fallback.value_or(1);
  }
  if (!value->is_number() || !(value->get<double>() > 0)) {
    complain(key, fmt::format("found {}; accepted are numbers above 0", shown(*value)));
    return 1;
  }
  return value->get<double>();
}

double ConfigObject::number(std::string_view key, double fallback) {
  const Json* value = node_->find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !(value->get<double>() >= 0)) {
    complain(key, fmt::format("found {}; accepted are numbers from 0", shown(*value)));
    return fallback;
  }
  return value->get<double>();
}

bool ConfigObject::boolean(std::string_view key, std::optional<bool> fallback) {
  const Json* value = node_->find(key);
  if (value == nullptr) {
    if (!fallback) complain(key, "is missing; true or false is needed");
    return fallback.value_or(false);
  }
  if (!value->is_boolean()) {
    complain(key, fmt::format("found {}; accepted are true and false", shown(*value)));
    return fallback.value_or(false);
  }
  return value->get<bool>();
}

std::string ConfigObject::text(std::string_view key, std::optional<std::string> fallback) {
  const Json* value = node_->find(key);
  if (value == nullptr) {
    if (!fallback) complain(key, "is missing; a text is needed");
    return fallback.value_or("");
  }
  if (!value->is_string()) {
    complain(key, fmt::format("found {}; accepted is a text", shown(*value)));
    return fallback.value_or("");
  }
  return value->get<std::string>();
}

std::vector<std::int64_t> ConfigObject::counts(std::string_view key) {
  std::vector<std::int64_t> out;
  const Json* value = node_->find(key);
  if (value == nullptr) return out;
  for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
    if (!item.is_number_integer() || item.get<std::int64_t>() < 0 ||
        item.get<std::int64_t>() > std::numeric_limits<std::int32_t>::max()) {
      complain(key, fmt::format("found {}; accepted are whole numbers", shown(*value)));
      return {};
    }
    out.push_back(item.get<std::int64_t>());
  }
  return out;
}

void ConfigObject::only(std::string_view key, bool accepted, std::string_view why) {
  const Json* value = node_->find(key);
  if (value == nullptr || *value == accepted) return;
  complain(key, fmt::format("found {}; accepted is {}{}", shown(*value), accepted, why));
}

void ConfigObject::only(std::string_view key, std::int64_t accepted, std::string_view why) {
  const Json* value = node_->find(key);
  if (value == nullptr || *value == accepted) return;
  complain(key, fmt::format("found {}; accepted is {}{}", shown(*value), accepted, why));
}

void ConfigObject::only(std::string_view key, double accepted, std::string_view why) {
  const Json* value = node_->find(key);
  if (value == nullptr || *value == accepted) return;
  complain(key, fmt::format("found {}; accepted is {}{}", shown(*value), accepted, why));
}

void ConfigObject::only(std::string_view key, std::initializer_list<std::string_view> accepted,
                        std::string_view why) {
  const Json* value = node_->find(key);
  if (value == nullptr) return;
  if (value->is_string() &&
      std::find(accepted.begin(), accepted.end(), value->get_ref<const std::string&>()) != accepted.end()) {
    return;
  }
  const std::vector<std::string_view> words(accepted);
  complain(key, fmt::format("found {}; accepted: {}{}", shown(*value), join(words), why));
}

}  // namespace dsbench::engine::checkpoint
