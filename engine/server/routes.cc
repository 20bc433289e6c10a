#include "engine/server/routes.h"

#include <optional>

namespace dsbench::engine::server {
namespace {

struct Entry {
  std::string_view path;
  std::string_view method;
  Endpoint endpoint;
};

constexpr std::string_view kFaults = "/admin/faults";

constexpr Entry kEntries[] = {
    {"/v1/chat/completions", "POST", Endpoint::chat_completions},
    {"/v1/completions", "POST", Endpoint::completions},
    {"/v1/messages", "POST", Endpoint::messages},
    {"/v1/responses", "POST", Endpoint::responses},
    {"/v1/models", "GET", Endpoint::models},
    {"/tokenize", "POST", Endpoint::tokenize},
    {"/health", "GET", Endpoint::health},
    {"/metrics", "GET", Endpoint::metrics},
    {kFaults, "GET, POST, DELETE", Endpoint::faults},
};
constexpr std::string_view kModelPrefix = "/v1/models/";

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

// A malformed escape stands for itself.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const auto high = hex_digit(text[i + 1]);
      const auto low = hex_digit(text[i + 2]);
      if (high && low) {
        out.push_back(static_cast<char>(*high << 4 | *low));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

}  // namespace

Route find_route(std::string_view target) {
  const std::string_view path = target.substr(0, target.find_first_of("?#"));
  for (const Entry& entry : kEntries)
    if (path == entry.path)
      return {.endpoint = entry.endpoint, .handler = entry.path, .method = entry.method, .argument = ""};
  if (path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size())
    return {.endpoint = Endpoint::model,
            .handler = "/v1/models/{model}",
            .method = "GET",
            .argument = percent_decoded(path.substr(kModelPrefix.size()))};
  return {};
}

std::string known_paths() {
  std::string paths;
  for (const Entry& entry : kEntries) {
    if (entry.path == kFaults) continue;
    if (!paths.empty()) paths += ", ";
    paths += entry.path;
  }
  return paths;
}

}  // namespace dsbench::engine::server
