#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "profiles/status_list.h"

namespace dsbench::profiles {

// The words of a client profile, in the order of the enumerators of loadgen/ that they stand for.
inline constexpr std::array<std::string_view, 3> growth_words{"constant", "linear", "exponential"};
inline constexpr std::array<std::string_view, 5> jitter_words{"none", "full", "equal", "decorrelated",
                                                              "downwards"};
inline constexpr std::array<std::string_view, 4> patience_words{"constant", "exponential", "lognormal",
                                                                "weibull"};
inline constexpr std::array<std::string_view, 2> budget_words{"deposits", "concurrent"};

// How patient a client is and when it tries again, as docs/clients.md describes it; the laws are in
// loadgen/client_policy.h, and so are the meanings of the fields. An absent timeout waits for ever.
struct ClientProfile {
  std::string name;
  std::string description;
  std::optional<Nanos> connect_timeout;
  std::optional<Nanos> first_token_timeout;
  std::optional<Nanos> stall_timeout;
  std::optional<Nanos> total_timeout;
  bool comments_feed_timeout = false;

  struct Patience {
    std::size_t law = 0;  // of patience_words
    Nanos scale{0};
    double shape = 1;
  };
  std::optional<Patience> patience;

  std::int32_t max_retries = 0;
  std::size_t retry_growth = 2;      // of growth_words
  std::size_t retry_jitter_law = 4;  // of jitter_words
  Nanos retry_initial{500'000'000};
  Nanos retry_cap{8'000'000'000};
  double retry_jitter = 0.25;
  bool obey_server = true;
  Nanos retry_after_limit{120'000'000'000};
  bool own_delay_beyond_limit = false;
  std::vector<StatusRange> retry_statuses{{408, 409}, {429, 429}, {500, 999}};
  bool retry_connection_errors = true, retry_timeouts = true, retry_broken_streams = false;

  struct Budget {
    std::size_t kind = 0;  // of budget_words
    double share = 0.2;
    double minimum = 10;
    Nanos ttl{10'000'000'000};
  };
  std::optional<Budget> budget;

  struct Hedge {
    std::optional<Nanos> delay;
    std::optional<double> quantile;
  };
  std::optional<Hedge> hedge;

  struct Breaker {
    std::int32_t consecutive_failures = 0;
    std::optional<double> failure_share;
    Nanos window{10'000'000'000};
    std::int32_t window_attempts = 20;
    std::optional<Nanos> slow_first_token;
    Nanos open_for{10'000'000'000};
    std::int32_t probes = 1, probe_successes = 1;
    Nanos hold{0};
    bool refuse_when_all_open = false;
  };
  std::optional<Breaker> breaker;
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
