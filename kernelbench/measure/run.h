#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "kernelbench/device.h"
#include "kernelbench/measure/stand.h"
#include "kernelbench/result.h"

namespace dsbench::kernelbench {

struct RunOptions {
  int repetitions = 9;
  bool timing = true;  // false: the checks alone
  SamplerOptions sampler;
  double memory_bytes = 4e9;  // of operands that are open at once: what is interleaved with what
  std::vector<std::pair<std::string, std::string>> facts;  // of the build and the run, for the file's context
};

// What to measure: a problem on one kernel of a stand; without a stand, a problem that no kernel does.
struct CellPlan {
  Problem problem;
  Stand* stand = nullptr;
  std::size_t kernel = 0;
};

// All kernels of the stands that have the problem's op and live on `device`, problem by problem. A problem
// without any gets one plan without a stand: a line of its own says so.
[[nodiscard]] std::vector<CellPlan> plan_cells(const std::vector<Problem>& problems,
                                               const std::vector<Stand*>& stands, std::string_view device);

struct RunReport {
  KernelRun run;
  std::string google_json;  // Google Benchmark's own file of the timed repetitions
};

using RunProgress = std::function<void(std::int64_t done, std::int64_t total, std::string_view what)>;

// Measures the ceilings, then opens as many cells as fit into memory, times their repetitions in random order
// (Google Benchmark's interleaving), closes them, and goes on. Cells that cannot be timed have a state and a
// reason. When `stop` becomes true what was measured is returned, the rest is marked as skipped.
[[nodiscard]] Result<RunReport> run_cells(Device& device, const std::vector<CellPlan>& plan,
                                          const RunOptions& options, Clock& clock,
                                          const std::atomic<bool>& stop, const RunProgress& progress);

}  // namespace dsbench::kernelbench
