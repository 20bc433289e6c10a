#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "engine/faults/fault.h"

namespace dsbench::cli {

// `--fault`, any number of times: what goes wrong inside an engine of ours, and when.
struct FaultOptions {
  std::vector<std::string> faults;
};

void add_fault_flags(CLI::App& app, FaultOptions& options, const std::string& prefix,
                     const std::string& group);

[[nodiscard]] Result<std::vector<engine::Fault>> make_faults(const FaultOptions& options);

}  // namespace dsbench::cli
