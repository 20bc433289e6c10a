#include "profiles/json_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/text.h"

namespace dsbench::profiles {

using Json = nlohmann::json;

struct JsonObject::Node {
  const Json* json = nullptr;  // points into the document; null for a missing object
  std::string path;            // "pieces[2].rate"-style, empty at the root
  std::set<std::string, std::less<>> asked;
};

struct JsonObject::Document {
  Json root;
  std::string source;
  std::vector<std::string> errors;
  std::vector<std::shared_ptr<Node>> nodes;  // every object that was opened, for the unknown-key check
};

namespace {

const Json empty_object = Json::object();

std::string kind_of(const Json& value) {
  std::string shown = value.dump();
  if (shown.size() > 40) shown = shown.substr(0, 37) + "...";
  return fmt::format("the {} {}", value.type_name(), shown);
}

std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

}  // namespace

JsonObject::JsonObject(std::shared_ptr<Document> document, std::shared_ptr<Node> node)
    : document_{std::move(document)}, node_{std::move(node)} {
  document_->nodes.push_back(node_);
}

Result<JsonObject> JsonObject::parse(std::string_view text, std::string source) {
  auto document = std::make_shared<Document>();
  document->source = std::move(source);
  try {
    document->root = Json::parse(text, nullptr, true, true);
  } catch (const Json::parse_error& e) {
    const auto before = text.substr(0, std::min(text.size(), e.byte));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    return fail(ErrorKind::usage, "{}: line {}: not valid JSON: {}", document->source, line, e.what());
  }
  if (!document->root.is_object()) {
    return fail(ErrorKind::usage, "{}: expected a JSON object, found {}", document->source,
                kind_of(document->root));
  }
  auto node = std::make_shared<Node>();
  node->json = &document->root;
  return JsonObject{std::move(document), std::move(node)};
}

bool JsonObject::is_text(std::string_view key) const {
  return has(key) && (*node_->json)[std::string{key}].is_string();
}

bool JsonObject::has(std::string_view key) const {
  return node_->json != nullptr && node_->json->contains(key);
}

bool JsonObject::is_object(std::string_view key) const {
  return has(key) && node_->json->find(key)->is_object();
}

void JsonObject::complain(std::string_view key, std::string message) {
  document_->errors.push_back(
      fmt::format("{}: {}: {}", document_->source, join_path(node_->path, key), message));
}

namespace {

// The value under a key, or null after a complaint when it is required and missing.
template <class Node, class Complain>
const Json* look_up(Node& node, std::string_view key, bool required, Complain&& complain) {
  node.asked.emplace(key);
  const Json& object = node.json != nullptr ? *node.json : empty_object;
  if (const auto it = object.find(key); it != object.end()) return &*it;
  if (required && node.json != nullptr) complain("required, but missing");
  return nullptr;
}

}  // namespace

double JsonObject::number(std::string_view key, std::optional<double> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(0);
  if (v->is_number()) return v->get<double>();
  complain(key, fmt::format("expected a number, found {}", kind_of(*v)));
  return fallback.value_or(0);
}

std::int64_t JsonObject::integer(std::string_view key, std::optional<std::int64_t> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(0);
  if (v->is_number_integer()) return v->get<std::int64_t>();
  complain(key, fmt::format("expected a whole number, found {}", kind_of(*v)));
  return fallback.value_or(0);
}

bool JsonObject::boolean(std::string_view key, std::optional<bool> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(false);
  if (v->is_boolean()) return v->get<bool>();
  complain(key, fmt::format("expected true or false, found {}", kind_of(*v)));
  return fallback.value_or(false);
}

std::string JsonObject::text(std::string_view key, std::optional<std::string> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or("");
  if (v->is_string()) return v->get<std::string>();
  complain(key, fmt::format("expected a string, found {}", kind_of(*v)));
  return fallback.value_or("");
}

Nanos JsonObject::duration(std::string_view key, std::optional<Nanos> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(Nanos{0});
  const auto parsed = parse_duration(v->is_string() ? v->get<std::string>() : v->dump());
  if (parsed) return *parsed;
  complain(key, parsed.error().message);
  return fallback.value_or(Nanos{0});
}

Rate JsonObject::rate(std::string_view key, std::optional<Rate> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(Rate{});
  const auto parsed = parse_rate(v->is_string() ? v->get<std::string>() : v->dump());
  if (parsed) return *parsed;
  complain(key, parsed.error().message);
  return fallback.value_or(Rate{});
}

std::size_t JsonObject::choice(std::string_view key, const std::vector<std::string_view>& accepted,
                               std::optional<std::size_t> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(0);
  if (v->is_string()) {
    const auto it = std::find(accepted.begin(), accepted.end(), v->get<std::string>());
    if (it != accepted.end()) return static_cast<std::size_t>(it - accepted.begin());
  }
  complain(key, fmt::format("found {}; accepted: {}", kind_of(*v), join(accepted)));
  return fallback.value_or(0);
}

std::vector<double> JsonObject::numbers(std::string_view key, std::optional<std::vector<double>> fallback) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, !fallback, complain_here);
  if (v == nullptr) return fallback.value_or(std::vector<double>{});
  if (v->is_array() && std::all_of(v->begin(), v->end(), [](const Json& x) { return x.is_number(); })) {
    return v->get<std::vector<double>>();
  }
  complain(key, fmt::format("expected an array of numbers, found {}", kind_of(*v)));
  return fallback.value_or(std::vector<double>{});
}

std::vector<std::pair<std::string, std::string>> JsonObject::text_pairs(std::string_view key) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, true, complain_here);
  std::vector<std::pair<std::string, std::string>> pairs;
  if (v == nullptr) return pairs;
  const auto is_scalar = [](const Json& x) { return x.is_string() || x.is_number(); };
  const auto text = [](const Json& x) { return x.is_string() ? x.get<std::string>() : x.dump(); };
  for (const Json& x : v->is_array() ? *v : Json::array({*v})) {
    if (!x.is_array() || x.size() != 2 || !is_scalar(x[0]) || !is_scalar(x[1])) {
      complain(key,
               fmt::format(R"(expected an array of pairs, as in [["0s", "12/s"], ["5m", "40/s"]], found {})",
                           kind_of(v->is_array() ? x : *v)));
      return {};
    }
    pairs.emplace_back(text(x[0]), text(x[1]));
  }
  return pairs;
}

std::vector<std::pair<std::string, double>> JsonObject::named_numbers(std::string_view key) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, false, complain_here);
  std::vector<std::pair<std::string, double>> numbers;
  if (v == nullptr) return numbers;
  if (!v->is_object()) {
    complain(key, fmt::format("expected an object of numbers, found {}", kind_of(*v)));
    return numbers;
  }
  for (const auto& [name, x] : v->items()) {
    if (x.is_number()) {
      numbers.emplace_back(name, x.get<double>());
    } else {
      complain(key, fmt::format("expected a number for {}, found {}", name, kind_of(x)));
    }
  }
  return numbers;
}

JsonObject JsonObject::object(std::string_view key, bool required) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, required, complain_here);
  auto node = std::make_shared<Node>();
  node->path = join_path(node_->path, key);
  if (v != nullptr && v->is_object()) {
    node->json = v;
  } else if (v != nullptr) {
    complain(key, fmt::format("expected an object, found {}", kind_of(*v)));
  }
  return JsonObject{document_, std::move(node)};
}

void JsonObject::each(std::string_view key, const std::function<void(JsonObject&)>& f, bool required) {
  const auto complain_here = [&](std::string m) { complain(key, std::move(m)); };
  const Json* v = look_up(*node_, key, required, complain_here);
  if (v == nullptr) return;
  if (!v->is_array()) {
    complain(key, fmt::format("expected an array of objects, found {}", kind_of(*v)));
    return;
  }
  for (std::size_t i = 0; i < v->size(); ++i) {
    auto node = std::make_shared<Node>();
    node->path = fmt::format("{}[{}]", join_path(node_->path, key), i);
    if (!(*v)[i].is_object()) {
      complain(fmt::format("{}[{}]", key, i), fmt::format("expected an object, found {}", kind_of((*v)[i])));
      continue;
    }
    node->json = &(*v)[i];
    JsonObject element{document_, std::move(node)};
    f(element);
  }
}

void JsonObject::schema(std::string_view kind, int newest_major) {
  const std::string found = text("schema");
  if (!has("schema")) return;
  const std::string prefix = fmt::format("dsbench.{}/", kind);
  int major = 0;
  const std::string digits = found.starts_with(prefix) ? found.substr(prefix.size()) : "";
  if (!digits.empty() && digits.size() < 6 && digits.find_first_not_of("0123456789") == std::string::npos) {
    major = std::stoi(digits);
  }
  if (major < 1 || major > newest_major) {
    complain("schema",
             fmt::format("found '{}'; this dsbench reads {}1 to {}{}", found, prefix, prefix, newest_major));
  }
}

Result<void> JsonObject::finish() const {
  std::vector<std::string> errors = document_->errors;
  for (const auto& node : document_->nodes) {
    if (node->json == nullptr) continue;
    std::vector<std::string_view> accepted(node->asked.begin(), node->asked.end());
    for (const auto& [key, value] : node->json->items()) {
      if (node->asked.contains(key)) continue;
      const std::string_view near = nearest_word(key, accepted);
      errors.push_back(fmt::format("{}: unknown key '{}'; {}", document_->source, join_path(node->path, key),
                                   near.empty() ? fmt::format("accepted: {}", join(accepted))
                                                : fmt::format("did you mean '{}'?", near)));
    }
  }
  if (errors.empty()) return {};
  return fail(ErrorKind::usage, "{}", fmt::join(errors, "\n"));
}

const std::string& JsonObject::source() const {
  return document_->source;
}

}  // namespace dsbench::profiles
