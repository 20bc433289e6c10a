#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/clock.h"
#include "core/result.h"
#include "engine/engine_stats.h"
#include "engine/executors/executor.h"
#include "engine/request.h"
#include "engine/scheduler/scheduler_config.h"

namespace dsbench::engine {

// Called on the engine's thread, in order, never after finished(); must return at once (hand over, do not
// work).
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  virtual void started() {}  // first admitted to run
  virtual void generated(std::span<const TokenId> tokens) = 0;
  virtual void finished(const Finish& finish) = 0;
};

// What somebody else's thread has to do for an engine that has none: call advance() when next() is due, and
// after every submit() and cancel().
class EngineDriver {
 public:
  virtual ~EngineDriver() = default;
  // In the time of the engine's clock; nothing while there is nothing to do. May lie in the past.
  [[nodiscard]] virtual std::optional<Nanos> next() const = 0;
  // Tells the listeners all that is due.
  virtual void advance() = 0;
};

// The loaded model with its scheduler and its one thread. Thread-safe. Destruction aborts what is left.
class Engine {
 public:
  virtual ~Engine() = default;
  // Answers at once, also while a step runs: the queue bound is judged here, under the engine's lock.
  [[nodiscard]] virtual Submitted submit(GenerateRequest request,
                                         std::shared_ptr<RequestListener> listener) = 0;
  // The client went away: frees its blocks at the next step boundary. Unknown or finished ids are ignored.
  virtual void cancel(SequenceId id) = 0;
  // For rehearsals of failure (see Scheduler); an engine without a KV cache has nothing to take away.
  virtual void withhold_blocks(std::int32_t /*blocks*/) {}
  virtual void drop_cache() {}
  [[nodiscard]] virtual EngineStats stats() const = 0;
  [[nodiscard]] virtual const SchedulerConfig& config() const = 0;
  // Not null: this engine has no thread of its own, and is used from one thread only, the one that drives it.
  // Where only time matters and nothing is computed, a thread of its own would add a wake-up to every token.
  [[nodiscard]] virtual EngineDriver* driver() { return nullptr; }
};

// Runs `executor` under `scheduler`'s rules on a thread of its own. The clock gives the stamps and must
// outlive the engine. `step_log`, when not empty, is a path that gets one CSV line a step (see
// engine/step_log.h).
[[nodiscard]] Result<std::unique_ptr<Engine>> start_engine(const SchedulerConfig& config,
                                                           std::unique_ptr<Executor> executor, Clock& clock,
                                                           const std::string& step_log = "");

}  // namespace dsbench::engine
