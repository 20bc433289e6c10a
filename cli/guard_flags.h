#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/guards.h"
#include "results/run_summary.h"
#include "results/verdicts/threshold.h"

namespace dsbench::cli {

// What ends a run early, and what it must meet: --stop, --objective, --require and the prices.
struct GuardFlags {
  std::vector<std::string> stop_rules, requirements;
  double objective = 0.99;
  loadgen::Prices prices;
};

// The same flags for both verbs that offer load; what they accept differs, because a rehearsal overloads the
// target on purpose.
enum class GuardedVerb { load, rehearse };
void add_guard_flags(CLI::App& verb, GuardFlags& flags, GuardedVerb which);

// Without the SLOs, which are not known yet. Errors: usage.
[[nodiscard]] Result<loadgen::GuardConfig> guards_of(const GuardFlags& flags, GuardedVerb which);
[[nodiscard]] Result<std::vector<results::Threshold>> requirements_of(const GuardFlags& flags,
                                                                      GuardedVerb which);

// Judges a run whose records are closed: a criterion for each requirement and stage, appended to the
// summary's, and the verdict anew.
[[nodiscard]] Result<void> judge_requirements(const std::vector<results::Threshold>& thresholds,
                                              const std::filesystem::path& records,
                                              results::RunSummary& summary);

// What a run required of the service, from its RunSummary::profile_json: texts, as they were given.
[[nodiscard]] Result<std::vector<results::Threshold>> requirements_in(const std::string& profile_json);

// As JSON lists, for the run file.
[[nodiscard]] std::string texts_json(const std::vector<std::string>& texts);
[[nodiscard]] std::string rules_json(const loadgen::GuardConfig& config);

}  // namespace dsbench::cli
