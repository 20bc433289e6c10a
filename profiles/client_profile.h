#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::profiles {

// How patient a client is and when it tries again. An absent timeout waits for ever; see
// loadgen/client_policy.h for the law.
struct ClientProfile {
  std::string name;
  std::string description;
  std::optional<Nanos> connect_timeout;
  std::optional<Nanos> first_token_timeout;
  std::optional<Nanos> stall_timeout;
  std::optional<Nanos> total_timeout;
  std::int32_t max_retries = 0;
  Nanos retry_initial{500'000'000};
  Nanos retry_cap{8'000'000'000};
  double retry_jitter = 0.25;
  Nanos retry_after_limit{120'000'000'000};
};

class JsonObject;

// An object's policy, without its schema and description: for a profile that has one inside.
[[nodiscard]] ClientProfile read_client(JsonObject& in);
// Schema "dsbench.client/1".
[[nodiscard]] Result<ClientProfile> parse_client(std::string_view json, std::string source);
// A shipped name or a path.
[[nodiscard]] Result<ClientProfile> load_client(std::string_view name_or_path);
[[nodiscard]] std::string to_json(const ClientProfile& profile);

}  // namespace dsbench::profiles
