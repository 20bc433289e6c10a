#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace dsbench::cli {

// Declares the verb; when it is the one on the command line, `chosen` becomes what runs it and returns the
// exit code. `command` goes into the result.
void add_kernels(CLI::App& app, std::function<int()>& chosen, const std::vector<std::string>& command);

}  // namespace dsbench::cli
