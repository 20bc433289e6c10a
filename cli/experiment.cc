#include "cli/experiment.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "cli/ceiling.h"
#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/many_observer.h"
#include "cli/overload_flags.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/text.h"
#include "core/version.h"
#include "loadgen/codec/codec.h"
#include "loadgen/from_profiles.h"
#include "loadgen/virtual_runner.h"
#include "loadgen/wire/calibration.h"
#include "loadgen/wire/host_limits.h"
#include "loadgen/wire/preflight.h"
#include "loadgen/wire/wire_runner.h"
#include "loadgen/workload.h"
#include "profiles/catalog.h"
#include "profiles/client_profile.h"
#include "profiles/fleet_profile.h"
#include "profiles/slo_profile.h"
#include "profiles/tokenizer/tokenizer.h"
#include "profiles/workload_profile.h"
#include "results/breakdown.h"
#include "results/host_facts.h"
#include "results/report/report.h"
#include "results/run_file.h"
#include "results/verdicts/failover.h"
#include "results/verdicts/failover_evidence.h"
#include "results/verdicts/overall_verdict.h"

namespace dsbench::cli {
namespace {

constexpr Nanos scrape_timeout{900'000'000};
// Less than this free, and a run would end in a full disk.
constexpr Bytes room_needed{64 << 20};

// A simulated replica is of the hardware that its fleet names, or of this one.
constexpr std::string_view law_prefix = "cost:";
bool is_law_flag(std::string_view flag, std::string_view value) {
  return flag == "--engine-executor" && value.starts_with(law_prefix);
}

// A flag that would change nothing is a misunderstanding, and better said than passed over.
Result<void> refuse_idle_engine_flags(const ExperimentOptions& o) {
  const bool ours = std::any_of(o.targets.begin(), o.targets.end(),
                                [](const std::string& target) { return target == "embedded"; });
  if (ours) return {};
  const bool simulated = is_sim(o.targets.front());
  if (simulated && o.calibrate_tokens)
    return fail(ErrorKind::usage, "--calibrate-tokens has no effect on --target {}; it has no tokeniser",
                o.target);
  if (simulated && !o.tokenizer.empty())
    return fail(ErrorKind::usage, "--tokenizer has no effect on --target {}; it makes no text", o.target);
  for (const auto& [flag, value] : o.engine.given) {
    if (simulated &&
        (flag == "--engine-max-queued" || flag == "--engine-queue-timeout" ||
         flag == "--engine-max-running" || is_law_flag(flag, value) || is_kv_flag(flag) ||
         is_overload_flag(std::string_view{flag}.substr(std::string_view{"--engine-"}.size())))) {
      continue;
    }
    return fail(ErrorKind::usage, "{} has no effect on --target {}; {}", flag, o.target,
                simulated
                    ? "a simulated fleet takes --engine-max-queued, --engine-queue-timeout, "
                      "--engine-max-running, --engine-executor cost:… and the flags of overload control, and "
                      "everything else from its profile"
                    : "it belongs to the engine that dsbench starts itself (--target embedded)");
  }
  if (simulated) DSBENCH_CHECK(refuse_idle_kv_flags(o.engine.kv, o.engine.given, sim_prefix));
  return {};
}

// Images have a place in some APIs only.
Result<void> refuse_unsendable_images(const ExperimentOptions& o, const profiles::WorkloadProfile& workload) {
  const auto classes = profiles::classes_of(workload);
  const bool any =
      std::any_of(classes.begin(), classes.end(), [](const auto& c) { return c.images.has_value(); });
  if (!any || is_sim(o.targets.front())) return {};
  DSBENCH_TRY(const auto codec,
              loadgen::make_codec({o.api, o.model.empty() ? "any" : o.model, o.exact_lengths, o.stream}));
  if (codec->takes_images()) return {};
  return fail(ErrorKind::usage,
              "the workload '{}' sends images, and the API {} has no place for them; accepted: --api chat, "
              "responses or anthropic",
              workload.name, o.api);
}

// The tokenizer that counts what the server does not.
Result<std::shared_ptr<const profiles::Tokenizer>> load_tokenizer(const ExperimentOptions& o) {
  if (o.tokenizer.empty()) return nullptr;
  DSBENCH_TRY(const auto codec,
              loadgen::make_codec({o.api, o.model.empty() ? "any" : o.model, o.exact_lengths, o.stream}));
  if (!codec->tells_text()) {
    return fail(
        ErrorKind::usage,
        "--tokenizer {} cannot count the answers of --api {}, whose text is not known; accepted are all "
        "APIs but sglang, which counts every token itself, and http",
        o.tokenizer, o.api);
  }
  std::filesystem::path path = o.tokenizer;
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) path /= "tokenizer.json";
  DSBENCH_TRY(auto made, profiles::Tokenizer::load(path));
  return std::make_shared<const profiles::Tokenizer>(std::move(made));
}

Result<void> check_targets(const ExperimentOptions& o) {
  for (const std::string& target : o.targets) {
    if (is_url(target) || is_sim(target) || target == "embedded") continue;
    return fail(
        ErrorKind::usage,
        "no target '{}'; accepted: embedded, http://host:port, https://host, or sim:FLEET (shipped: {})",
        target, join(profiles::shipped_names("fleet")));
  }
  const auto simulated = std::count_if(o.targets.begin(), o.targets.end(), is_sim);
  if (simulated != 0 && simulated != static_cast<std::ptrdiff_t>(o.targets.size())) {
    return fail(ErrorKind::usage,
                "the targets {} are of two worlds; either all are simulated (sim:FLEET) or none is",
                o.target);
  }
  if (o.api_keys.size() > 1 && o.api_keys.size() != o.targets.size()) {
    return fail(ErrorKind::usage,
                "{} keys were given for {} targets; give one --api-key for each, 'none' for one "
                "without",
                o.api_keys.size(), o.targets.size());
  }
  if (o.api_keys.size() == 1 && o.targets.size() > 1) {
    return fail(ErrorKind::usage,
                "one key was given for {} targets, and no service should be sent another's key; give one "
                "--api-key for each target in their order, 'none' for one without",
                o.targets.size());
  }
  return {};
}

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

std::string parameters_of(const profiles::FleetProfile& fleet) {
  std::string text;
  fleet.each_parameter([&](std::string_view name, const profiles::Parameter& p) {
    text += fmt::format("{}{} = {:g} ({})", text.empty() ? "" : "; ", name, p.value, to_string(p.provenance));
  });
  return text;
}

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

Result<void> Experiment::open_simulation(std::atomic<bool>& stop) {
  engine::FleetOptions fleet_options;
  fleet_options.max_queued = options_.engine.max_queued;
  fleet_options.queue_timeout = options_.engine.queue_timeout;
  fleet_options.max_running = options_.engine.max_running;
  fleet_options.kv = options_.engine.kv.kv;
  fleet_options.spec = options_.engine.kv.assumed();
  fleet_options.overload = options_.engine.overload;
  std::vector<std::string> tenant_names;
  for (const results::Tenant& t : tenants_) tenant_names.push_back(t.name);
  std::vector<loadgen::VirtualTarget*> targets;
  std::vector<FaultSite*> sites;
  std::vector<loadgen::Observer*> observers;
  for (std::size_t i = 0; i < options_.targets.size(); ++i) {
    DSBENCH_TRY(auto profile, profiles::load_fleet(options_.targets[i].substr(sim_prefix.size())));
    if (is_law_flag("--engine-executor", options_.engine.executor)) {
      // Of another law than the fleet's own; the description goes into the run file.
      DSBENCH_TRY(profile.hardware,
                  profiles::load_hardware(options_.engine.executor.substr(law_prefix.size())));
      profile.description += fmt::format(" Its hardware: {}.", profile.hardware.name);
    }
    DSBENCH_TRY(engine::Fleet fleet, engine::Fleet::build(profile, fleet_options));
    fleets_.push_back(std::make_unique<FleetTarget>(std::move(fleet), tenant_names));
    observers.push_back(fleets_.back().get());
    targets.push_back(fleets_.back().get());
    sites.push_back(nullptr);
    if (has_events_at(i)) {
      afflicted_.push_back(std::make_unique<AfflictedTarget>(*targets.back(), fleets_.back()->fleet()));
      targets.back() = afflicted_.back().get();
      sites_.push_back(std::make_unique<SimulatedSite>(*afflicted_.back()));
      sites.back() = sites_.back().get();
    }
    std::vector<results::Fault> own;
    std::copy_if(faults_.begin(), faults_.end(), std::back_inserter(own),
                 [i](const results::Fault& f) { return f.provider == i; });
    if (!own.empty()) {
      faulty_.push_back(std::make_unique<loadgen::FaultyTarget>(*targets.back(), std::move(own)));
      targets.back() = faulty_.back().get();
    }
    target_description_ += fmt::format("{}simulated fleet '{}': {}; {}", i > 0 ? " | " : "", profile.name,
                                       profile.description, parameters_of(profile));
  }
  loadgen::VirtualTarget* target = targets.front();
  observer_ = observers.front();
  if (targets.size() > 1) {
    both_ = std::make_unique<loadgen::MultiTarget>(std::move(targets));
    target = both_.get();
    observers_.push_back(std::make_unique<ManyObserver>(std::move(observers)));
    observer_ = observers_.back().get();
  }
  DSBENCH_CHECK(make_directory());
  DSBENCH_TRY(recorder_, results::open_recorder(directory_.path, slo_,
                                                {.begun_json = begun_json(), .tenants = tenants_}));
  runner_ = loadgen::make_virtual_runner(*target, policies_, contents_, options_.seed, channel(0), stop);
  if (!hooks_.events.empty()) events_ = std::make_unique<RunEvents>(hooks_.events, std::move(sites));
  return {};
}

Result<void> Experiment::start_engines(Progress& progress) {
  engines_.resize(options_.targets.size());
  for (std::size_t i = 0; i < options_.targets.size(); ++i) {
    if (options_.targets[i] != "embedded") continue;
    if (directory_.path.empty()) DSBENCH_CHECK(make_directory());
    progress.status("starting the reference engine");
    const std::string log = i == 0 ? "engine.log" : fmt::format("engine-{}.log", i);
    DSBENCH_TRY(engines_[i],
                EmbeddedEngine::start(options_.engine, (directory_.path / log).string(), has_events_at(i)));
  }
  return {};
}

bool Experiment::has_events_at(std::size_t target) const {
  return std::any_of(hooks_.events.begin(), hooks_.events.end(), [&](const profiles::TrafficEvent& e) {
    return !e.target || static_cast<std::size_t>(*e.target) == target;
  });
}

// Where the targets take faults; null for one that no event happens to. What they would not take is refused
// before anything has been sent.
Result<std::vector<FaultSite*>> Experiment::admin_sites() {
  std::vector<FaultSite*> sites;
  for (std::size_t i = 0; i < options_.targets.size(); ++i) {
    sites.push_back(nullptr);
    if (!has_events_at(i)) continue;
    auto site =
        std::make_unique<AdminSite>(engines_[i] ? engines_[i]->url() : options_.events.admin_urls.at(i));
    for (const profiles::TrafficEvent& event : hooks_.events) {
      if (!event.target || static_cast<std::size_t>(*event.target) == i)
        DSBENCH_CHECK(site->would_take(event.fault));
    }
    sites.back() = site.get();
    sites_.push_back(std::move(site));
  }
  return sites;
}

Result<void> Experiment::open_wire(std::atomic<bool>& stop) {
  loadgen::WireConfig config;
  config.ca_file = options_.ca_file;
  config.insecure = options_.insecure;
  config.threads = options_.threads;
  config.wire = options_.wire == "lean"      ? loadgen::WireKind::lean
                : options_.wire == "libcurl" ? loadgen::WireKind::libcurl
                                             : loadgen::WireKind::automatic;
  config.http = options_.http == "2"                   ? loadgen::HttpVersion::http2
                : options_.http == "2-prior-knowledge" ? loadgen::HttpVersion::http2_prior_knowledge
                                                       : loadgen::HttpVersion::http1;
  if (options_.caller_headers) {
    config.tenants.emplace();
    for (const results::Tenant& tenant : tenants_) config.tenants->push_back(tenant.name);
  }
  config.proxy = options_.proxy;
  config.compressed = options_.compressed;
  config.resolve_each = options_.resolve_each;
  if (!options_.proxy_auth.empty()) {
    if (config.proxy.empty())
      return fail(ErrorKind::usage, "--proxy-auth has no effect without --proxy; name the proxy");
    DSBENCH_TRY(auto secret, loadgen::read_secret(options_.proxy_auth));
    secrets_.push_back(secret);
    config.proxy_auth = std::move(secret);
  }
  DSBENCH_CHECK(loadgen::check_proxy(config.proxy));
  if (!options_.unix_socket.empty() && options_.targets.size() > 1) {
    return fail(ErrorKind::usage, "--unix-socket leads to one target, and {} were given",
                options_.targets.size());
  }
  DSBENCH_TRY(config.tokenizer, load_tokenizer(options_));
  config.providers.resize(options_.targets.size());
  std::vector<loadgen::Observer*> observers;
  DSBENCH_TRY(std::vector<FaultSite*> sites, admin_sites());
  for (std::size_t i = 0; i < options_.targets.size(); ++i) {
    loadgen::ProviderConfig& provider = config.providers[i];
    provider.base_url = engines_[i] ? engines_[i]->url() : options_.targets[i];
    provider.api = options_.api;
    provider.model = options_.model;
    provider.stream = options_.stream;
    provider.exact_lengths = options_.exact_lengths;
    provider.unix_socket = options_.unix_socket;
    if (i < options_.api_keys.size() && options_.api_keys[i] != "none") {
      DSBENCH_TRY(auto secret, loadgen::read_secret(options_.api_keys[i]));
      secrets_.push_back(secret);
      provider.api_key = std::move(secret);
    }
  }
  for (std::size_t i = 0; i < options_.targets.size(); ++i) {
    loadgen::ProviderConfig& provider = config.providers[i];
    DSBENCH_TRY(const auto base, loadgen::parse_base_url(provider.base_url));
    DSBENCH_TRY(const auto info, loadgen::probe_target(config, i));
    provider.model = info.model;
    if (options_.calibrate_tokens) {
      // Room for the text, its frame and an answer.
      const std::int64_t longest = info.max_model_len ? *info.max_model_len / 2 : 8'192;
      DSBENCH_TRY(loadgen::Calibrated made, loadgen::calibrate_provider(config, i, longest));
      provider.scale = made.scale;
      made.told.target = options_.targets[i];
      calibrations_.push_back(std::move(made.told));
    } else if (config.tokenizer) {
      DSBENCH_TRY(loadgen::Calibrated made, loadgen::calibrate_by(*config.tokenizer, 8'192));
      provider.scale = made.scale;
      made.told.target = options_.targets[i];
      calibrations_.push_back(std::move(made.told));
    }
    target_description_ += fmt::format(
        "{}{}{}{}{}", i > 0 ? " | " : "", info.model.empty() ? "API " : "model ",
        info.model.empty() ? options_.api : info.model, info.server.empty() ? "" : ", server ", info.server);
    if (info.max_model_len) target_description_ += fmt::format(", context {} tokens", *info.max_model_len);
    if (engines_[i]) {
      std::string flags;
      for (const std::string& a : to_serve_arguments(options_.engine, "engine-")) flags += " " + a;
      target_description_ += ", dsbench serve" + flags;
    }
    // On the way that the requests take (a socket, a proxy, certificates), without their key.
    loadgen::WireConfig as = config;
    as.providers = {config.providers[i]};
    as.providers.front().api_key.reset();
    auto observer = std::make_unique<MetricsObserver>(
        [as = std::move(as), url = base.origin + "/metrics"] {
          return loadgen::http_get(url, scrape_timeout, as);
        },
        clock_);
    metrics_.push_back(observer.get());
    observers_.push_back(std::move(observer));
    observers.push_back(observers_.back().get());
  }
  observer_ = observers.front();
  if (observers.size() > 1) {
    observers_.push_back(std::make_unique<ManyObserver>(std::move(observers)));
    observer_ = observers_.back().get();
  }
  if (directory_.path.empty()) DSBENCH_CHECK(make_directory());
  if (hooks_.before_issuers) {
    auto epoch = hooks_.before_issuers(profiles_json_);
    if (!epoch) {  // nothing has been sent, and the folder must not be in the way of the next try
      std::error_code ec;
      std::filesystem::remove(directory_.path, ec);
      return tl::unexpected(epoch.error());
    }
    config.epoch = *epoch;
  }
  DSBENCH_TRY(recorder_, results::open_recorder(directory_.path, slo_,
                                                {.begun_json = begun_json(), .tenants = tenants_}));
  config.stride = hooks_.workers;
  DSBENCH_TRY(runner_,
              loadgen::make_wire_runner(
                  config, policies_, contents_, options_.seed,
                  [this](std::uint32_t worker) -> results::RecordSink& { return channel(worker); }, stop));
  if (!faults_.empty()) {
    std::vector<EmbeddedEngine*> engines;
    for (const auto& engine : engines_) engines.push_back(engine.get());
    injector_ = std::make_unique<FaultInjector>(std::move(engines), faults_, runner_->now());
  }
  if (!hooks_.events.empty())
    events_ = std::make_unique<TimedRunEvents>(hooks_.events, std::move(sites), runner_->now());
  return {};
}

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
