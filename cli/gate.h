#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace dsbench::cli {

void add_gate(CLI::App& app, std::function<int()>& chosen);

}  // namespace dsbench::cli
