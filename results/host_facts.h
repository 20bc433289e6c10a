#pragma once

#include <string>
#include <utility>
#include <vector>

namespace dsbench::results {

// The machine a run was made on, as far as it bears on the numbers: cpu_model, cores, memory_bytes, kernel,
// clock_source, cpu_governor, open_files_limit, local_ports, cgroup_cpu_max, cgroup_memory_max, in this
// order. What cannot be found is left out. No host name, no user, no address.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> describe_host();

}  // namespace dsbench::results
