#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
};

enum class FinishReason : std::uint8_t {
  stop,           // end-of-sequence token
  length,         // max_tokens or the model's context
  aborted,        // cancel(), or the engine is shutting down
  queue_timeout,  // waited longer than --queue-timeout without being admitted
  failed,         // the executor reported an error
};

struct Finish {
  FinishReason reason = FinishReason::stop;
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  std::string message;  // of `failed`
};

enum class SubmitStatus : std::uint8_t { accepted, queue_full, too_long, shutting_down };

struct Submitted {
  SubmitStatus status = SubmitStatus::accepted;
  SequenceId id = 0;    // of an accepted one; never 0
  std::string message;  // of a refused one: what was asked, found, accepted
};

}  // namespace dsbench::engine
