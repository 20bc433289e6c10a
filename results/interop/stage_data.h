#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/result.h"
#include "results/histogram.h"
#include "results/metrics.h"
#include "results/run_directory.h"
#include "results/run_summary.h"

namespace dsbench::results {

// Sums and extremes of a count that requests have: their prompts' tokens, their answers'.
struct TokenStatistics {
  std::int64_t count = 0, sum = 0, least = 0, most = 0;
  void add(std::int64_t n) {
    least = count == 0 || n < least ? n : least;
    most = n > most ? n : most;
    sum += n;
    ++count;
  }
  [[nodiscard]] double mean() const {
    return count > 0 ? static_cast<double>(sum) / static_cast<double>(count) : 0;
  }
};

// A stage with all that a run's files know of it, for those who want more than the summary's percentiles.
struct StageData {
  const StageSummary* summary = nullptr;
  std::array<Histogram, metric_count> histograms;  // of requests that came back whole; by Metric
  TokenStatistics prompt, output;                  // of the same
  std::int64_t most_in_flight = 0;
  [[nodiscard]] const Histogram& operator[](Metric metric) const {
    return histograms[static_cast<std::size_t>(metric)];
  }
  [[nodiscard]] double seconds() const { return to_seconds(summary->end - summary->measure_from); }
};
[[nodiscard]] const LatencySummary& summary_of(const StageSummary& stage, Metric metric);

// Of every stage. The run must outlive it. Errors: usage for a run whose latency.hlog or records.sqlite is
// not there.
[[nodiscard]] Result<std::vector<StageData>> read_stage_data(const RunSummary& run,
                                                             const RunDirectory& directory);

// In seconds; 0 without samples.
[[nodiscard]] double standard_deviation(const Histogram& histogram);

// What the formats print, each in a file of its own.
[[nodiscard]] std::string export_vllm(const RunSummary& run, const StageData& stage);
[[nodiscard]] std::string export_llmd(const RunSummary& run, const StageData& stage);
[[nodiscard]] std::string export_prometheus(const RunSummary& run, const std::vector<StageData>& stages);
[[nodiscard]] std::string export_otel(const RunSummary& run, const std::vector<StageData>& stages);
[[nodiscard]] std::string export_mlflow(const RunSummary& run, const std::vector<StageData>& stages);

}  // namespace dsbench::results
