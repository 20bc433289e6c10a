#pragma once

#include <optional>
#include <string>

#include "core/units.h"
#include "engine/server/manners.h"

namespace dsbench::engine::server {

// A refusal in OpenAI's shape: {"error":{"message","type","param","code"}}. An empty `param` or `code` is
// rendered as null.
struct ApiError {
  int status = 400;  // of HTTP
  std::string message;
  std::string type = "invalid_request_error";
  std::string param = {};
  std::string code = {};
  std::optional<Nanos> retry_after = std::nullopt;  // a Retry-After header, in whole seconds rounded up
};

// {"error":{…}}, without a line end.
[[nodiscard]] std::string render_error(const ApiError& error, const Manners& manners = openai_manners());

}  // namespace dsbench::engine::server
