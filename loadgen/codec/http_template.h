#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace dsbench::loadgen {

// A request of any HTTP service, and what its answer must be; read from a file of schema dsbench.http/1 (see
// docs/protocols.md).
struct HttpTemplate {
  // The body, in pieces: text as it stands, or what stands between double braces.
  struct Piece {
    enum class Kind : std::uint8_t { text, seed, request, attempt, prompt, prompt_tokens, output_tokens };
    Kind kind = Kind::text;
    std::string text;
    friend bool operator==(const Piece&, const Piece&) = default;
  };

  std::string method = "GET";
  std::string path = "/";
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<Piece> body;
  std::vector<std::int32_t> statuses;  // that are answers; empty: every 2xx
  std::string contains;                // the body has these bytes; empty: whatever they are
  std::string matches;                 // a regular expression (Perl's syntax) finds something in the body
};

// `folder` is where a relative "body_file" begins. Errors: usage, one line for everything that is wrong; io,
// a body file that cannot be read.
[[nodiscard]] Result<HttpTemplate> parse_http_template(std::string_view json, std::string source,
                                                       const std::filesystem::path& folder);
[[nodiscard]] Result<HttpTemplate> load_http_template(const std::filesystem::path& path);

}  // namespace dsbench::loadgen
