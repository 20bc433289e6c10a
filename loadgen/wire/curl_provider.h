#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "core/result.h"
#include "loadgen/codec/codec.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/wire/caller_lines.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {

// What is the same for all requests to one provider by libcurl, which keeps the addresses of its header lists
// and its URL: never moved once in use.
class CurlProvider {
 public:
  // Errors: usage for a base URL, path or protocol that makes no request.
  [[nodiscard]] static Result<CurlProvider> make(const ProviderConfig& config);

  // The header lines of an attempt with a body of `size` bytes; with those of `caller` made once for each
  // tenant and number of the attempt.
  [[nodiscard]] curl_slist* headers_of(std::uint16_t tenant, std::uint32_t attempt, std::size_t size,
                                       const CallerLines& caller);

  std::shared_ptr<const Codec> codec;
  Url url;
  std::string unix_socket;
  TokenScale scale;

 private:
  HeaderList headers_;
  HeaderList large_headers_;  // with "Expect:", which libcurl compares with all that it would write
  // The same with the lines of CallerLines, by tenant, attempt and whether the body is large.
  std::map<std::tuple<std::uint16_t, std::uint32_t, bool>, HeaderList> told_;
};

}  // namespace dsbench::loadgen
