#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/codec/token_scale.h"
#include "loadgen/wire/secret.h"

namespace dsbench::profiles {
class Tokenizer;
}

namespace dsbench::loadgen {

// One service that requests may go to, and how we talk to it. Attempt::provider is its index.
struct ProviderConfig {
  std::string name;               // for people; empty: the origin of its URL
  std::string base_url;           // "http://host:port", "https://host/v1"
  std::string unix_socket;        // connect to this path instead; the URL still gives Host and path
  std::string api = "chat";       // one of apis()
  std::string model;              // empty: what /v1/models names first (probe_target)
  bool exact_lengths = true;      // ask for ignore_eos and min_tokens
  bool stream = true;             // else answers come in one piece
  std::optional<Secret> api_key;  // in the header that the API wants it in
  std::vector<std::pair<std::string, std::string>> headers;  // sent with every request
  TokenScale scale;                                          // how long prompts are, in bytes
};

struct CodecConfig;
[[nodiscard]] CodecConfig codec_config(const ProviderConfig& provider);

// Which code carries requests: libcurl (everything), or the lean one (plain-text HTTP/1.1 only). `automatic`
// takes the lean one where it can do all that is asked.
enum class WireKind : std::uint8_t { automatic, libcurl, lean };
enum class HttpVersion : std::uint8_t { http1, http2, http2_prior_knowledge };

// Targets on the wire, and how we talk to them.
struct WireConfig {
  std::vector<ProviderConfig> providers{1};
  WireKind wire = WireKind::automatic;
  HttpVersion http = HttpVersion::http1;
  std::string proxy;  // "http://host:port", "socks5h://host:port"; empty: none, whatever the environment says
  std::optional<Secret> proxy_auth;  // "user:password"
  // Look the names of targets up with every new connection, as part of the attempt, instead of once before
  // the run. libcurl only.
  bool resolve_each = false;
  bool compressed = false;  // accept gzip, deflate, br where libcurl can
  // Say with every request whose it is and which attempt (caller_lines.h): the classes of the workload by
  // Attempt::tenant. Nothing: say neither.
  std::optional<std::vector<std::string>> tenants = std::nullopt;
  std::string ca_file;       // instead of the system's certificates
  bool insecure = false;     // does not verify the server's certificate
  std::int32_t threads = 1;  // issuer threads
  // Of a schedule that several processes share, this one has every `stride`-th request: those are dealt to
  // its threads in turn.
  std::uint32_t stride = 1;
  // Counts the tokens of answers that come without a usage. Null: their chunks are counted.
  std::shared_ptr<const profiles::Tokenizer> tokenizer = nullptr;
  // When the run's time begins, on CLOCK_MONOTONIC. Nothing: when the runner is made.
  std::optional<Nanos> epoch = std::nullopt;
  // Before a due instant a thread stops sleeping and polls: 50 µs of it bring the send lag's median from 60
  // µs to 10 µs for a few per cent of a core.
  Nanos spin{50'000};
  // An idle connection older than this is not used again: uvicorn, which most engines sit behind, closes at 5
  // s, and a request sent into a connection that is just being closed fails.
  Nanos idle_connection_limit{3'000'000'000};
};

// A base URL, taken apart and checked.
struct BaseUrl {
  std::string base;    // "http://host:port/prefix", no slash at the end; a final "/v1" is taken off, because
                       // every path of a codec begins with its own
  std::string origin;  // "http://host:port": where /metrics and /health live
  std::string host;    // without brackets
  std::uint16_t port = 0;
  bool tls = false;
};
// Refuses anything but http and https, credentials (they would end up in logs and reports), a query and a
// fragment.
[[nodiscard]] Result<BaseUrl> parse_base_url(const std::string& url);

// Refuses what is no proxy's URL, and one with credentials. Empty is none.
[[nodiscard]] Result<void> check_proxy(const std::string& url);

}  // namespace dsbench::loadgen
