#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/wire/openai_codec.h"
#include "loadgen/wire/secret.h"

namespace dsbench::loadgen {

// A target on the wire, and how we talk to it.
struct WireConfig {
  std::string
      base_url;  // "http://host:port", "https://host/v1": "/v1" is added when the path does not end in it
  Api api = Api::chat;
  std::string model;              // empty: what /v1/models names first (probe_target)
  bool exact_lengths = true;      // ask for ignore_eos and min_tokens
  std::optional<Secret> api_key;  // sent as "Authorization: Bearer …"
  std::string ca_file;            // instead of the system's certificates
  bool insecure = false;          // does not verify the server's certificate
  std::int32_t threads = 1;       // issuer threads
  // Before a due instant a thread stops sleeping and polls: 50 µs of it bring the send lag's median from 60
  // µs to 10 µs for a few per cent of a core.
  Nanos spin{50'000};
  // An idle connection older than this is not used again: uvicorn, which most engines sit behind, closes at 5
  // s, and a request sent into a connection that is just being closed fails.
  Nanos idle_connection_limit{3'000'000'000};
};

// A base URL, taken apart and checked.
struct BaseUrl {
  std::string api;     // "http://host:port/v1", no slash at the end
  std::string origin;  // "http://host:port": where /metrics and /health live
  std::string host;    // without brackets
  std::uint16_t port = 0;
  bool tls = false;
};
// Refuses anything but http and https, credentials (they would end up in logs and reports), a query and a
// fragment.
[[nodiscard]] Result<BaseUrl> parse_base_url(const std::string& url);

}  // namespace dsbench::loadgen
