#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "engine/executors/executor.h"

// What goes into the engine and what comes back: the words that the scheduler, the engine and the server
// share.
namespace dsbench::engine {

struct GenerateRequest {
  std::vector<TokenId> prompt;  // at least one token
  std::int32_t max_tokens = 16;
  std::int32_t min_tokens = 0;  // before this many, end-of-sequence is generated but does not end
  bool ignore_eos = false;
  float temperature = 0;  // 0 is greedy
  std::uint64_t seed = 0;
  std::int32_t priority = 0;  // of the queue orders that know it: lower goes first, as in vLLM
  std::string account = {};   // whose limits count; empty: anonymous, one account of its own
  std::string tenant = {};    // class: free, paid, agent, internal, …; empty: the default class
  std::optional<Nanos> expiry =
      std::nullopt;          // after this moment, on the engine's clock, the answer is of no use
  std::int32_t attempt = 0;  // of the caller at this request, from 0, when it says so
};

enum class FinishReason : std::uint8_t {
  stop,           // end-of-sequence token
  length,         // max_tokens or the model's context
  aborted,        // cancel(), or the engine is shutting down
  queue_timeout,  // waited longer than --queue-timeout without being admitted
  failed,         // the executor reported an error
  expired,        // its answer had become of no use (--cancel-expired)
};
inline constexpr std::size_t kFinishReasons = 6;

struct Finish {
  FinishReason reason = FinishReason::stop;
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  std::int32_t cached_tokens = 0;  // of the prompt, found in the prefix cache when it was first admitted
  std::string message;             // of `failed`
};

enum class SubmitStatus : std::uint8_t {
  accepted,
  queue_full,  // a bound on the queue; 503
  too_long,    // could never run; 400
  shutting_down,
  rate_limited,  // the caller's own limit: token bucket or concurrency; 429
  overloaded,    // early rejection: it could not be served in time; 503
};

struct Submitted {
  SubmitStatus status = SubmitStatus::accepted;
  SequenceId id = 0;                                // of an accepted one; never 0
  std::string message;                              // of a refused one: what was asked, found, accepted
  std::optional<Nanos> retry_after = std::nullopt;  // of a refused one: when trying again makes sense
};

}  // namespace dsbench::engine
