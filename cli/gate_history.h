#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace dsbench::cli {

void add_gate_history(CLI::App& verb, std::function<int()>& chosen);

}  // namespace dsbench::cli
