#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace dsbench::cli {

// dsbench doctor: what on this machine would spoil a measurement; the generator's own ceiling.
void add_doctor(CLI::App& app, std::function<int()>& chosen);

}  // namespace dsbench::cli
