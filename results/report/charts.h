#pragma once

#include <span>
#include <string>
#include <vector>

#include "results/report/svg_chart.h"
#include "results/run_summary.h"

// The summary charts of a report. Given one run, the lines are its rates and percentiles; given several, each
// run is one line with a colour, a dash and a marker of its own.
namespace dsbench::results::report {

struct LabelledRun {
  const RunSummary* run = nullptr;
  std::string label;
};

// Offered against delivered, completed and good; knee and collapse; the way up and the way down in one
// picture.
[[nodiscard]] Chart capacity_chart(std::span<const LabelledRun> runs, std::string id);

// TTFT, TPOT and E2E against offered, one chart below the other over the same x axis; logarithmic.
[[nodiscard]] std::vector<Chart> latency_charts(std::span<const LabelledRun> runs, const std::string& id);

// Good share and requests in flight around hold, descent and recovery. Empty when no run has a way down.
[[nodiscard]] std::vector<Chart> recovery_charts(std::span<const LabelledRun> runs, const std::string& id);

// Rates and requests in flight over the whole run: what stands in for the interactive timeline where there is
// no JavaScript.
[[nodiscard]] std::vector<Chart> timeline_charts(const RunSummary& run, const std::string& id);

}  // namespace dsbench::results::report
