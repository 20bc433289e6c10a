#include "cli/load.h"

#include <fmt/format.h>

#include <memory>

#include "cli/exit_codes.h"
#include "cli/experiment.h"
#include "cli/flags.h"
#include "cli/refuse.h"
#include "cli/signals.h"
#include "core/text.h"
#include "loadgen/schedule.h"
#include "loadgen/stage_driver.h"
#include "profiles/catalog.h"
#include "profiles/traffic_profile.h"
#include "results/verdicts/overall_verdict.h"

namespace dsbench::cli {
namespace {

constexpr const char* default_client = "patient";

struct LoadOptions {
  ExperimentOptions experiment;
  std::string traffic = "steady";
  std::string arrivals;
  Nanos drain{60'000'000'000};
};

Result<profiles::TrafficProfile> traffic_of(const LoadOptions& o) {
  DSBENCH_TRY(auto traffic, profiles::load_traffic(o.traffic));
  if (!o.arrivals.empty()) {
    // The grammar of the compact form already knows the words.
    DSBENCH_TRY(const auto law, profiles::parse_traffic_text(o.arrivals + " hold(1/s,1s)"));
    traffic.arrivals = law.arrivals;
  }
  return traffic;
}

// The stages of the profile, with their share of the one schedule, each due relative to its stage.
std::vector<loadgen::StagePlan> stages_of(const profiles::TrafficProfile& traffic, std::uint64_t seed) {
  const profiles::TrafficPlan plan = plan_of(traffic);
  std::vector<loadgen::StagePlan> stages;
  for (const auto& s : plan.stages) {
    loadgen::StagePlan stage;
    stage.name = s.name;
    stage.planned = s.planned;
    stage.warm_up = s.measure_from - s.start;
    stage.length = s.end - s.start;
    stages.push_back(std::move(stage));
  }
  std::uint64_t request = 0;
  for (const loadgen::Arrival& a : loadgen::make_schedule(traffic, seed)) {
    if (stages[a.stage].due.empty()) stages[a.stage].first_content = request;
    stages[a.stage].due.push_back(a.due - plan.stages[a.stage].start);
    ++request;
  }
  return stages;
}

int load(const LoadOptions& o) {
  const auto traffic = traffic_of(o);
  if (!traffic) return refuse("load", traffic.error());
  const auto plans = stages_of(*traffic, o.experiment.seed);
  std::atomic<bool>& stop = handle_signals();
  Progress progress{o.experiment.quiet};
  auto opened = Experiment::open(o.experiment, default_client, stop, progress);
  if (!opened) {
    progress.clear();
    return refuse("load", opened.error());
  }
  Experiment& experiment = **opened;
  const Nanos total = plan_of(*traffic).length;
  progress.line(fmt::format("{} at {}, {}{}", print_traffic_text(*traffic), o.experiment.target,
                            format_duration(total), experiment.simulated() ? " of virtual time" : ""));
  const auto on_second = [&](const loadgen::StageStatus& s) {
    progress.status(fmt::format("{} · {} · {} of {} · {} in flight · {} left", s.name, format_rate(s.planned),
                                format_duration(s.elapsed), format_duration(s.length), s.in_flight,
                                format_duration(std::max(total - experiment.runner().now(), Nanos{0}))));
  };
  loadgen::StageDriver driver{experiment.runner(), experiment.recorder(), experiment.contents(),
                              experiment.observer(), on_second};

  results::RunSummary summary;
  summary.kind = "load";
  const auto ran = driver.run_all(plans);
  if (!ran && ran.error().kind != ErrorKind::interrupted) return refuse("load", ran.error());
  if (!ran) summary.ended = "interrupted";
  if (const auto drained = driver.drain(o.drain);
      !drained && drained.error().kind != ErrorKind::interrupted) {
    return refuse("load", drained.error());
  }
  progress.clear();
  for (std::uint32_t i = 0; i < plans.size(); ++i) {
    summary.stages.push_back(driver.summarize(i, experiment.slo()));
    for (const std::string& cause : summary.stages.back().invalid_causes) {
      summary.invalid_causes.push_back(fmt::format("{}: {}", summary.stages.back().name, cause));
    }
  }
  summary.valid = summary.invalid_causes.empty();
  const auto judged = results::judge_run(summary.valid, summary.invalid_causes, {});
  summary.verdict = judged.verdict;
  summary.sentence = judged.sentence;
  summary.requests = experiment.recorder().requests();
  summary.attempts = experiment.recorder().attempts();
  if (summary.requests > 0) {
    summary.retry_amplification =
        static_cast<double>(summary.attempts) / static_cast<double>(summary.requests);
  }
  summary.ledger = driver.ledger();
  summary.timeline = driver.timeline();
  summary.duration = experiment.runner().now();
  experiment.describe(summary, fmt::format(R"("traffic":{})", to_json(*traffic)));
  if (const auto written = experiment.write(summary); !written) return refuse("load", written.error());
  const int code = conclude(summary, o.experiment, experiment.directory());
  return signal_exit_code() != 0 ? signal_exit_code() : code;
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
      "Shapes: hold(R,T) ramp(R..R,T) steps(R..R by R,hold T) spike(R,R,at T,for T,total T); see "
      "docs/load.md");
  LoadOptions& o = *options;
  verb->add_option("--traffic", o.traffic,
                   fmt::format("traffic profile: shapes, a name or a file; shipped: {}",
                               join(profiles::shipped_names("traffic"))))
      ->type_name("SHAPES|NAME|FILE")
      ->capture_default_str();
  verb->add_option("--arrivals", o.arrivals, "arrival process: poisson, constant or 'gamma(cv 2)'")
      ->type_name("LAW")
      ->default_str("the profile's");
  add_duration(*verb, "--drain", o.drain, "how long to wait for what is in flight at the end");
  add_experiment_flags(*verb, o.experiment, default_client);
  verb->callback([options, &chosen] { chosen = [options] { return load(*options); }; });
}

}  // namespace dsbench::cli
