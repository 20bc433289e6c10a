#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/units.h"

// What is recorded of a run, attempt by attempt. This header is the contract between the load generator,
// which fills records, and results, which keeps and judges them.
namespace dsbench::results {

// How an attempt ended. Everything but `ok` and `cancelled` is a failure: an infinite latency for the SLO,
// never a fast success.
enum class Reason : std::uint8_t {
  ok,                     // whole: a final token, a finish reason and the end marker came
  connect_failed,         // refused, reset while connecting, no route, name not found
  connect_timeout,        // the client's connect timeout
  tls_failed,             // handshake or certificate
  send_failed,            // reset before a response began
  first_token_timeout,    // the client's patience for the first token ended
  stall_timeout,          // a gap between chunks exceeded the client's patience
  total_timeout,          // the client's patience for the whole answer ended
  abandoned,              // the user left before the first token
  superseded,             // another attempt of the same request was faster: the loser of a hedge
  breaker_open,           // not sent: the client's circuit breakers were open
  http_429,               // rate limited
  http_503,               // overloaded
  http_4xx,               // any other 4xx
  http_5xx,               // any other 5xx
  http_other,             // a status that is no 2xx and none of the above
  closed_early,           // a 200 that ended without the end marker
  error_frame,            // a 200 whose stream carried an error
  insufficient_resource,  // finish_reason insufficient_system_resource
  malformed,              // bytes that are not the protocol
  empty,                  // a whole answer without one token
  unsent,                 // never left us: no descriptor, no port, or dropped by a limit of ours
  interrupted,            // the run ended before the attempt did
  cancelled,              // the client had seen enough and hung up, as its workload says: no failure
};
inline constexpr int reason_count = static_cast<int>(Reason::cancelled) + 1;
// The word used in files and reports, the same as the enumerator.
[[nodiscard]] std::string_view to_word(Reason reason);
// Whether the client got all that it wanted: a whole answer, or as much of it as it cared to read.
[[nodiscard]] constexpr bool ended_well(Reason reason) {
  return reason == Reason::ok || reason == Reason::cancelled;
}

// Where a token count came from.
enum class TokenSource : std::uint8_t {
  usage,        // the server says it
  chunks,       // chunks of content, each one token as far as can be known
  asked,        // of a prompt: the workload's own figure; the server did not say
  retokenised,  // of an output: its text, counted by the tokenizer that the run was given
};
[[nodiscard]] std::string_view to_word(TokenSource source);

// A point of time that did not happen.
inline constexpr Nanos never{-1};

// One try of a request on the wire (or in virtual time). Points of time are since the start of the run.
struct AttemptRecord {
  std::uint64_t request = 0;   // number of the request in the run, from 0
  std::uint32_t attempt = 0;   // 0 is the first
  std::uint32_t stage = 0;     // index of the stage that offered the request
  std::uint32_t worker = 0;    // issuer thread
  std::uint32_t turn = 0;      // of its session, from 0; a session's first request gives it its number
  std::uint16_t tenant = 0;    // class of the workload
  std::uint16_t provider = 0;  // target that it was sent to
  Nanos due = never;         // for attempt 0 the schedule's instant, never moved; for a retry the instant the
                             // client's law gave
  Nanos sent = never;        // first byte handed to the socket
  Nanos first_byte = never;  // of the response
  Nanos first_token = never;  // first chunk with content
  Nanos last_token = never;
  Nanos done = never;                    // end marker, failure, or the moment the client gave up; always set
  std::int32_t prompt_tokens = 0;        // by the server's usage where it tells, else as asked
  std::int32_t prompt_tokens_asked = 0;  // by the workload
  std::int32_t images = 0;               // sent in the prompt
  std::int64_t image_bytes = 0;          // of all of them
  std::int32_t output_tokens = 0;        // tokens that arrived
  std::int32_t output_tokens_asked = 0;  // max_tokens of the request
  std::int32_t cached_prompt_tokens =
      -1;                              // what the server says it had in its prefix cache; -1: it does not say
  std::int32_t reasoning_tokens = -1;  // of output_tokens, as the server says; -1: it does not say
  TokenSource token_source = TokenSource::chunks;        // of output_tokens
  TokenSource prompt_token_source = TokenSource::asked;  // of prompt_tokens
  Reason reason = Reason::ok;
  std::int32_t http_status = 0;  // 0 when there was no response
  // How long the attempt took to have a connection: 0 where it was open already, `never` where the wire does
  // not tell or there was none.
  Nanos dns_time = never;      // its name; 0 where it was looked up before the run
  Nanos connect_time = never;  // TCP, after it
  Nanos tls_time = never;      // TLS, after that
  // The longest that bytes of the answer had been with our kernel when we read them: it is in no stamp.
  // `never` where the wire does not tell.
  Nanos read_lag = never;
  std::vector<Nanos> gaps;  // between consecutive content chunks
};

// One request: what a user wanted, over all its attempts.
struct RequestRecord {
  std::uint64_t request = 0;
  std::uint32_t stage = 0;
  std::uint32_t attempts = 0;
  std::uint32_t turn = 0;      // of its session, from 0
  std::uint16_t tenant = 0;    // class of the workload
  std::uint16_t provider = 0;  // target of the last attempt
  Nanos due = never;           // the schedule's
  Nanos sent = never;          // first attempt
  Nanos final_sent = never;    // the attempt that ended the request
  Nanos first_token = never;   // of the attempt that ended the request
  Nanos last_token = never;
  Nanos done = never;
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  Reason reason = Reason::ok;  // of the last attempt
};

// What a client decided about a provider: its circuit breaker opened (ejected), a probe was let through, the
// probe failed (reopened) or succeeded (closed), and the first ordinary attempt after that (readmitted).
enum class ProviderChange : std::uint8_t { ejected, probed, reopened, closed, readmitted };
inline constexpr int provider_change_count = static_cast<int>(ProviderChange::readmitted) + 1;
[[nodiscard]] std::string_view to_word(ProviderChange change);

struct ProviderDecision {
  Nanos at{0};
  std::uint16_t provider = 0;
  std::uint32_t worker = 0;  // issuer thread: each decides for itself
  ProviderChange change = ProviderChange::ejected;
  friend bool operator==(const ProviderDecision&, const ProviderDecision&) = default;
};

// What a request must meet to be good. An absent bound is not checked. Origin of TTFT and E2E is the
// request's `due`.
struct Slo {
  std::optional<Nanos> ttft;
  std::optional<Nanos> tpot;  // (last token − first token) / (n − 1); met by definition when n < 2
  std::optional<Nanos> e2e;
};

// True iff the request ended well and met every bound.
[[nodiscard]] bool is_good(const RequestRecord& request, const Slo& slo);

// Requests are numbered through the run. Those of a session have their first request's number in the low bits
// and their turn above it.
inline constexpr int turn_shift = 40;
[[nodiscard]] constexpr std::uint64_t session_of(std::uint64_t request) {
  return request & ((std::uint64_t{1} << turn_shift) - 1);
}

// Where finished attempts and requests go. One sink belongs to one thread.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  // A request that the schedule could not know, because it follows from another (a session's next turn), is
  // offered now.
  virtual void offered(std::uint32_t /*stage*/, std::uint64_t /*request*/, Nanos /*due*/) {}
  // The stage in which such a request is due: the last one that has begun by then. `before`: that of the
  // request it follows.
  [[nodiscard]] virtual std::uint32_t stage_at(Nanos /*due*/, std::uint32_t before) { return before; }
  virtual void decided(const ProviderDecision& /*decision*/) {}
  virtual void attempt(const AttemptRecord& record) = 0;
  virtual void request(const RequestRecord& record) = 0;
};

}  // namespace dsbench::results
