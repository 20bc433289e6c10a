#pragma once

#include <span>
#include <string>
#include <vector>

#include "results/report/latency_picture.h"
#include "results/run_directory.h"
#include "results/run_summary.h"

// Reports made from runs: pure functions of the runs, the same bytes each time.
namespace dsbench::results::report {

struct ReportOptions {
  // One for each run, shown where several runs share a picture. Empty: what tells the commands of the runs
  // apart.
  std::vector<std::string> labels = {};
  // Empty: made from the first run.
  std::string title = {};
  // One for each run, where its latency.hlog could be read: the heat map and the spectrum. Fewer: none.
  std::vector<LatencyPicture> pictures = {};
};

// From the run's latency.hlog; empty when there is none or it cannot be read.
[[nodiscard]] LatencyPicture read_latency_picture(const RunDirectory& directory);

// One offline page: no network, no file beside it, readable without JavaScript and on paper. With several
// runs their lines share the summary charts, and each run follows in full. Runs must not be empty.
[[nodiscard]] std::string render_html(std::span<const RunSummary* const> runs,
                                      const ReportOptions& options = {});
[[nodiscard]] std::string render_html(const RunSummary& run, const ReportOptions& options = {});

// The verdict and the tables, for a merge request or a ticket.
[[nodiscard]] std::string render_markdown(const RunSummary& run);

struct TextOptions {
  bool colour = false;  // ANSI escape sequences
};
// What `rehearse` and `load` print at the end.
[[nodiscard]] std::string render_text(const RunSummary& run, const TextOptions& options = {});

// What tells the runs apart: the words of each command that the other commands lack; "run 2" where there is
// nothing.
[[nodiscard]] std::vector<std::string> labels_of(std::span<const RunSummary* const> runs);

}  // namespace dsbench::results::report
