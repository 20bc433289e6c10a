#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace dsbench::cli {

// Declares `fit` below the verb `profile`.
void add_profile_fit(CLI::App& profile, std::function<int()>& chosen);

}  // namespace dsbench::cli
