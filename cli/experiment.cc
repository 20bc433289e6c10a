#include "cli/experiment.h"

#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <string_view>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/experiment_checks.h"
#include "cli/flags.h"
#include "core/clock.h"
#include "core/text.h"
#include "loadgen/from_profiles.h"
#include "loadgen/workload.h"
#include "profiles/catalog.h"
#include "profiles/client_profile.h"
#include "profiles/slo_profile.h"
#include "profiles/workload_profile.h"
#include "results/report/report.h"
#include "results/run_file.h"

namespace dsbench::cli {
namespace {

// Less than this free, and a run would end in a full disk.
constexpr Bytes room_needed{64 << 20};

}  // namespace

Result<std::unique_ptr<Experiment>> Experiment::open(const ExperimentOptions& options,
                                                     std::string_view default_client, std::atomic<bool>& stop,
                                                     Progress& progress, ExperimentHooks hooks) {
  auto e = std::unique_ptr<Experiment>(new Experiment);
  e->options_ = options;
  e->hooks_ = std::move(hooks);

  // Everything that can be refused is refused before anything is made.
  DSBENCH_CHECK(check_targets(options));
  DSBENCH_CHECK(refuse_idle_engine_flags(options));
  DSBENCH_TRY(const auto workload, profiles::load_workload(workload_name(options)));
  DSBENCH_TRY(const auto slo, profiles::load_slo(slo_name(options)));
  DSBENCH_TRY(const auto client,
              profiles::load_client(options.client.empty() ? std::string{default_client} : options.client));
  if (!e->hooks_.source) DSBENCH_CHECK(refuse_unsendable_images(options, workload));
  DSBENCH_CHECK(check_events(e->hooks_.events, options.events, options.targets));
  e->slo_ = loadgen::slo_of(slo);
  e->policy_ = loadgen::policy_of(client);
  DSBENCH_CHECK(e->plan_routes());
  std::optional<loadgen::SharedSource> source = e->hooks_.source;
  if (!source) {
    DSBENCH_TRY(auto mixes, mixes_of(workload, e->hooks_.mixes));
    source = loadgen::make_source(workload, options.seed, std::move(mixes));
  }
  e->contents_ = std::make_shared<loadgen::ContentMap>(*source);
  for (const auto& c : profiles::classes_of(workload))
    e->has_follow_ups_ = e->has_follow_ups_ || (!e->hooks_.source && (c.session || c.agent));
  e->policies_ = e->policy_;
  if (!e->hooks_.source) {
    e->policies_ = loadgen::policies_of(workload, e->policy_);
    e->tenants_ = loadgen::tenants_of(workload, e->slo_);
  }
  e->profiles_json_ = fmt::format(R"("workload":{},"slo":{},"client":{})",
                                  e->hooks_.source ? e->hooks_.source_json : to_json(workload), to_json(slo),
                                  to_json(client));
  if (e->hooks_.prepare) {
    std::vector<results::Slo> slos{e->slo_};
    if (!e->tenants_.empty()) slos.clear();
    for (const results::Tenant& t : e->tenants_) slos.push_back(t.slo);
    e->hooks_.prepare(slos);
  }
  e->started_at_ = wall_clock_now();

  if (is_sim(options.targets.front())) {
    DSBENCH_CHECK(e->open_simulation(stop));
  } else {
    DSBENCH_CHECK(e->start_engines(progress));
    DSBENCH_CHECK(e->open_wire(stop));
  }
  return e;
}

results::RecordSink& Experiment::channel(std::uint32_t worker) {
  results::RecordSink& sink = recorder_->channel(worker);
  return hooks_.watch ? hooks_.watch(sink) : sink;
}

Result<void> Experiment::make_directory() {
  const auto wanted =
      options_.out.empty() ? std::optional<std::filesystem::path>{} : std::filesystem::path{options_.out};
  DSBENCH_TRY(directory_, results::create_run_directory(wanted, started_at_, room_needed));
  return {};
}

// Where attempts may go, and what will be done to where they go.
Result<void> Experiment::plan_routes() {
  const std::size_t n = options_.targets.size();
  DSBENCH_TRY(auto routing, loadgen::parse_route(options_.route, n));
  if (n == 1 && (options_.route != "ordered" || options_.sticky)) {
    return fail(ErrorKind::usage, "{} has no effect with one target; name several (--target A --target B)",
                options_.sticky ? "--sticky" : "--route");
  }
  routing.sticky = options_.sticky;
  routing.refuse_when_all_open = policy_.routing.refuse_when_all_open;
  routing.breaker = policy_.routing.breaker;
  if (n > 1 && !routing.breaker.ever_opens()) routing.breaker = loadgen::default_health_rule();
  policy_.routing = std::move(routing);
  DSBENCH_TRY(faults_, loadgen::parse_faults(options_.faults, n));
  for (const results::Fault& fault : faults_) {
    if (!is_url(options_.targets[fault.provider])) continue;
    return fail(
        ErrorKind::usage,
        "the fault '{}' is of the target {}, whose process is not ours; accepted are targets that are "
        "embedded or simulated",
        loadgen::print_fault(fault), options_.targets[fault.provider]);
  }
  return {};
}

namespace {

Result<loadgen::Mix> mix_of(const profiles::WorkloadProfile& workload,
                            const std::vector<profiles::MixShare>& shares) {
  std::map<std::string, double> weights;
  for (const profiles::MixShare& m : shares) weights[m.name] += m.share;
  auto mix = loadgen::mix_of(workload, weights);
  if (mix) return mix;
  std::vector<std::string_view> fitting;
  for (const std::string_view name : profiles::shipped_names("workload")) {
    const auto other = profiles::load_workload(std::string{name});
    if (other && loadgen::mix_of(*other, weights)) fitting.push_back(name);
  }
  if (fitting.empty()) return mix;
  return fail(mix.error().kind, "{}; --workload with all classes of the mix: {}", mix.error().message,
              join(fitting));
}

}  // namespace

Result<std::vector<loadgen::Mix>> mixes_of(const profiles::WorkloadProfile& workload,
                                           const std::vector<std::vector<profiles::MixShare>>& planned) {
  std::vector<loadgen::Mix> mixes;
  for (std::size_t i = 1; i < planned.size(); ++i) {
    DSBENCH_TRY(mixes.emplace_back(), mix_of(workload, planned[i]));
  }
  return mixes;
}

int conclude(const results::RunSummary& summary, const ExperimentOptions& options,
             const results::RunDirectory& directory) {
  if (options.json) {
    fmt::print("{}", results::print_run(summary));
  } else if (options.summary) {
    fmt::print("{}", results::report::render_text(summary, {wants_colour(STDOUT_FILENO)}));
  }
  if (!options.quiet) fmt::print(stderr, "\nreport: {}\n", directory.report().string());
  switch (summary.verdict) {
    case results::Verdict::invalid:
      return exit_invalid;
    case results::Verdict::not_ready:
      return exit_slo_missed;
    case results::Verdict::inconclusive:
      return exit_inconclusive;
    case results::Verdict::ready:
    case results::Verdict::measured:
      break;
  }
  return exit_ok;
}

}  // namespace dsbench::cli
