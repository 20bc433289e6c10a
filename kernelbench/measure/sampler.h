#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "kernelbench/device.h"
#include "kernelbench/measure/sample_stats.h"

namespace dsbench::kernelbench {

enum class Mode : int {
  single,  // one launch a sample
  graph,   // 20 launches in one CUDA graph (on the CPU back to back): how engines run decode
};

struct SamplerOptions {
  CacheState cache = CacheState::flush;
  Mode mode = Mode::single;
  double relative_error = 0.005;  // enough when the error of the median is below this…
  std::int64_t min_samples = 10;  // …and there are this many
  std::int64_t max_samples = 200;
  Nanos budget{200'000'000};  // or when a repetition took this long (and has at least 3 samples)
  Nanos warm_up{1'000'000'000};
};

inline constexpr int kGraphLaunches = 20;

// Launches at least six times, and until the medians of two successive groups of three agree within 1 %, or
// the warm-up's time is over.
[[nodiscard]] Result<void> warm_up(Device& device, const Launch& launch, int slots,
                                   const SamplerOptions& options, Clock& clock);

// The samples of one repetition. Stops early when `stop` becomes true (what was taken is returned).
[[nodiscard]] Result<std::vector<Sample>> take_samples(Device& device, const Launch& launch, int slots,
                                                       const SamplerOptions& options, Clock& clock,
                                                       const std::atomic<bool>& stop);

}  // namespace dsbench::kernelbench
