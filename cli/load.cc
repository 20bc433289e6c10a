#include "cli/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/control_socket.h"
#include "cli/dry_run.h"
#include "cli/exit_codes.h"
#include "cli/experiment.h"
#include "cli/flags.h"
#include "cli/guard_flags.h"
#include "cli/launcher.h"
#include "cli/offered_traffic.h"
#include "cli/refuse.h"
#include "cli/send_plan.h"
#include "cli/signals.h"
#include "cli/trace_flags.h"
#include "cli/worker_flags.h"
#include "cli/worker_start.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/text.h"
#include "loadgen/guards.h"
#include "loadgen/stage_driver.h"
#include "loadgen/traces/load_trace.h"
#include "loadgen/traces/trace_source.h"
#include "loadgen/workload.h"
#include "profiles/catalog.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"
#include "results/verdicts/overall_verdict.h"

namespace dsbench::cli {
namespace {

constexpr const char* default_client = "patient";

struct LoadOptions {
  ExperimentOptions experiment;
  std::string traffic = "steady";
  bool traffic_given = false;
  std::string arrivals;
  profiles::TrafficScale scale;
  std::string trace;
  TraceFlags reading;
  Nanos stage_length{0};
  GuardFlags guards;
  std::string control;
  WorkerFlags worker;
  bool dry_run = false;
  Nanos assume_latency{10'000'000'000};
  Nanos drain{60'000'000'000};
};

// What is offered: when, what, and how the run file tells of it.
struct Offer {
  std::unique_ptr<OfferedTraffic> traffic;
  std::optional<profiles::TrafficProfile> profile;  // none: a trace's own times
  std::shared_ptr<const loadgen::Trace> trace;      // none: the workload's contents
  std::string traffic_json;
};

Result<profiles::TrafficProfile> traffic_of(const LoadOptions& o) {
  DSBENCH_TRY(auto traffic, profiles::load_traffic(o.traffic));
  if (!o.arrivals.empty()) {
    // The grammar of the compact form already knows the words.
    DSBENCH_TRY(const auto law, profiles::parse_traffic_text(o.arrivals + " hold(1/s,1s)"));
    traffic.arrivals = law.arrivals;
  }
  return profiles::scaled(std::move(traffic), o.scale);
}

Result<Offer> offer_of(const LoadOptions& o, const Worker& worker) {
  Offer offer;
  if (!o.trace.empty()) {
    DSBENCH_TRY(loadgen::TraceOptions options, trace_options_of(o.reading, o.experiment.seed));
    options.speed = o.scale.compress;
    options.rate_scale = o.scale.rate;
    DSBENCH_TRY(auto trace, loadgen::load_trace(o.trace, options));
    offer.trace = std::make_shared<const loadgen::Trace>(std::move(trace));
    if (!o.traffic_given) {
      if (!offer.trace->notes.timed) {
        return fail(ErrorKind::usage,
                    "{} says what its requests are, but not when they came; give the times by --traffic",
                    o.trace);
      }
      offer.traffic = std::make_unique<OfferedTraffic>(offer.trace, o.stage_length, worker);
      offer.traffic_json =
          fmt::format(R"({{"trace":{},"requests":{},"length_ns":{},"speed":{},"rate_scale":{}}})",
                      nlohmann::json(offer.trace->name).dump(), offer.trace->size(),
                      offer.trace->length.count(), options.speed, options.rate_scale);
      return offer;
    }
  }
  DSBENCH_TRY(offer.profile, traffic_of(o));
  offer.traffic = std::make_unique<OfferedTraffic>(*offer.profile, o.experiment.seed, worker);
  offer.traffic_json = to_json(*offer.profile);
  return offer;
}

std::string source_json(const loadgen::Trace& trace) {
  return fmt::format(R"({{"trace":{},"seed":{}}})", nlohmann::json(trace.name).dump(), trace.seed);
}

Result<loadgen::SharedSource> source_of(const LoadOptions& o, const Offer& offer) {
  if (offer.trace) return loadgen::make_trace_source(offer.trace);
  DSBENCH_TRY(const auto workload, profiles::load_workload(workload_name(o.experiment)));
  DSBENCH_TRY(auto mixes, mixes_of(workload, profiles::plan_of(*offer.profile).mixes));
  return loadgen::make_source(workload, o.experiment.seed, std::move(mixes));
}

// The traffic profile's events and the command line's, each in a stage that there is. Several workers share
// their targets, and only the first of them makes the events; a simulated fleet is each worker's own.
Result<std::vector<profiles::TrafficEvent>> events_of(const LoadOptions& o, const Offer& offer) {
  DSBENCH_TRY(std::vector<profiles::TrafficEvent> events, make_events(o.experiment.events));
  const profiles::TrafficPlan plan = plan_of(*offer.traffic);
  for (const profiles::TrafficEvent& event : events) DSBENCH_CHECK(profiles::place_event(event, plan));
  if (offer.profile)
    events.insert(events.begin(), offer.profile->events.begin(), offer.profile->events.end());
  return events;
}

int show_dry_run(const LoadOptions& o, const Offer& offer,
                 const std::vector<profiles::TrafficEvent>& events) {
  const auto source = source_of(o, offer);
  if (!source) return refuse("load", source.error());
  if (!o.worker.plan.empty()) {
    const auto lines = write_send_plan(*offer.traffic, *source, o.worker.plan);
    if (!lines) return refuse("load", lines.error());
    if (!o.experiment.quiet)
      fmt::print(stderr, "plan: {} of {} requests{}\n", *lines, offer.traffic->scheduled(),
                 o.worker.plan == "-" ? "" : ", in " + o.worker.plan);
    return exit_ok;
  }
  if (offer.trace && !o.experiment.json) fmt::print("{}\n", loadgen::describe(*offer.trace));
  // All of it, whatever this worker's share is.
  OfferedTraffic whole = offer.profile ? OfferedTraffic{*offer.profile, o.experiment.seed}
                                       : OfferedTraffic{offer.trace, o.stage_length};
  std::string traffic_json = offer.traffic_json;
  if (offer.profile) {
    profiles::TrafficProfile profile = *offer.profile;
    profile.events = events;
    traffic_json = to_json(profile);
  }
  fmt::print("{}", dry_run({whole, traffic_json, events, *source, o.experiment.seed, o.guards.prices,
                            o.assume_latency, o.experiment.json}));
  return exit_ok;
}

// What one line at the control socket does.
std::string control(std::string_view line, OfferedTraffic& traffic, const loadgen::Runner& runner,
                    std::atomic<bool>& stop, const std::atomic<std::int64_t>& started) {
  const auto word = line.substr(0, line.find(' '));
  if (word == "status") {
    return fmt::format(R"({{"run_s":{:.3f},"in_flight":{},"factor":{}}})", to_seconds(runner.now()),
                       runner.in_flight(), traffic.factor());
  }
  if (word == "stop") {
    stop = true;
    return "ok: no new load; what is in flight is drained";
  }
  if (word == "scale") {
    const std::string_view text = line.size() > 6 ? line.substr(6) : std::string_view{};
    double factor = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), factor);
    if (error != std::errc{} || end != text.data() + text.size())
      return fmt::format("error: '{}' is no number; accepted: scale 1.5", text);
    const auto from = traffic.scale(factor);
    if (!from) return "error: " + from.error().message;
    return fmt::format("ok: {} times the profile's rates from {:.1f} s of the run on", factor,
                       to_seconds(*from + Nanos{started.load()}));
  }
  return fmt::format("error: no command '{}'; accepted: status, scale FACTOR, stop", word);
}

// What is said of a run that is one of several, or that began at an agreed instant.
results::WorkerShare share_of(const Worker& worker, const OfferedTraffic& traffic, const WorkerStart& start,
                              const std::string& plan_digest, Nanos began_at) {
  results::WorkerShare share;
  share.index = worker.index;
  share.count = worker.count;
  share.found = worker.found.empty() ? "one worker" : worker.found;
  share.plan_digest = plan_digest;
  share.schedule_digest = traffic.schedule_digest();
  share.scheduled = traffic.scheduled();
  start.tell(share, began_at);
  return share;
}

// A target that each worker would have one of is no target of several.
Result<void> check_shared_target(const LoadOptions& o, std::uint32_t workers) {
  for (const std::string& target : o.experiment.targets) {
    if (target != "embedded") continue;
    return fail(
        ErrorKind::usage,
        "--target embedded with {} workers: each would start and load an engine of its own; start one "
        "(dsbench serve) and give all of them its URL",
        workers);
  }
  return {};
}

Result<void> check_shared(const LoadOptions& o, const Worker& worker) {
  if (!o.worker.plan.empty() && !o.dry_run)
    return fail(ErrorKind::usage, "--plan writes what would be sent; it needs --dry-run");
  if (worker.alone() || o.dry_run) return {};
  DSBENCH_CHECK(check_shared_target(o, worker.count));
  if (o.experiment.out.empty()) {
    return fail(ErrorKind::usage,
                "with {} workers, --out DIR is needed: each writes to DIR/worker-K, and dsbench merge DIR "
                "unites them",
                worker.count);
  }
  return {};
}

Result<std::string> launcher_of(const LoadOptions& o) {
  if (!o.worker.workers)
    return fail(ErrorKind::usage, "--print-launcher needs --workers N: how many to start");
  DSBENCH_CHECK(check_shared_target(o, static_cast<std::uint32_t>(*o.worker.workers)));
  return launcher_script(o.worker.print_launcher, *o.worker.workers, o.experiment.command);
}

int load(const LoadOptions& given) {
  LoadOptions o = given;
  if (!o.worker.print_launcher.empty()) {
    const auto script = launcher_of(o);
    if (!script) return refuse("load", script.error());
    fmt::print("{}", *script);
    return exit_ok;
  }
  const auto worker = worker_of(o.worker.worker, o.worker.workers, own_environment());
  if (!worker) return refuse("load", worker.error());
  if (const auto shared = check_shared(o, *worker); !shared) return refuse("load", shared.error());
  if (!worker->alone() && !o.dry_run) o.experiment.out = worker_directory(o.experiment.out, *worker);
  auto offered = offer_of(o, *worker);
  if (!offered) return refuse("load", offered.error());
  OfferedTraffic& traffic = *offered->traffic;
  auto guarded = guards_of(o.guards, GuardedVerb::load);
  if (!guarded) return refuse("load", guarded.error());
  loadgen::GuardConfig& guard_config = *guarded;
  const auto thresholds = requirements_of(o.guards, GuardedVerb::load);
  if (!thresholds) return refuse("load", thresholds.error());
  const auto start = WorkerStart::plan(o.worker, *worker, o.experiment.target.starts_with("sim:"));
  if (!start) return refuse("load", start.error());
  auto events = events_of(o, *offered);
  if (!events) return refuse("load", events.error());
  if (o.dry_run) return show_dry_run(o, *offered, *events);

  std::atomic<bool>& stop = handle_signals();
  Progress progress{o.experiment.quiet};
  if (offered->trace) progress.line(loadgen::describe(*offered->trace));
  std::optional<loadgen::Guards> guards;
  ExperimentHooks hooks;
  if (offered->trace) {
    hooks.source = loadgen::make_trace_source(offered->trace);
    hooks.source_json = source_json(*offered->trace);
  }
  if (worker->index == 0 || o.experiment.target.starts_with("sim:")) hooks.events = std::move(*events);
  if (offered->profile) hooks.mixes = profiles::plan_of(*offered->profile).mixes;
  hooks.prepare = [&](const std::vector<results::Slo>& by_tenant) {
    guard_config.slos = by_tenant;
    guards.emplace(guard_config, stop);
  };
  // A share is not judged: what is required of the service is required of the whole load.
  hooks.judge = [&](const std::filesystem::path& records, results::RunSummary& summary) -> Result<void> {
    if (!worker->alone()) return {};
    return judge_requirements(*thresholds, records, summary);
  };
  const std::string verb_json =
      fmt::format(R"("traffic":{},"stop_rules":{},"requirements":{})", offered->traffic_json,
                  rules_json(guard_config), texts_json(o.guards.requirements));
  std::string plan_digest;
  hooks.verb_json = verb_json;
  hooks.workers = worker->count;
  hooks.before_issuers = [&](const std::string& profiles_json) {
    plan_digest = Digest{}.add(verb_json).add(profiles_json).add(o.experiment.seed).text();
    return (*start)->wait(plan_digest, stop, progress);
  };
  hooks.watch = [&](results::RecordSink& sink) -> results::RecordSink& { return guards->watch(sink); };
  auto opened = Experiment::open(o.experiment, default_client, stop, progress, std::move(hooks));
  if (!opened) {
    progress.clear();
    return refuse("load", opened.error());
  }
  Experiment& experiment = **opened;
  const Nanos total = traffic.length();
  progress.line(fmt::format("{} at {}, {}{}", traffic.description(), o.experiment.target,
                            format_duration(total), experiment.simulated() ? " of virtual time" : ""));
  const auto on_second = [&](const loadgen::StageStatus& s) {
    guards->on_second(experiment.runner().now());
    progress.status(fmt::format("{} · {} · {} of {} · {} in flight · {} left", s.name, format_rate(s.planned),
                                format_duration(s.elapsed), format_duration(s.length), s.in_flight,
                                format_duration(std::max(total - experiment.runner().now(), Nanos{0}))));
  };
  loadgen::StageDriver driver{experiment.runner(), experiment.recorder(), experiment.contents(),
                              experiment.observer(), on_second};
  driver.on_offered([&](Nanos due) { guards->offered(due); });
  driver.on_stage([&](const loadgen::StageSpan& span) { experiment.on_stage(span); });

  std::atomic<std::int64_t> started{experiment.runner().now().count()};
  std::unique_ptr<ControlSocket> socket;
  if (!o.control.empty()) {
    auto listening = ControlSocket::open(o.control, [&](std::string_view line) {
      return control(line, traffic, experiment.runner(), stop, started);
    });
    if (!listening) return refuse("load", listening.error());
    socket = std::move(*listening);
  }

  std::optional<std::string> too_late;
  if (const auto begin = (*start)->run_time()) {
    too_late = too_late_to_start(*worker, experiment.runner().now() - *begin);
    driver.begin_at(*begin);
    started = begin->count();
  }
  const Nanos wall_zero = wall_clock_now() - experiment.runner().now();

  results::RunSummary summary;
  summary.kind = "load";
  Result<void> ran{};
  if (too_late) {
    summary.ended = "aborted: too late for the agreed start";
    summary.invalid_causes.push_back(*too_late);
  } else if (auto stages = driver.run_all(traffic.stages(), traffic); !stages) {
    ran = tl::unexpected(stages.error());
  }
  experiment.traffic_over();
  if (!ran && ran.error().kind != ErrorKind::interrupted) return refuse("load", ran.error());
  const auto trip = guards->tripped();
  if (!ran) {
    summary.ended = trip ? "stopped by a guard: " + trip->sentence : "interrupted";
    progress.line(summary.ended);
  }
  if (const auto drained = driver.drain(o.drain);
      !drained && drained.error().kind != ErrorKind::interrupted) {
    return refuse("load", drained.error());
  }
  socket.reset();
  progress.clear();
  for (std::uint32_t i = 0; !too_late && i < traffic.stages().size(); ++i) {
    summary.stages.push_back(driver.summarize(i, experiment.slo()));
    for (const std::string& cause : summary.stages.back().invalid_causes) {
      summary.invalid_causes.push_back(fmt::format("{}: {}", summary.stages.back().name, cause));
    }
  }
  if (trip && trip->generator) summary.invalid_causes.push_back(trip->sentence);
  if (!worker->found.empty() || (*start)->run_time()) {
    const Nanos began = summary.stages.empty() || experiment.simulated()
                            ? Nanos{0}
                            : wall_zero + summary.stages.front().start;
    if (plan_digest.empty())  // virtual time has no issuers to wait for
      plan_digest = Digest{}.add(verb_json).add(experiment.profiles_json()).add(o.experiment.seed).text();
    summary.worker = share_of(*worker, traffic, **start, plan_digest, began);
    const double mean_gap = to_seconds(total) / std::max(1.0, traffic.requests());
    if (!too_late) judge_start(*summary.worker, from_seconds(mean_gap), summary);
  }
  summary.validity = results::validity_by(summary.invalid_causes.empty());
  const auto judged = results::judge_run(summary.validity, summary.invalid_causes, summary.criteria);
  summary.verdict = judged.verdict;
  summary.sentence = judged.sentence;
  if (!worker->alone() && summary.validity == results::Validity::valid) {
    summary.sentence = fmt::format("Worker {} of {} has sent its share; dsbench merge judges the whole.",
                                   worker->index, worker->count);
    if (experiment.simulated())
      summary.warnings.push_back(fmt::format(
          "each worker loads a simulated fleet of its own: together they are {} fleets with a share of the "
          "load each, and not one fleet with all of it",
          worker->count));
  }
  summary.requests = experiment.recorder().requests();
  summary.attempts = experiment.recorder().attempts();
  if (summary.requests == 0 && summary.verdict == results::Verdict::measured && worker->alone()) {
    summary.verdict = results::Verdict::inconclusive;
    summary.sentence = fmt::format("Nothing was measured: {}.",
                                   ran ? "the schedule has no request; give it more time, a higher rate or "
                                         "another --seed"
                                       : "no request was due before the end");
  }
  if (summary.requests > 0) {
    summary.retry_amplification =
        static_cast<double>(summary.attempts) / static_cast<double>(summary.requests);
  }
  summary.ledger = driver.ledger();
  summary.timeline = driver.timeline();
  summary.duration = experiment.runner().now();
  for (const TrafficChange& change : traffic.changes()) {
    summary.warnings.push_back(
        fmt::format("the rate was changed by hand to {} times the profile's, from {:.1f} s on", change.factor,
                    to_seconds(change.at)));
  }
  if (o.guards.prices.input > 0 || o.guards.prices.output > 0) {
    summary.warnings.push_back(
        fmt::format("{} tokens cost {:.4f} at the given prices", guards->tokens(), guards->cost()));
  }
  experiment.describe(summary, verb_json);
  if (const auto written = experiment.write(summary); !written) return refuse("load", written.error());
  const int code = conclude(summary, o.experiment, experiment.directory());
  if (signal_exit_code() != 0) return signal_exit_code();
  if (trip) return trip->generator ? code : static_cast<int>(exit_guard);
  return ran ? code : static_cast<int>(exit_interrupted);  // by the control socket's stop
}

}  // namespace

void add_load(CLI::App& app, std::function<int()>& chosen, const std::vector<std::string>& command) {
  auto options = std::make_shared<LoadOptions>();
  options->experiment.command = command;
  CLI::App* verb = app.add_subcommand("load", "one run of one profile against a target");
  verb->footer(
      "Examples:\n"
      "  dsbench load --traffic 'ramp(5/s..60/s,1m)'                 the reference engine, started for you\n"
      "  dsbench load --target http://127.0.0.1:8000 --traffic 'hold(10/s,30s)' --arrivals constant\n"
      "  dsbench load --target sim:laptop --traffic spike --client openai-sdk\n"
      "  dsbench load --traffic release-day --compress 288 --base-rate 2/s --dry-run\n"
      "  dsbench load --traffic soak --stop 'burn(14.4,60s,5s) refused(20)' --require 'p95 ttft < 2s'\n"
      "Shapes: hold(R,T) ramp(R..R,T) steps(R..R by R,hold T) spike(R,R,at T,for T,total T) curve(T R,T "
      "R,…); see "
      "docs/load.md");
  LoadOptions& o = *options;
  const std::string shape = "Traffic";
  verb->add_option_function<std::string>(
          "--traffic",
          [&o](const std::string& text) {
            o.traffic = text;
            o.traffic_given = true;
          },
          fmt::format("traffic profile: shapes, a name or a file; shipped: {}",
                      join(profiles::shipped_names("traffic"))))
      ->type_name("SHAPES|NAME|FILE")
      ->default_str(o.traffic)
      ->group(shape);
  verb->add_option("--arrivals", o.arrivals, "arrival process: poisson, constant or 'gamma(cv 2)'")
      ->type_name("LAW")
      ->default_str("the profile's")
      ->group(shape);
  verb->add_option(
          "--compress", o.scale.compress,
          "let the profile or trace pass so many times faster; a profile's rates stay, a trace's grow")
      ->check(CLI::Range(1e-6, 1e9))
      ->type_name("X")
      ->capture_default_str()
      ->group(shape);
  verb->add_option("--rate-scale", o.scale.rate,
                   "multiply every rate; a trace is thinned or laid over itself")
      ->check(CLI::Range(1e-9, 1e9))
      ->type_name("X")
      ->capture_default_str()
      ->group(shape);
  add_rate(*verb, "--base-rate", o.scale.base_rate,
           "the rate of an ordinary day, for profiles that are multiples of one", "the profile's")
      ->group(shape);
  const std::string replay = "Replay";
  verb->add_option("--trace", o.trace,
                   "replay this trace: its times and its requests; with --traffic only its requests")
      ->type_name("FILE|DIR")
      ->default_str("none")
      ->group(replay);
  add_trace_flags(*verb, o.reading, "--trace-", TraceScaling::verbs_own, replay);
  add_duration(*verb, "--stage-length", o.stage_length, "judge a trace in stages this long; 0: in one")
      ->group(replay);
  add_guard_flags(*verb, o.guards, GuardedVerb::load);
  verb->add_option("--control", o.control, "listen at this Unix socket for: status, scale FACTOR, stop")
      ->type_name("PATH")
      ->default_str("none");
  verb->add_flag("--dry-run", o.dry_run,
                 "say what would be sent, what it costs and what it needs; send nothing");
  add_duration(*verb, "--assume-latency", o.assume_latency, "of one request, for the dry run's connections");
  add_duration(*verb, "--drain", o.drain, "how long to wait for what is in flight at the end");
  add_worker_flags(*verb, o.worker);
  add_experiment_flags(*verb, o.experiment, default_client);
  verb->callback([options, &chosen] { chosen = [options] { return load(*options); }; });
}

}  // namespace dsbench::cli
