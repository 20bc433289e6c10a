#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "cli/gate_bench.h"
#include "cli/gate_options.h"

namespace dsbench::cli {

void add_gate_run(CLI::App& verb, std::function<int()>& chosen);

// The bench's flags, which the self-test has too.
void add_bench_flags(CLI::App& app, GateBenchOptions& options, std::string& out);
// Where runs go: `out`, or dsbench-gate-… in the current folder. Errors: usage, for a folder that is not
// empty.
[[nodiscard]] Result<std::filesystem::path> make_gate_directory(const std::string& out);

// "p50 ttft 6.1 %, …": the smallest true changes that so many runs a side would show.
[[nodiscard]] std::string describe_detectable(const std::vector<std::pair<std::string, double>>& spreads,
                                              const results::gate::JudgeSettings& settings,
                                              std::string_view kind, const results::gate::Look& look);

}  // namespace dsbench::cli
