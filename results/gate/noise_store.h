#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "results/gate/evidence.h"
#include "results/gate/judge.h"

// What `gate selftest` found out about the noise of a workload on a machine, kept for the gates that follow.
namespace dsbench::results::gate {

struct MetricNoise {
  double floor = 0;      // results/gate/noise.h, of so many runs a side
  double spread = 0;     // of one run
  std::size_t runs = 0;  // a side
  // Of another number of runs: medians of more runs differ less.
  [[nodiscard]] double floor_at(std::size_t other_runs) const;
};

struct NoiseEntry {
  std::string measured_at;  // UTC
  // The comparability key without what a new build changes: seed, server flags, versions.
  std::vector<std::pair<std::string, std::string>> key;
  std::map<std::string, MetricNoise> metrics;
};

// A file with one entry for each key, schema "dsbench.gate-noise/1". A file that is not there has none.
// Errors: io; usage, for a file that is something else.
[[nodiscard]] Result<std::vector<NoiseEntry>> read_noise(const std::filesystem::path& path);
// Replaces the entry of the same key. Makes the folder where it is missing.
[[nodiscard]] Result<void> store_noise(const std::filesystem::path& path, const NoiseEntry& entry);

[[nodiscard]] std::vector<std::pair<std::string, std::string>> noise_key(const Evidence& run);
// Null: none was measured of this.
[[nodiscard]] const NoiseEntry* find_noise(const std::vector<NoiseEntry>& entries, const Evidence& run);

// What a self-test's runs of one build say about every gated metric.
[[nodiscard]] NoiseEntry noise_of(std::span<const Evidence> runs, const std::vector<std::string>& metrics,
                                  std::string measured_at);

// A margin below the floor is refused. Errors: usage, with metric, margin and floor.
[[nodiscard]] Result<void> check_margins(const NoiseEntry& noise, const std::vector<std::string>& metrics,
                                         const JudgeSettings& settings, std::string_view kind,
                                         std::size_t runs);

}  // namespace dsbench::results::gate
