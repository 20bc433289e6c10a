#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "core/units.h"
#include "results/record_channel.h"

namespace dsbench::results {

// What was offered, whether or not it ever ends. Due times of a stage are kept until it ends, because an
// interrupted stage must forget those that were never due. Safe for several threads.
class OfferedLog {
 public:
  void begin_stage(std::uint32_t stage, MeasuredWindow window);
  void end_stage(std::uint32_t stage, MeasuredWindow window);
  void offer(std::uint32_t stage, Nanos due);

  [[nodiscard]] std::int64_t measured(std::uint32_t stage);
  [[nodiscard]] Nanos latest();
  // Due per second of the run.
  [[nodiscard]] std::vector<std::int64_t> per_second();

 private:
  struct Stage {
    MeasuredWindow window;
    std::vector<Nanos> dues;
    bool ended = false;
    std::int64_t measured = 0;
  };
  std::mutex mutex_;
  std::vector<Stage> stages_;
  std::vector<std::int64_t> seconds_;
  Nanos latest_{0};
};

}  // namespace dsbench::results
