#include "cli/rebuild.h"

#include <algorithm>
#include <string>

#include "cli/guard_flags.h"
#include "results/breakdown.h"
#include "results/rebuild.h"
#include "results/run_file.h"

namespace dsbench::cli {

Result<void> rebuild(const results::RunDirectory& directory) {
  DSBENCH_TRY(results::RunSummary run, results::rebuild_run(directory.records()));
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
