#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "results/run_directory.h"
#include "results/run_summary.h"

namespace dsbench::results {

inline constexpr std::array<std::string_view, 6> export_formats{"vllm",       "llm-d", "hlog",
                                                                "prometheus", "otel",  "mlflow"};

// A run in a form that other tools read:
//   vllm        the flat keys of `vllm bench serve --save-result`, of one stage
//   llm-d       llm-d's Benchmark Report 0.2 (JSON, which is YAML), of one stage
//   hlog        latency.hlog as it is
//   prometheus  text format 0.0.4: counters, and classic histograms that add up
//   otel        OTLP/JSON metrics: sums, gauges and exponential histograms that add up
//   mlflow      the body of MLflow's runs/log-batch: metrics by stage, parameters, tags
// Latencies there are those of requests that came back whole, origin due; what failed is counted beside them.
//
// `stage` is the index or the name of one; needed where the format has room for one only and the run has
// several. Errors: usage (no such format or stage; a run without its latency.hlog), io.
[[nodiscard]] Result<std::string> export_run(const RunSummary& run, const RunDirectory& directory,
                                             std::string_view format, const std::string& stage = "");

}  // namespace dsbench::results
