#pragma once

#include <atomic>
#include <memory>

#include "core/clock.h"
#include "engine/executors/executor.h"

namespace dsbench::engine {

// What is wrong with an executor right now: written by whoever makes faults, read by the engine's thread.
struct EngineFaults {
  std::atomic<bool> down{false};    // every step fails
  std::atomic<double> slowdown{1};  // a step takes so many times as long
  std::atomic<double> expert_skew{
      1};  // load of the busiest expert over the mean, at least: of who has experts
};

// Passes steps on to `inner`, as wrong as `faults` says. A step that was under way when the executor went
// down fails too. With `stretch` a slowdown is slept here, after the step; without it `inner` sees to that
// itself (CostExecutorOptions::slowdown).
[[nodiscard]] std::unique_ptr<Executor> make_faulty_executor(std::unique_ptr<Executor> inner, Clock& clock,
                                                             std::shared_ptr<const EngineFaults> faults,
                                                             bool stretch);

}  // namespace dsbench::engine
