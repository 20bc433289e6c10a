#include "cli/merge.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/experiment.h"
#include "cli/guard_flags.h"
#include "cli/launcher.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "core/clock.h"
#include "core/files.h"
#include "results/breakdown.h"
#include "results/merge.h"
#include "results/report/report.h"
#include "results/run_file.h"
#include "results/verdicts/failover.h"
#include "results/verdicts/failover_evidence.h"
#include "results/verdicts/overall_verdict.h"

namespace dsbench::cli {
namespace {

namespace fs = std::filesystem;

struct MergeFlags {
  std::vector<std::string> runs;
  std::string out;
  bool allow_missing = false, json = false, quiet = false;
};

// A folder of workers' folders stands for all of them.
std::vector<fs::path> folders_of(const std::vector<std::string>& named) {
  std::vector<fs::path> folders;
  for (const std::string& name : named) {
    std::error_code ec;
    std::vector<fs::path> workers;
    if (fs::is_directory(name, ec) && !fs::exists(fs::path{name} / "run.json", ec)) {
      for (const auto& entry : fs::directory_iterator{name, ec}) {
        if (entry.is_directory(ec) && entry.path().filename().string().starts_with("worker-"))
          workers.push_back(entry.path());
      }
    }
    std::sort(workers.begin(), workers.end());
    if (workers.empty()) workers.emplace_back(name);
    folders.insert(folders.end(), workers.begin(), workers.end());
  }
  return folders;
}

// The verdict by the same judges as a run's own, on what all workers recorded.
Result<void> judge(const results::RunSummary& first, const results::RunDirectory& directory,
                   results::RunSummary& merged) {
  const auto judged = results::judge_run(merged.validity, merged.invalid_causes, merged.criteria);
  merged.verdict = judged.verdict;
  merged.sentence = judged.sentence;
  DSBENCH_TRY(const auto thresholds, requirements_in(merged.profile_json));
  DSBENCH_CHECK(judge_requirements(thresholds, directory.records(), merged));
  if (first.failover) {
    std::vector<std::string> names;
    for (const results::ProviderSummary& p : first.providers) names.push_back(p.name);
    DSBENCH_CHECK(results::judge_providers(directory.records(), names, first.faults,
                                           first.failover->objective, merged));
    const auto criterion = results::failover_criterion(*merged.failover, merged.duration);
    if (criterion && merged.ended == "complete") {
      merged.criteria.push_back(*criterion);
      const auto again = results::judge_run(merged.validity, merged.invalid_causes, merged.criteria);
      merged.verdict = again.verdict;
      merged.sentence = again.sentence;
    }
  }
  if (auto told = results::add_breakdown(directory.records(), merged); !told)
    merged.warnings.push_back("no breakdown by tenant and turn: " + told.error().message);
  return {};
}

int merge(const MergeFlags& o) {
  Progress progress{o.quiet};
  std::vector<results::WorkerRun> runs;
  std::vector<std::string> unusable;
  for (const fs::path& folder : folders_of(o.runs)) {
    const auto found = results::find_run_directory(folder);
    if (!found) {
      std::error_code ec;
      if (!fs::is_directory(folder, ec)) return refuse("merge", found.error());
      unusable.push_back(
          fmt::format("'{}' has no run.json: its worker did not come to an end", folder.string()));
      continue;
    }
    auto read = results::read_run(found->run_json());
    if (!read) return refuse("merge", read.error());
    runs.push_back({*found, std::move(*read)});
  }
  std::int64_t bytes = 64 << 20;
  for (const results::WorkerRun& run : runs) {
    std::error_code ec;
    const auto size = fs::file_size(run.directory.records(), ec);
    if (!ec) bytes += static_cast<std::int64_t>(size + size / 4);
  }
  const auto out = results::create_run_directory(fs::path{o.out}, wall_clock_now(), Bytes{bytes});
  if (!out) return refuse("merge", out.error());
  progress.status(fmt::format("uniting {} workers", runs.size()));
  const results::RunSummary first = runs.empty() ? results::RunSummary{} : runs.front().summary;
  auto merged = results::merge_workers(std::move(runs), unusable, out->path, {o.allow_missing});
  if (!merged) {
    std::error_code ec;  // what was begun is of no use, and would be in the way of the next try
    for (const fs::path& file : {out->records(), out->latency_log()}) fs::remove(file, ec);
    for (const char* rest : {"-wal", "-shm"}) fs::remove(out->records().string() + rest, ec);
    progress.clear();
    return refuse("merge", merged.error());
  }
  merged->command = unshared_command(merged->command);  // one process, if it can, sends the same
  if (const auto judged = judge(first, *out, *merged); !judged) return refuse("merge", judged.error());
  if (const auto written = results::write_run(out->run_json(), *merged); !written)
    return refuse("merge", written.error());
  if (const auto written = write_file_atomically(
          out->report(),
          results::report::render_html(*merged, {.pictures = {results::report::read_latency_picture(*out)}}));
      !written)
    return refuse("merge", written.error());
  progress.clear();
  ExperimentOptions shown;
  shown.json = o.json;
  shown.quiet = o.quiet;
  const int code = conclude(*merged, shown, *out);
  return code == exit_ok && merged->ended.find("stopped by a guard") != std::string::npos ? exit_guard : code;
}

}  // namespace

void add_merge(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<MergeFlags>();
  CLI::App* verb = app.add_subcommand("merge", "unite the runs of the workers of one load");
  verb->footer(
      "Examples:\n"
      "  dsbench merge run --out run/merged                    all of run/worker-0, run/worker-1, …\n"
      "  dsbench merge a/worker-0 b/worker-1 --out both        from two places\n"
      "How workers are started, and what makes their run invalid: docs/scale-out.md");
  MergeFlags& o = *options;
  verb->add_option("runs", o.runs, "the workers' run directories, or the folder that holds them")
      ->required()
      ->type_name("RUN");
  verb->add_option("--out", o.out, "run directory of the whole; must not exist, or be empty")
      ->required()
      ->type_name("DIR");
  verb->add_flag(
      "--allow-missing", o.allow_missing,
      "judge what was offered, although workers are missing; the offered load is then what the others "
      "offered");
  verb->add_flag("--json", o.json, "print run.json on stdout instead of the summary");
  verb->add_flag("--quiet", o.quiet, "no progress on stderr");
  verb->callback([options, &chosen] { chosen = [options] { return merge(*options); }; });
}

}  // namespace dsbench::cli
