#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"

namespace dsbench::cli {

// A script (or, for Kubernetes, a manifest) that starts `workers` of this load and merges what they write.
// `command` is argv as it was given; what says who a worker is and where it writes is replaced. `kind` is
// "slurm", "mpi" or "k8s". Errors: usage, for a load that cannot be shared.
[[nodiscard]] Result<std::string> launcher_script(const std::string& kind, std::int32_t workers,
                                                  const std::vector<std::string>& command);

// The same load by one process: argv without what says who a worker is, when it begins and where it writes.
[[nodiscard]] std::vector<std::string> unshared_command(const std::vector<std::string>& command);

}  // namespace dsbench::cli
