#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace dsbench::cli {

// Declares the verb; when it is the one on the command line, `chosen` becomes what runs it and returns the
// exit code.
void add_calibrate(CLI::App& app, std::function<int()>& chosen);

}  // namespace dsbench::cli
