#pragma once

#include <atomic>
#include <cstdint>

#include "cli/ceiling.h"
#include "cli/progress.h"
#include "core/result.h"

namespace dsbench::cli {

struct CeilingOptions {
  Nanos per_figure{3'000'000'000};  // scales the trials: the whole takes some twelve times this
  std::int32_t threads = 1;
};

// Starts the null server on a core of its own, where there is one, and searches for the highest rate at which
// the generator keeps up, with full recording into a temporary folder that is removed at the end. Errors:
// interrupted.
[[nodiscard]] Result<Ceiling> measure_ceiling(const CeilingOptions& options, std::atomic<bool>& stop,
                                              Progress& progress);

}  // namespace dsbench::cli
