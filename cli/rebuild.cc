#include "cli/rebuild.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cli/guard_flags.h"
#include "cli/rehearsal_json.h"
#include "loadgen/rehearsal_retrace.h"
#include "loadgen/validity.h"
#include "results/breakdown.h"
#include "results/rebuild.h"
#include "results/run_file.h"
#include "results/verdicts/overall_verdict.h"

namespace dsbench::cli {

namespace {

// Of the generator the records tell how late requests left, and that alone can show that it was not fit.
void judge_lag(results::RunSummary& run) {
  for (results::StageSummary& stage : run.stages) {
    if (auto late = loadgen::lag_cause({}, stage, run.slo)) stage.invalid_causes.push_back(std::move(*late));
  }
  if (run.kind == "rehearse") return;  // not all of its stages count
  for (const results::StageSummary& stage : run.stages) {
    for (const std::string& cause : stage.invalid_causes)
      run.invalid_causes.push_back(fmt::format("{}: {}", stage.name, cause));
  }
  if (run.invalid_causes.empty()) return;
  run.validity = results::Validity::invalid;
  const auto judged = results::judge_run(run.validity, run.invalid_causes, {});
  run.verdict = judged.verdict;
  run.sentence = judged.sentence;
}

void judge(results::Recorder& recorder, const std::vector<bool>& whole, results::RunSummary& run) {
  judge_lag(run);
  if (run.kind != "rehearse") return;
  auto config = rehearsal_in(run.profile_json);
  if (!config) {
    run.warnings.emplace_back(
        "not known: knee, collapse and recovery; the records are of a dsbench that did not keep the "
        "rehearsal's plan");
    return;
  }
  config->slo = run.slo;
  loadgen::retrace_rehearsal(recorder, *config, whole, run);
}

}  // namespace

Result<void> rebuild(const results::RunDirectory& directory) {
  DSBENCH_TRY(results::RunSummary run, results::rebuild_run(directory.records(), judge));
  // A worker's share is not judged: what is required of the service is required of the whole load.
  const bool share = std::any_of(run.command.begin(), run.command.end(),
                                 [](const std::string& word) { return word.starts_with("--worker"); });
  if (!share) {
    DSBENCH_TRY(const auto thresholds, requirements_in(run.profile_json));
    DSBENCH_CHECK(judge_requirements(thresholds, directory.records(), run));
  }
  if (auto told = results::add_breakdown(directory.records(), run); !told)
    run.warnings.push_back("no breakdown by tenant and turn: " + told.error().message);
  return results::write_run(directory.run_json(), run);
}

}  // namespace dsbench::cli
