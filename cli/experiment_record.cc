#include "cli/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/ceiling.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/text.h"
#include "core/version.h"
#include "loadgen/wire/host_limits.h"
#include "results/breakdown.h"
#include "results/host_facts.h"
#include "results/report/report.h"
#include "results/run_file.h"
#include "results/verdicts/failover.h"
#include "results/verdicts/failover_evidence.h"
#include "results/verdicts/overall_verdict.h"

namespace dsbench::cli {
namespace {

// One sentence when the run asked more of the generator than 80 % of what was measured here.
std::optional<std::string> ceiling_warning(const results::RunSummary& summary, std::int32_t threads) {
  const auto ceiling = read_ceiling(ceiling_path());
  if (!ceiling) return std::nullopt;
  CeilingLoad load;
  for (const auto& [key, value] : summary.host) {
    if (key == "cpu_model") load.cpu_model = value;
  }
  load.cores = loadgen::usable_cores();
  load.threads = threads;
  for (const results::StageSummary& s : summary.stages) {
    const double seconds = to_seconds(s.end - s.measure_from);
    if (!(seconds > 0)) continue;
    load.requests = std::max(load.requests, Rate::per_second(static_cast<double>(s.attempts) / seconds));
    load.events = std::max(load.events, Rate::per_second(static_cast<double>(s.output_tokens) / seconds));
  }
  for (const results::TimelinePoint& p : summary.timeline) load.streams = std::max(load.streams, p.in_flight);
  return beyond_ceiling(*ceiling, load);
}

}  // namespace

void Experiment::describe(results::RunSummary& summary, const std::string& verb_json) const {
  summary.target = options_.target;
  summary.target_description = target_description_;
  summary.simulated = simulated();
  summary.command = options_.command;
  // A command that makes a key may have it in it.
  for (std::string& word : summary.command) {
    for (const loadgen::Secret& secret : secrets_) word = loadgen::redacted(std::move(word), secret);
  }
  summary.profile_json = fmt::format("{{{},{}}}", verb_json, profiles_json_);
  summary.seed = options_.seed;
  summary.slo = slo_;
  summary.started_at = started_at_;
  summary.ended_at = wall_clock_now();
  summary.host = results::describe_host();
  if (!simulated()) {
    if (auto warning = ceiling_warning(summary, options_.threads))
      summary.warnings.push_back(std::move(*warning));
  }
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    if (metrics_[i]->restarts() == 0) continue;
    summary.warnings.push_back(fmt::format(
        "{} began to count anew while the run went on (a restart?): of the tokens it computed, those between "
        "our last look, once a second, and its end are missing",
        options_.targets[i]));
  }
  summary.token_counts.calibrations = calibrations_;
  for (const results::TokenCalibration& c : calibrations_) {
    if (c.mean_error <= 0.05) continue;
    summary.warnings.push_back(fmt::format(
        "prompts of {} are {:.1f} % off the tokens asked for (mean of {} checks, largest {:.1f} %), "
        "although they were calibrated",
        c.target, 100 * c.mean_error, c.checks, 100 * c.largest_error));
  }
  summary.dsbench_version = version();
  summary.dsbench_commit = commit();
  summary.dsbench_build = build();
}

std::string Experiment::begun_json() {
  if (hooks_.plan) hooks_.verb_json = hooks_.plan(*this);
  results::RunSummary run;
  run.kind = hooks_.kind;
  describe(run, hooks_.verb_json.empty() ? R"("requirements":[])" : hooks_.verb_json);
  run.warnings.clear();
  run.ended = "not yet";
  run.ended_at = Nanos{0};
  // What a simulated run writes is a function of its seed; the wall clock would not be.
  if (simulated()) run.started_at = Nanos{0};
  return results::print_run(run);
}

Result<void> Experiment::judge(results::RunSummary& summary) {
  if (options_.targets.size() == 1 && faults_.empty()) return {};
  std::vector<results::Fault> made;
  if (injector_) {
    made = injector_->done();
    for (std::string& problem : injector_->problems()) summary.warnings.push_back(std::move(problem));
  } else {
    for (results::Fault fault : faults_) {
      if (fault.at > summary.duration) continue;
      if (fault.heal && *fault.heal > summary.duration) fault.heal.reset();
      made.push_back(fault);
    }
  }
  DSBENCH_CHECK(results::judge_providers(directory_.records(), options_.targets, std::move(made),
                                         options_.recovery_objective, summary));
  const auto criterion = results::failover_criterion(*summary.failover, summary.duration);
  if (!criterion || summary.ended != "complete") return {};
  summary.criteria.push_back(*criterion);
  const auto judged = results::judge_run(summary.validity, summary.invalid_causes, summary.criteria);
  summary.verdict = judged.verdict;
  summary.sentence = judged.sentence;
  return {};
}

Result<void> Experiment::write(results::RunSummary& summary) {
  if (events_) {
    traffic_over();
    summary.events = events_->done();
    for (std::string& problem : events_->problems()) summary.warnings.push_back(std::move(problem));
  }
  runner_.reset();  // the issuers stop before what they write to is closed
  DSBENCH_CHECK(recorder_->close());
  if (hooks_.judge) DSBENCH_CHECK(hooks_.judge(directory_.records(), summary));
  DSBENCH_CHECK(judge(summary));
  // What it adds is worth having, and no reason to lose the rest.
  if (auto told = results::add_breakdown(directory_.path / "records.sqlite", summary); !told)
    summary.warnings.push_back("no breakdown by tenant and turn: " + told.error().message);
  DSBENCH_CHECK(results::write_run(directory_.run_json(), summary));
  return write_file_atomically(
      directory_.report(), results::report::render_html(
                               summary, {.pictures = {results::report::read_latency_picture(directory_)}}));
}

}  // namespace dsbench::cli
