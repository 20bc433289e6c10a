#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/faults/engine_faults.h"
#include "engine/faults/fault_board.h"

namespace dsbench::engine::server {

// Keeps the board and makes the engine as wrong as the board says. I/O thread only. What is wrong with
// requests is asked of board() by those who serve them.
class FaultDirector {
 public:
  // `executor` may be null: an engine without one can neither crash nor slow down.
  FaultDirector(Engine& engine, std::shared_ptr<EngineFaults> executor)
      : engine_{engine}, executor_{std::move(executor)} {}

  // Errors: usage for a fault that this engine cannot have.
  [[nodiscard]] Result<std::int64_t> add(const Fault& fault, Nanos now);
  [[nodiscard]] FaultBoard& board() { return board_; }
  // Acts on what has begun and ended. Called often: what the engine hears of is as late as this is.
  void on_time(Nanos now);
  // The engine has crashed and is not back.
  [[nodiscard]] bool down() const { return condition_.down; }

 private:
  Engine& engine_;
  std::shared_ptr<EngineFaults> executor_;
  FaultBoard board_;
  EngineCondition condition_;
};

}  // namespace dsbench::engine::server
