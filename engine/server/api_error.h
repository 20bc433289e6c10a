#pragma once

#include <string>

namespace dsbench::engine::server {

// A refusal in OpenAI's shape: {"error":{"message","type","param","code"}}. An empty `param` or `code` is
// rendered as null.
struct ApiError {
  int status = 400;  // of HTTP
  std::string message;
  std::string type = "invalid_request_error";
  std::string param = {};
  std::string code = {};
};

// {"error":{…}}, without a line end.
[[nodiscard]] std::string render_error(const ApiError& error);

}  // namespace dsbench::engine::server
