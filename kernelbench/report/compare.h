#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "kernelbench/result.h"

namespace dsbench::kernelbench {

enum class Change : int {
  same,
  fast,       // better, with all the evidence that `slow` needs
  slow,       // beyond the margin, intervals apart, confirmed in cycles and by ranks
  ambiguous,  // beyond the margin, but some of the evidence is missing: `why` says which
  throttled,
  incorrect,
  unsupported,  // it cannot be timed: unsupported, failed, misbehaved or skipped
  no_baseline,  // the baseline does not have this cell, or not with a time
};
[[nodiscard]] std::string_view to_word(Change change);

struct CompareOptions {
  double margin = 0.03;         // of the baseline's median
  double floor_s = 0.3e-6;      // a difference below this is not one
  double control_limit = 0.01;  // how far control/copy may differ before the comparison is invalid
  double alpha = 0.01;
  std::vector<std::string> allowed;  // facts that may differ
};

struct ChangeRow {
  std::string name, kernel;
  Change change = Change::same;
  double base_s = 0, cand_s = 0;
  double ratio = 0;  // candidate ÷ baseline; 0: no two times
  double p = 1;      // Mann–Whitney, two-sided, over the repetitions' medians
  std::string why;
};

struct Comparison {
  std::vector<ChangeRow> rows;    // of the candidate's cells, without the control
  std::optional<double> control;  // control/copy, candidate ÷ baseline
  bool valid = true;              // the control stayed within its limit
  std::string why;                // when it is not valid
};

// Facts of the device and the build that make times comparable: a difference in one is refused (usage), with
// both values, unless it is allowed by name.
[[nodiscard]] Result<Comparison> compare(const KernelRun& baseline, const KernelRun& candidate,
                                         const CompareOptions& options);

[[nodiscard]] std::string render_comparison(const Comparison& comparison);
[[nodiscard]] std::string print_comparison(
    const Comparison& comparison);  // JSON, schema dsbench.kernel-comparison/1

// A floor under how slow a cell may be, whatever the baseline was. {"schema": "dsbench.min-roofline/1",
// "limits": [{"cell": "rmsnorm/*", "kernel": "*", "percent": 60}]}; * stands for anything.
struct RooflineLimit {
  std::string cell, kernel;
  double percent = 0;
};
[[nodiscard]] Result<std::vector<RooflineLimit>> parse_min_roofline(std::string_view text,
                                                                    std::string_view source);
struct BelowRoofline {
  std::string name, kernel;
  double percent = 0, limit = 0;
};
// The last limit that names a cell counts. A limit that names no cell of the run is an error (usage): it
// would guard nothing.
[[nodiscard]] Result<std::vector<BelowRoofline>> check_min_roofline(const KernelRun& run,
                                                                    const std::vector<RooflineLimit>& limits,
                                                                    std::string_view source);

}  // namespace dsbench::kernelbench
