#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/codec/codec.h"
#include "loadgen/target.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {

// What a target says of itself before a run.
struct TargetInfo {
  std::string model;                          // the one that will be asked
  std::vector<std::string> models;            // all that it serves; empty when it does not tell
  std::optional<std::int64_t> max_model_len;  // of `model`, where told (vLLM)
  std::string server;                         // the Server header, or empty
  bool usage_reported = false;                // the answer carried a usage
};

// Asks for the list of models, where the API has one, and one answer of one token, the way the run will ask.
// Errors: unreachable, with a sentence that names what is wrong (no such host, connection refused, 401, 404,
// unknown model, an answer that is not the API's); usage, for a URL that cannot be.
[[nodiscard]] Result<TargetInfo> probe_target(const WireConfig& config, std::size_t provider = 0,
                                              Nanos timeout = Nanos{60'000'000'000});

// What the usage of one answer says. The provider's model must be known. Errors: as above.
[[nodiscard]] Result<ReplyReader::Usage> ask_usage(const WireConfig& config, std::size_t provider,
                                                   const Attempt& attempt,
                                                   Nanos timeout = Nanos{60'000'000'000});

// The body of a 200. For /metrics: at most 64 MiB. `as` lends its certificates and its first provider's key.
// Errors: unreachable.
[[nodiscard]] Result<std::string> http_get(const std::string& url, Nanos timeout, const WireConfig& as = {});

// The body of what an administrator's request is answered with, if that is a 200. Errors: usage for a 400,
// else unreachable, with the server's complaint.
[[nodiscard]] Result<std::string> http_admin(const std::string& method, const std::string& url,
                                             const std::string& body, Nanos timeout,
                                             const WireConfig& as = {});

}  // namespace dsbench::loadgen
