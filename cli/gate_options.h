#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "results/gate/judge.h"
#include "results/gate/many_tests.h"
#include "results/gate/outcome.h"

namespace dsbench::cli {

// How a gate judges and where its outcome goes: of every `dsbench gate` that compares two sides.
struct GateFlags {
  double alpha = 0.05;
  std::vector<std::string> margins;
  std::vector<std::string> metrics;
  std::vector<std::string> allow;
  std::vector<std::string> requirements;
  std::string inconclusive = "fail";
  std::string noise;  // file; empty: the one beside the generator's ceiling; "none"
  bool json = false, quiet = false;
  std::string html, junit, markdown, bmf, github_smaller, github_bigger;
};
void add_judge_flags(CLI::App& app, GateFlags& flags);
void add_output_flags(CLI::App& app, GateFlags& flags);

// How many runs, and when to look at them.
struct RunsFlags {
  std::int32_t runs = 10, max_runs = 0;  // a side; 0: as many as runs
  std::int32_t confirm = -1;             // -1: half of runs
  std::string spending = "pocock";
};
void add_runs_flags(CLI::App& app, RunsFlags& flags);
[[nodiscard]] Result<results::gate::Sequence> sequence_of(const RunsFlags& runs, double alpha);

[[nodiscard]] Result<results::gate::JudgeSettings> settings_of(const GateFlags& flags);
// Empty: no noise file.
[[nodiscard]] std::string noise_path(const GateFlags& flags);

// "a,b" and repeated flags alike.
[[nodiscard]] std::vector<std::string> split_list(const std::vector<std::string>& given);

// Prints the outcome, writes the files that were asked for, appends to the step summary and prints
// annotations where the environment says that we are in GitHub Actions, and returns the exit code. Errors:
// io.
[[nodiscard]] Result<int> publish(const results::gate::Outcome& outcome, const GateFlags& flags);
// The outcome as a page; `folder` is where its runs lie when they are not where it says.
[[nodiscard]] std::string gate_page(const results::gate::Outcome& outcome,
                                    const std::filesystem::path& folder = {});
[[nodiscard]] int exit_code_of(const results::gate::Outcome& outcome, const GateFlags& flags);

}  // namespace dsbench::cli
