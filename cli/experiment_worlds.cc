#include "cli/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "cli/experiment_checks.h"
#include "cli/many_observer.h"
#include "core/clock.h"
#include "core/text.h"
#include "loadgen/virtual_runner.h"
#include "loadgen/wire/calibration.h"
#include "loadgen/wire/preflight.h"
#include "loadgen/wire/wire_runner.h"
#include "profiles/fleet_profile.h"

namespace dsbench::cli {
namespace {

constexpr Nanos scrape_timeout{900'000'000};

std::string parameters_of(const profiles::FleetProfile& fleet) {
  std::string text;
  fleet.each_parameter([&](std::string_view name, const profiles::Parameter& p) {
    text += fmt::format("{}{} = {:g} ({})", text.empty() ? "" : "; ", name, p.value, to_string(p.provenance));
  });
  return text;
}

}  // namespace

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

}  // namespace dsbench::cli
