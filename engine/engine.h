#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "engine/executors/executor.h"
#include "engine/scheduler/scheduler_config.h"

namespace dsbench::engine {

struct GenerateRequest {
  std::vector<TokenId> prompt;  // at least one token
  std::int32_t max_tokens = 16;
  std::int32_t min_tokens = 0;   // before this many, end-of-sequence is generated but does not end
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

// Called on the engine's thread, in order, never after finished(); must return at once (hand over, do not work).
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  virtual void started() {}  // first admitted to run
  virtual void generated(std::span<const TokenId> tokens) = 0;
  virtual void finished(const Finish& finish) = 0;
};

enum class SubmitStatus : std::uint8_t { accepted, queue_full, too_long, shutting_down };

struct Submitted {
  SubmitStatus status = SubmitStatus::accepted;
  SequenceId id = 0;     // of an accepted one
  std::string message;   // of a refused one: what was asked, found, accepted
};

// A snapshot. Counters run from the engine's start.
struct EngineStats {
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  std::int64_t blocks_total = 0;
  std::int64_t blocks_used = 0;
  std::int64_t steps = 0;
  std::int64_t preemptions = 0;
  std::int64_t requests_finished[5] = {};     // by FinishReason
  std::int64_t requests_refused = 0;          // queue_full
  std::int64_t prompt_tokens = 0;             // computed for the first time
  std::int64_t generated_tokens = 0;          // handed to listeners
  std::int64_t recomputed_tokens = 0;         // computed again after a preemption
  std::int64_t computed_tokens = 0;           // all token compute: prefill + decode + recompute
  std::int64_t abandoned_tokens = 0;          // token compute spent on requests that were then cancelled
  Nanos busy{0};                              // time inside steps
};

// The loaded model with its scheduler and its one thread. Thread-safe. Destruction aborts what is left.
class Engine {
 public:
  virtual ~Engine() = default;
  [[nodiscard]] virtual Submitted submit(GenerateRequest request, std::shared_ptr<RequestListener> listener) = 0;
  // The client went away: frees its blocks at the next step boundary. Unknown or finished ids are ignored.
  virtual void cancel(SequenceId id) = 0;
  [[nodiscard]] virtual EngineStats stats() const = 0;
  [[nodiscard]] virtual const SchedulerConfig& config() const = 0;
};

// Runs `executor` under `scheduler`'s rules on a thread of its own. The clock gives the stamps and must outlive the engine.
// `step_log`, when not empty, is a path that gets one CSV line a step (see engine/step_log.h).
[[nodiscard]] Result<std::unique_ptr<Engine>> start_engine(const SchedulerConfig& config, std::unique_ptr<Executor> executor,
                                                           Clock& clock, const std::string& step_log = "");

}  // namespace dsbench::engine
