#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "core/result.h"
#include "core/units.h"
#include "results/histogram.h"

namespace dsbench::results {

// One worker's latency.hlog, and what its times must be moved by to be the merged run's.
struct HdrLogPart {
  std::filesystem::path path;
  Nanos shift{0};
};

// Adds several interval logs to one, exactly: intervals of one tag and one second become one line. Memory is
// that of a few seconds, however long the logs are. Returns the sum of all intervals of each tag. Errors: io;
// usage for a line that cannot be read.
[[nodiscard]] Result<std::map<std::string, Histogram>> unite_hdr_logs(std::span<const HdrLogPart> parts,
                                                                      const std::filesystem::path& out);

// The sum of all intervals of each tag of one log.
[[nodiscard]] Result<std::map<std::string, Histogram>> sum_hdr_log(const std::filesystem::path& path);

}  // namespace dsbench::results
