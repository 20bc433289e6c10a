#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/units.h"

// What can be made to go wrong with a server of ours, as words and values. Nothing here does anything.
namespace dsbench::profiles {

enum class FaultKind : std::uint8_t {
  latency,           // an answer begins later
  stall,             // a stream stands still after some tokens
  close,             // the connection closes after the 200
  error_frame,       // a stream ends with an error event
  truncate,          // a stream ends in good order, but without its finish_reason and [DONE]
  refuse,            // an HTTP status instead of an answer
  keep_alive_flood,  // comments, as fast as the client takes them
  slow_reader,       // the server reads request bodies slowly
  crash,             // the engine loses all it has and refuses until it is back, with cold caches
  cores,             // a part of the compute is gone: steps take longer
  kv,                // a part of the KV blocks is gone
  hot_experts,       // most tokens want the same few experts: the step waits for the busiest device
};
inline constexpr std::size_t fault_kinds = 12;
[[nodiscard]] std::string_view to_word(FaultKind kind);
// crash, cores, kv, hot-experts; the others are of single requests.
[[nodiscard]] bool is_of_engine(FaultKind kind);
// keep-alive-flood, slow-reader: made of bytes on a connection.
[[nodiscard]] bool is_of_connection(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::latency;
  // When. Relative to the server's start, or to the moment of asking.
  Nanos start{0};
  std::optional<Nanos> duration = std::nullopt;  // absent: until it is taken away
  // Which requests: drawn for each by its number.
  double share = 1;
  std::uint64_t seed = 1;
  // What; each kind uses what is its own.
  Nanos delay{1'000'000'000};                // latency
  Nanos jitter{0};                           // latency: uniform, up to so much less or more
  std::int32_t after = 0;                    // stall, close, error_frame, truncate: tokens before it
  std::optional<Nanos> hold = std::nullopt;  // stall: for how long; absent: for ever
  std::int32_t status = 503;                 // refuse
  std::int64_t rate = 1000;                  // slow_reader: bytes a second
  double left = 0.5;                         // cores, kv: what remains, as a fraction
  double factor = 2;                         // hot_experts: load of the busiest device over the mean

  friend bool operator==(const Fault&, const Fault&) = default;
};

// NAME[:key=value,…][@START][+DURATION], as in "latency:delay=200ms,jitter=50ms,share=0.3@5s+10s". Errors say
// which keys the fault has.
[[nodiscard]] Result<Fault> parse_fault(std::string_view text);
// The same text, with every value that is not the default.
[[nodiscard]] std::string print_fault(const Fault& fault);
// One line for each fault: its name, its keys with their defaults, what it does. For --help and docs.
[[nodiscard]] std::string describe_faults();

}  // namespace dsbench::profiles
