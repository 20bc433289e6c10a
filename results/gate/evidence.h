#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "results/run_summary.h"

// One number per run per metric: what the gate compares. A run is a run directory of dsbench, or one process
// of a kernel benchmark: a JSON file in Google Benchmark's form.
namespace dsbench::results::gate {

enum class Better : std::uint8_t { lower, higher };
enum class Unit : std::uint8_t { seconds, per_second, share, plain };

struct Metric {
  std::string name;  // in the words of --require: "p99 ttft", "climb: p50 tpot", "good_rate"; a kernel's name
  Better better = Better::lower;
  Unit unit = Unit::seconds;
};
// "1.25 s", "12.5/s", "99.20 %", "1.25".
[[nodiscard]] std::string format_value(Unit unit, double value);

struct Measured {
  Metric metric;
  std::optional<double> value;     // seconds, a rate per second, a share; infinite: the rank is a failure's
  std::string missing;             // why there is none: "needs 662 samples, has 98"
  std::optional<double> clock_hz;  // of a kernel: what the device ran at
  bool by_default = false;         // gated when nobody said which metrics are
};

struct Evidence {
  std::string source;                // the path, as given
  std::string kind;                  // "load", "rehearse", "kernels"
  std::vector<std::string> invalid;  // why this is no evidence at all; empty: it is
  // What must be equal for two runs to be compared, in the order in which it is told.
  std::vector<std::pair<std::string, std::string>> key;
  std::vector<Measured> metrics;
  std::shared_ptr<const RunSummary> run;  // null for kernels
  std::filesystem::path records;          // of a run
  [[nodiscard]] const Measured* find(std::string_view metric) const;
};

// The names of `key` that run.json gives.
[[nodiscard]] std::vector<std::string_view> run_keys();

[[nodiscard]] Evidence evidence_of(RunSummary run, std::string source);
// Errors: usage, for a text that is no result of Google Benchmark.
[[nodiscard]] Result<Evidence> parse_kernel_evidence(std::string_view text, std::string source);
// A run directory, its run.json, or a JSON file of Google Benchmark's form. Errors: io; usage, with what is
// accepted.
[[nodiscard]] Result<Evidence> read_evidence(const std::filesystem::path& path);

}  // namespace dsbench::results::gate
