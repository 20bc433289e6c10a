#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace dsbench::cli {

// `dsbench merge RUN… --out RUN`: the runs of the workers of one load as one run.
void add_merge(CLI::App& app, std::function<int()>& chosen);

}  // namespace dsbench::cli
