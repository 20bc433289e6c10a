#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "results/gate/outcome.h"

// A gate's outcome as one offline HTML page, base and candidate laid over each other: made of the parts of a
// run's report, and like it readable without JavaScript, on paper and by a screen reader.
namespace dsbench::results::gate {

// What the runs of one side looked like together. For the eye only: the verdict is from one number a run.
struct SideView {
  std::string name;                                  // "baseline", "candidate"
  std::vector<std::pair<double, double>> spectrum;   // 1 ÷ (1 − share), seconds of TTFT from due
  std::vector<std::pair<double, double>> over_time;  // second of the run, median TTFT from due in seconds
  std::shared_ptr<const RunSummary> typical;         // the run whose value of the worst metric is the median
};

// Reads latency.hlog and run.json of the side's runs. Runs that are not where the outcome says are looked for
// by their names in `folder`; what is not there at all is left out, so that a page can be made of gate.json
// alone.
[[nodiscard]] SideView view_side(const Outcome& outcome, bool candidate, const std::filesystem::path& folder);

// At most as many metrics as this are shown run by run, the worst first; all are in the table of verdicts.
inline constexpr std::size_t most_pictured_metrics = 12;

[[nodiscard]] std::string render_page(const Outcome& outcome, const SideView& baseline,
                                      const SideView& candidate);

}  // namespace dsbench::results::gate
