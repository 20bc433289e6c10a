#include "profiles/client_profile.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

struct Timeout {
  std::string_view key;
  std::optional<Nanos> ClientProfile::*field;
};
constexpr std::array<Timeout, 4> timeouts{{{"connect_timeout", &ClientProfile::connect_timeout},
                                           {"first_token_timeout", &ClientProfile::first_token_timeout},
                                           {"stall_timeout", &ClientProfile::stall_timeout},
                                           {"total_timeout", &ClientProfile::total_timeout}}};

}  // namespace

ClientProfile read_client(JsonObject& root) {
  ClientProfile profile;
  for (const Timeout& timeout : timeouts) {
    if (!root.has(timeout.key)) continue;
    const Nanos value = root.duration(timeout.key, Nanos{1});
    if (value <= Nanos{0})
      root.complain(timeout.key,
                    "gives up at once; give a time above nought, or leave it out to wait for ever");
    profile.*timeout.field = value;
  }
  if (root.has("retry")) {
    JsonObject retry = root.object("retry");
    const std::int64_t max_retries = retry.integer("max_retries");
    if (max_retries < 0 || max_retries > 1000) {
      retry.complain("max_retries", fmt::format("found {}; accepted: 0 to 1000", max_retries));
    } else {
      profile.max_retries = static_cast<std::int32_t>(max_retries);
    }
    profile.retry_initial = retry.duration("initial", profile.retry_initial);
    profile.retry_cap = retry.duration("cap", profile.retry_cap);
    profile.retry_jitter = retry.number("jitter", profile.retry_jitter);
    if (!(profile.retry_jitter >= 0 && profile.retry_jitter <= 1)) {
      retry.complain("jitter",
                     fmt::format("found {}; accepted: 0 to 1 (the share of the delay that is random)",
                                 profile.retry_jitter));
    }
    profile.retry_after_limit = retry.duration("retry_after_limit", profile.retry_after_limit);
  }
  return profile;
}

Result<ClientProfile> parse_client(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  root.schema("client", 1);
  const std::string description = root.text("description", "");
  ClientProfile profile = read_client(root);
  profile.name = root.source();
  profile.description = description;
  DSBENCH_CHECK(root.finish());
  return profile;
}

Result<ClientProfile> load_client(std::string_view name_or_path) {
  DSBENCH_TRY(const ProfileText found, find_profile("client", name_or_path));
  DSBENCH_TRY(ClientProfile profile, parse_client(found.text, found.source));
  profile.name = std::string(name_or_path);
  return profile;
}

std::string to_json(const ClientProfile& profile) {
  nlohmann::ordered_json root;
  root["schema"] = "dsbench.client/1";
  if (!profile.description.empty()) root["description"] = profile.description;
  for (const Timeout& timeout : timeouts) {
    if (profile.*timeout.field) root[std::string(timeout.key)] = print_duration(*(profile.*timeout.field));
  }
  root["retry"] = {{"max_retries", profile.max_retries},
                   {"initial", print_duration(profile.retry_initial)},
                   {"cap", print_duration(profile.retry_cap)},
                   {"jitter", profile.retry_jitter},
                   {"retry_after_limit", print_duration(profile.retry_after_limit)}};
  return root.dump();
}

}  // namespace dsbench::profiles
