#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/afflicted_target.h"
#include "cli/embedded_engine.h"
#include "cli/experiment_options.h"
#include "cli/fault_injector.h"
#include "cli/fleet_target.h"
#include "cli/metrics_observer.h"
#include "cli/progress.h"
#include "cli/run_events.h"
#include "core/clock.h"
#include "core/result.h"
#include "loadgen/client_policy.h"
#include "loadgen/content_map.h"
#include "loadgen/faulty_target.h"
#include "loadgen/multi_target.h"
#include "loadgen/observer.h"
#include "loadgen/request_source.h"
#include "loadgen/runner.h"
#include "loadgen/wire/secret.h"
#include "loadgen/workload.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"
#include "results/recorder.h"
#include "results/run_directory.h"
#include "results/run_summary.h"

namespace dsbench::cli {

class Experiment;

// What a verb adds to an experiment.
struct ExperimentHooks {
  std::optional<loadgen::SharedSource> source;  // instead of the workload's, with its JSON
  std::string source_json;
  // The mixes of tenants that the traffic names, by StagePlan::mix; the first is the workload's own.
  std::vector<std::vector<profiles::MixShare>> mixes;
  // What shall happen to the targets.
  std::vector<profiles::TrafficEvent> events = {};
  // Called once, when the SLOs are known, before the first record.
  std::function<void(const std::vector<results::Slo>& by_tenant)> prepare;
  // Judges what only the closed records tell, before the run is written.
  std::function<Result<void>(const std::filesystem::path& records, results::RunSummary& summary)> judge;
  // On the wire, when everything is ready but the issuers: may wait for a common start, and says where the
  // run's time begins on CLOCK_MONOTONIC (nothing: now). `profiles_json` is what describe() writes of them.
  std::function<Result<std::optional<Nanos>>(const std::string& profiles_json)> before_issuers = {};
  std::string kind = "load";  // of the run, and what its verb says of it: for the run that is cut off
  std::string verb_json = {};
  // The same of a verb whose plan hangs on the experiment: called once, before the first request.
  std::function<std::string(const Experiment& experiment)> plan = {};
  std::uint32_t workers = 1;  // that share the schedule: this one has every so many-th request
  // A sink that stands before the recorder's.
  std::function<results::RecordSink&(results::RecordSink&)> watch;
};

// A target that is ready to be loaded, a run directory to write to, and everything between them. Members are
// in the order in which they must go: the runner first, the engine last.
class Experiment {
 public:
  // `default_client` is the client profile when none was named.
  [[nodiscard]] static Result<std::unique_ptr<Experiment>> open(const ExperimentOptions& options,
                                                                std::string_view default_client,
                                                                std::atomic<bool>& stop, Progress& progress,
                                                                ExperimentHooks hooks = {});

  [[nodiscard]] loadgen::Runner& runner() { return *runner_; }
  [[nodiscard]] results::Recorder& recorder() { return *recorder_; }
  [[nodiscard]] loadgen::ContentMap& contents() { return *contents_; }
  [[nodiscard]] loadgen::Observer* observer() { return observer_; }
  [[nodiscard]] const results::Slo& slo() const { return slo_; }
  // What the driver tells of its stages; events happen with them.
  void on_stage(const loadgen::StageSpan& span) {
    if (events_) events_->on_stage(span);
  }
  // Nothing further is offered: events are over.
  void traffic_over() {
    if (events_) events_->finish(runner_->now());
  }
  // How long a client waits for its first token, or for the whole answer; nothing: for ever.
  [[nodiscard]] std::optional<Nanos> client_patience() const {
    return policy_.first_token_timeout ? policy_.first_token_timeout : policy_.total_timeout;
  }
  // Whether requests of the workload lead to others: sessions, agents.
  [[nodiscard]] bool has_follow_ups() const { return has_follow_ups_; }
  [[nodiscard]] bool simulated() const { return !fleets_.empty(); }
  // Workload, SLO and client as resolved, members of a JSON object.
  [[nodiscard]] const std::string& profiles_json() const { return profiles_json_; }
  [[nodiscard]] const results::RunDirectory& directory() const { return directory_; }

  // What surrounds the measurement: target, command, host, versions, stamps. `verb_json` is what the verb
  // adds to the profiles.
  void describe(results::RunSummary& summary, const std::string& verb_json) const;

  // Closes the records, adds to the summary what only they tell (the providers, where there are several),
  // writes run.json and report.html.
  [[nodiscard]] Result<void> write(results::RunSummary& summary);

 private:
  Experiment() = default;
  Result<void> make_directory();
  Result<void> plan_routes();
  Result<void> open_simulation(std::atomic<bool>& stop);
  Result<void> start_engines(Progress& progress);
  Result<void> open_wire(std::atomic<bool>& stop);
  [[nodiscard]] bool has_events_at(std::size_t target) const;
  Result<std::vector<FaultSite*>> admin_sites();
  Result<void> judge(results::RunSummary& summary);
  // The run as far as it is known before its first request.
  [[nodiscard]] std::string begun_json();

  [[nodiscard]] results::RecordSink& channel(std::uint32_t worker);

  ExperimentOptions options_;
  ExperimentHooks hooks_;
  results::RunDirectory directory_;
  std::string target_description_;
  std::vector<loadgen::Secret> secrets_;  // to be found nowhere in what is written
  std::string profiles_json_;
  results::Slo slo_;
  loadgen::ClientPolicy policy_;      // of those whose class has none of its own
  loadgen::ClientPolicies policies_;  // by tenant
  std::vector<results::Tenant> tenants_;
  std::vector<results::TokenCalibration> calibrations_;  // by target
  bool has_follow_ups_ = false;
  Nanos started_at_{0};

  std::vector<results::Fault> faults_;
  std::vector<std::unique_ptr<EmbeddedEngine>> engines_;     // by target; null for one that is not ours
  std::vector<std::unique_ptr<FleetTarget>> fleets_;         // by target
  std::vector<std::unique_ptr<AfflictedTarget>> afflicted_;  // those that events happen to
  std::vector<std::unique_ptr<loadgen::FaultyTarget>> faulty_;
  std::unique_ptr<loadgen::MultiTarget> both_;
  SteadyClock clock_;
  std::vector<std::unique_ptr<loadgen::Observer>> observers_;
  std::vector<const MetricsObserver*> metrics_;  // of these, one for each target on the wire
  loadgen::Observer* observer_ = nullptr;
  std::shared_ptr<loadgen::ContentMap> contents_;
  std::unique_ptr<results::Recorder> recorder_;
  std::unique_ptr<loadgen::Runner> runner_;
  std::unique_ptr<FaultInjector> injector_;
  std::vector<std::unique_ptr<FaultSite>> sites_;
  std::unique_ptr<RunEvents> events_;  // null: there are none
};

// What the pieces of the traffic make of the workload's classes, by StagePlan::mix and without the first,
// which is the workload's own. When the workload has not all classes of a mix, the error names the shipped
// workloads that have.
[[nodiscard]] Result<std::vector<loadgen::Mix>> mixes_of(
    const profiles::WorkloadProfile& workload, const std::vector<std::vector<profiles::MixShare>>& planned);

// Prints the summary on stdout (JSON when asked) and returns the verdict's exit code.
[[nodiscard]] int conclude(const results::RunSummary& summary, const ExperimentOptions& options,
                           const results::RunDirectory& directory);

}  // namespace dsbench::cli
