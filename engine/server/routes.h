#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Which path is whose. Pure.
namespace dsbench::engine::server {

enum class Endpoint : std::uint8_t {
  chat_completions,
  completions,
  messages,
  responses,
  models,
  model,
  tokenize,
  health,
  metrics,
  faults,
  none
};

struct Route {
  Endpoint endpoint = Endpoint::none;
  std::string_view handler = "none";  // the path as metrics name it
  std::string_view method;            // the method that it takes, or several with commas between
  std::string argument;               // of `model`: its name
};

// `target` is a request target as it stands in the request line; its query is ignored.
[[nodiscard]] Route find_route(std::string_view target);

// For messages: every path that everybody may use.
[[nodiscard]] std::string known_paths();

}  // namespace dsbench::engine::server
