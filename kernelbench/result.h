#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "kernelbench/measure/stand.h"

namespace dsbench::kernelbench {

// What limits a case: the larger of bytes ÷ memory bandwidth, operations ÷ compute peak, and the launch
// floor.
struct Roofline {
  double seconds = 0;  // no kernel can be faster
  std::string bound;   // "memory", "compute", "launch"
};

// One line of a report.
struct CellResult {
  std::string name;  // of the case
  Problem problem;
  KernelId kernel;
  CellState state = CellState::ok;
  std::string why;
  CheckResult check;
  bool checked_again = false;  // after timing, and passed
  Work work;
  std::optional<RoutingFacts> routing;
  SampleStats stats;                  // over all samples
  std::vector<double> repetitions_s;  // the median of each repetition
  std::optional<Roofline> roofline;
  std::optional<double> baseline_s;  // the fastest baseline of the same case in the same run
  std::string baseline;              // its name; or why there is none

  // Of the repetitions' medians: the number that stands for the cell. 0: not timed.
  [[nodiscard]] double seconds() const;
  [[nodiscard]] double percent_of_roofline() const;
  [[nodiscard]] bool timed() const { return !repetitions_s.empty(); }
};

struct KernelRun {
  std::vector<std::pair<std::string, std::string>> facts;  // of the device, then of the build and the run
  Ceilings ceilings;
  std::vector<CellResult> cells;  // the control cell is among them
  bool interrupted = false;
};

// The name of the control cell: the ceiling's own copy loop, timed like a kernel in every run, so that two
// runs can be asked whether the machine was the same.
inline constexpr std::string_view kControlName = "control/copy";

// Bytes against the larger of copy and read bandwidth, operations against the peak of the work's unit (none
// when that was not measured), and never below the launch floor.
[[nodiscard]] Roofline roofline_of(const Work& work, const Ceilings& ceilings);

}  // namespace dsbench::kernelbench
