#include "cli/rehearse.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/ablation.h"
#include "cli/exit_codes.h"
#include "cli/experiment.h"
#include "cli/flags.h"
#include "cli/guard_flags.h"
#include "cli/refuse.h"
#include "cli/rehearsal_json.h"
#include "cli/signals.h"
#include "core/text.h"
#include "loadgen/rehearsal.h"
#include "profiles/traffic_profile.h"

namespace dsbench::cli {
namespace {

constexpr const char* default_client = "interactive";

struct RehearseOptions {
  ExperimentOptions experiment;
  loadgen::RehearsalConfig plan;
  std::optional<Nanos> budget;
  std::optional<Rate> start_rate, forecast;
  bool quick = false;
  std::string ablate, rounded_law;
  std::string events_of;
  GuardFlags guards;
};

// The length of the whole thing decides the lengths of its parts; what was said explicitly stays.
void scale_to_budget(RehearseOptions& o, bool simulated) {
  loadgen::RehearsalConfig& c = o.plan;
  if (o.budget) {
    c.budget = *o.budget;
  } else if (o.quick) {
    c.budget = std::chrono::seconds{55};
  } else if (simulated) {
    c.budget = std::chrono::hours{1};
  } else if (!o.experiment.target.starts_with("embedded")) {
    c.budget = std::chrono::minutes{15};
  } else {
    c.budget = std::chrono::seconds{215};
  }
  const auto share = [&](double s, Nanos low, Nanos high) {
    return std::clamp(Nanos{static_cast<std::int64_t>(s * static_cast<double>(c.budget.count()))}, low, high);
  };
  using std::chrono::seconds;
  c.warm_up = share(0.01, seconds{1}, seconds{5});
  c.step_min = share(0.02, seconds{5}, seconds{60});
  c.step_max = share(0.12, seconds{5}, seconds{300});
  c.hold_min = share(0.07, seconds{12}, seconds{60});
  c.hold_max = share(0.14, seconds{17}, seconds{300});
  c.descent_step = share(0.025, seconds{3}, seconds{60});
  c.descent_steps = o.quick ? 1 : 3;
  c.min_steps = o.quick ? 1 : 2;
  c.recovery_min = share(0.03, seconds{6}, seconds{60});
  c.recovery_max = share(0.18, seconds{14}, seconds{600});
  c.drain_max = share(0.05, seconds{3}, seconds{60});
  c.start_in_flight = o.quick ? 2 : 1;
  c.settle_max = share(0.05, seconds{3}, seconds{60});
  c.resolution = o.quick ? 0.25 : 0.10;
}

Result<std::vector<profiles::TrafficEvent>> events_of(const RehearseOptions& o) {
  DSBENCH_TRY(std::vector<profiles::TrafficEvent> events, make_events(o.experiment.events));
  if (!o.events_of.empty()) {
    DSBENCH_TRY(const auto traffic, profiles::load_traffic(o.events_of));
    if (traffic.events.empty())
      return fail(ErrorKind::usage, "the traffic '{}' has no events, and --events wants nothing else of it",
                  o.events_of);
    events.insert(events.begin(), traffic.events.begin(), traffic.events.end());
  }
  DSBENCH_CHECK(check_rehearsal_events(events));
  return events;
}

int rehearse(RehearseOptions& o) {
  auto guarded = guards_of(o.guards, GuardedVerb::rehearse);
  if (!guarded) return refuse("rehearse", guarded.error());
  const auto thresholds = requirements_of(o.guards, GuardedVerb::rehearse);
  if (!thresholds) return refuse("rehearse", thresholds.error());

  auto events = events_of(o);
  if (!events) return refuse("rehearse", events.error());

  std::atomic<bool>& stop = handle_signals();
  Progress progress{o.experiment.quiet};
  std::optional<loadgen::Guards> guards;
  ExperimentHooks hooks;
  hooks.kind = "rehearse";
  hooks.events = std::move(*events);
  hooks.prepare = [&](const std::vector<results::Slo>& by_tenant) {
    guarded->slos = by_tenant;
    guards.emplace(*guarded, stop);
  };
  hooks.watch = [&](results::RecordSink& sink) -> results::RecordSink& { return guards->watch(sink); };
  hooks.judge = [&](const std::filesystem::path& records, results::RunSummary& summary) {
    return judge_requirements(*thresholds, records, summary);
  };
  std::string verb_json;
  hooks.plan = [&](const Experiment& opened) {
    scale_to_budget(o, opened.simulated());
    o.plan.slo = opened.slo();
    o.plan.client_patience = opened.client_patience();
    o.plan.has_follow_ups = opened.has_follow_ups();
    o.plan.seed = o.experiment.seed;
    o.plan.recovery_objective = o.experiment.recovery_objective;
    o.plan.start_rate = o.start_rate;
    o.plan.forecast = o.forecast;
    verb_json = fmt::format(R"({},"stop_rules":{},"requirements":{})", rehearsal_json(o.plan),
                            rules_json(*guarded), texts_json(o.guards.requirements));
    return verb_json;
  };
  auto opened = Experiment::open(o.experiment, default_client, stop, progress, std::move(hooks));
  if (!opened) {
    progress.clear();
    return refuse("rehearse", opened.error());
  }
  Experiment& experiment = **opened;
  progress.line(fmt::format("rehearsing {} for about {}{}", o.experiment.target,
                            format_duration(o.plan.budget),
                            experiment.simulated() ? " of virtual time" : ""));
  loadgen::RehearsalListener listener;
  listener.line = [&](std::string_view text) { progress.line(text); };
  listener.second = [&](const loadgen::StageStatus& s, Nanos elapsed) {
    guards->on_second(elapsed);
    const Nanos left = std::max(o.plan.budget - elapsed, Nanos{0});
    progress.status(
        fmt::format("{} · {} · {} of {} · {} in flight{} · about {} left", s.name, format_rate(s.planned),
                    format_duration(s.elapsed), format_duration(s.length), s.in_flight,
                    s.target && s.target->waiting ? fmt::format(" · {} queued", *s.target->waiting) : "",
                    format_duration(left)));
  };
  listener.stage = [&](const loadgen::StageSpan& span) { experiment.on_stage(span); };
  loadgen::Rehearsed done = loadgen::rehearse(experiment.runner(), experiment.recorder(),
                                              experiment.contents(), experiment.observer(), o.plan, listener);
  progress.clear();
  results::RunSummary& summary = done.summary;
  const auto trip = guards->tripped();
  if (trip) summary.ended = "stopped by a guard: " + trip->sentence;
  experiment.describe(summary, verb_json);
  if (const auto written = experiment.write(summary); !written) return refuse("rehearse", written.error());
  if (done.aborted) return refuse("rehearse", *done.aborted);
  const int code = conclude(summary, o.experiment, experiment.directory());
  if (signal_exit_code() != 0) return signal_exit_code();
  return trip ? exit_guard : code;
}

}  // namespace

void add_rehearse(CLI::App& app, std::function<int()>& chosen, const std::vector<std::string>& command) {
  auto options = std::make_shared<RehearseOptions>();
  options->experiment.command = command;
  CLI::App* verb = app.add_subcommand(
      "rehearse", "find the knee, the collapse and the recovery of a target; write a readiness report");
  verb->footer(
      "Examples:\n"
      "  dsbench rehearse --quick                                 a minute, with the reference engine\n"
      "  dsbench rehearse --engine-max-queued 16                  the same engine with a bounded queue\n"
      "  dsbench rehearse --target https://host --api-key file:key --forecast 120/s\n"
      "  dsbench rehearse --target sim:deepseek-278 --workload chat --slo interactive\n"
      "What it does, and how it judges: docs/rehearse.md");
  RehearseOptions& o = *options;
  verb->add_flag("--quick", o.quick, "within a minute: a coarser knee, shorter holds");
  add_duration(*verb, "--budget", o.budget, "time for the whole rehearsal",
               "215s; with a URL: 15m; simulated: 1h; --quick: 55s");
  add_rate(*verb, "--forecast", o.forecast, "what the launch expects; the safe load must reach it",
           "none: not a criterion");
  add_rate(*verb, "--start-rate", o.start_rate, "first rate of the search", "1 ÷ the unloaded latency");
  verb->add_option("--hold-factor", o.plan.hold_factor, "the hold's rate in units of the knee")
      ->check(CLI::Range(1.05, 100.0))
      ->type_name("X")
      ->capture_default_str();
  add_guard_flags(*verb, o.guards, GuardedVerb::rehearse);
  add_experiment_flags(*verb, o.experiment, default_client);
  verb->add_option("--events", o.events_of,
                   "a traffic profile whose events happen in the rehearsal's stages of these names: warm_up, "
                   "probe, step, hold, descent, recovery; docs/rehearse.md")
      ->type_name("NAME|FILE")
      ->default_str("none");
  verb->add_option(
          "--ablate", o.ablate,
          fmt::format(
              "rehearse once as asked for and once for each of these with it switched, and compare: {}",
              ablation_names))
      ->type_name("LIST")
      ->default_str("none");
  verb->add_option("--ablate-quant", o.rounded_law,
                   "of --ablate quant where the engine only takes time: the step-time law of the same engine "
                   "with rounded weights and KV, a hardware profile as dsbench calibrate makes it")
      ->type_name("cost:NAME|cost:FILE")
      ->default_str("none");
  verb->callback([options, &chosen] {
    chosen = [options] {
      if (options->ablate.empty()) return rehearse(*options);
      return ablate(options->ablate, options->rounded_law, options->experiment,
                    [&](ExperimentOptions experiment) {
                      RehearseOptions one = *options;
                      one.experiment = std::move(experiment);
                      return rehearse(one);
                    });
    };
  });
}

}  // namespace dsbench::cli
