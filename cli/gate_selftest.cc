#include "cli/gate_selftest.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/gate_assess.h"
#include "cli/gate_run.h"
#include "cli/refuse.h"
#include "cli/signals.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/text.h"
#include "profiles/catalog.h"
#include "results/gate/noise_store.h"
#include "results/gate/outputs.h"
#include "results/gate/selftest_plan.h"

namespace dsbench::cli {
namespace {

namespace gate = results::gate;
using Json = nlohmann::ordered_json;

struct SelftestOptions {
  std::string base, slow, target = "embedded", out;
  std::optional<double> slow_by;  // nothing: 15 %, or what the noise lets be seen
  std::int32_t runs = 0;          // 0: as many as the budget allows, by a pilot
  Nanos budget{600'000'000'000};
  GateBenchOptions bench;
  GateFlags flags;
};

// A fleet whose steps take so many times as long, as a file.
Result<std::string> slow_fleet(const std::string& name, double factor, const std::filesystem::path& folder) {
  DSBENCH_TRY(const auto fleet_text, profiles::find_profile("fleet", name));
  try {
    Json fleet = Json::parse(fleet_text.text);
    Json hardware;
    if (fleet.contains("hardware_inline")) {
      hardware = fleet["hardware_inline"];
    } else {
      DSBENCH_TRY(const auto text,
                  profiles::find_profile("hardware", fleet.at("hardware").get<std::string>()));
      hardware = Json::parse(text.text);
    }
    fleet.erase("hardware");
    hardware.erase("schema");
    for (auto& [key, parameter] : hardware.at("step_time").items()) {
      if (parameter.is_object() && parameter.contains("value"))
        parameter["value"] = parameter["value"].get<double>() * factor;
    }
    fleet["hardware_inline"] = std::move(hardware);
    const std::string path = std::filesystem::absolute(folder / "slow-fleet.json").string();
    DSBENCH_CHECK(write_file_atomically(path, fleet.dump(1) + "\n"));
    return path;
  } catch (const Json::exception& e) {
    return fail(ErrorKind::usage, "{}: {}", fleet_text.source, e.what());
  }
}

std::string quoted(const std::string& word) {
  return word.find_first_of(" \"\\") == std::string::npos ? word : "'" + word + "'";
}

constexpr double usual_slowdown = 0.15;
constexpr std::size_t pilot_rounds = 4;
// What is measured when nobody says what: steps of given lengths, so that the cores of a small machine have
// time for everything else, and runs that are short.
constexpr std::string_view own_load = "--engine-executor cost:laptop-tiny --traffic 'hold(4/s,10s)'";

// What measures one and the same thing, and what is slower on purpose.
Result<std::pair<std::string, std::string>> commands_of(const SelftestOptions& o, double slow_by) {
  if (!o.base.empty() || !o.slow.empty()) {
    if (o.base.empty() || o.slow.empty()) {
      return fail(ErrorKind::usage,
                  "--{} is missing: a command of your own needs one beside it that is slower on purpose",
                  o.base.empty() ? "base" : "slow");
    }
    return std::pair{o.base, o.slow};
  }
  const std::string load = "load --target ";
  if (o.target == "embedded") {
    const std::string base = load + "embedded " + o.bench.load;
    return std::pair{base, fmt::format("{} --engine-fault hot-experts:factor={:g}", base, 1 + slow_by)};
  }
  if (o.target.starts_with("sim:")) {
    DSBENCH_TRY(const std::string slow, slow_fleet(o.target.substr(4), 1 + slow_by, o.bench.out));
    return std::pair{load + quoted(o.target) + " " + o.bench.load,
                     load + quoted("sim:" + slow) + " " + o.bench.load};
  }
  return fail(ErrorKind::usage,
              "--target {}: we cannot make it slower; accepted: embedded, sim:FLEET, or --base CMD with "
              "--slow CMD, a "
              "command that is slower on purpose",
              o.target);
}

std::vector<std::string> keys_of_the_slow_side(const gate::Evidence& run) {
  std::vector<std::string> keys;
  for (const char* key : {"model", "server_flags"}) {
    if (std::any_of(run.key.begin(), run.key.end(), [&](const auto& k) { return k.first == key; }))
      keys.emplace_back(key);
  }
  return keys;
}

std::string floors_text(const gate::NoiseEntry& noise) {
  std::string text;
  for (const auto& [name, m] : noise.metrics)
    text += fmt::format("  {}: noise floor {:.2f} %, spread of a run {:.2f} %\n", name, 100 * m.floor,
                        100 * m.spread);
  return text;
}

using Runs = std::vector<std::vector<gate::Evidence>>;

// The last whole rounds of a self-test, judged twice.
struct Answers {
  gate::Outcome same, slow;
  bool invalid = false, called = false, passed = false;
};

Result<Answers> judge(const Runs& runs, const GateFlags& given, double alpha) {
  GateFlags flags = given;
  flags.noise = "none";  // its floors come from here
  Answers a;
  DSBENCH_TRY(a.same, assess(runs[0], runs[1], flags, alpha));
  for (const std::string& key : keys_of_the_slow_side(runs[0].front())) flags.allow.push_back(key);
  DSBENCH_TRY(a.slow, assess(runs[0], runs[2], flags, alpha));
  a.same.title = "self-test: the same build twice";
  a.slow.title = "self-test: a build made slower";
  using gate::Overall;
  a.invalid = a.same.overall == Overall::invalid || a.slow.overall == Overall::invalid;
  a.called = a.same.overall == Overall::regressed || a.same.judgement.any(gate::MetricVerdict::improved);
  a.passed = a.same.overall == Overall::passed && !a.called && a.slow.overall == Overall::regressed;
  return a;
}

class Selftest {
 public:
  Selftest(SelftestOptions& options, std::atomic<bool>& stop)
      : o_{options}, stop_{stop}, progress_{options.flags.quiet} {}

  Result<int> operator()() {
    DSBENCH_TRY(settings_, settings_of(o_.flags));
    if (o_.bench.load.empty() && o_.base.empty() && o_.target == "embedded") o_.bench.load = own_load;
    DSBENCH_TRY(o_.bench.out, make_gate_directory(o_.out));
    progress_.line(fmt::format("runs go to {}", o_.bench.out.string()));
    // What can be refused is refused before anything is measured.
    DSBENCH_CHECK(commands_of(o_, o_.slow_by.value_or(usual_slowdown)));
    if (o_.runs == 0) {
      DSBENCH_CHECK(pilot());
    } else {
      plan_.slow_by = o_.slow_by.value_or(usual_slowdown);
      plan_.sequence.looks.push_back({static_cast<std::size_t>(o_.runs), o_.flags.alpha});
    }
    if (!plan_.blocker.empty()) return tell_blocker();
    DSBENCH_TRY(const Answers answers, measure());
    return tell(answers);
  }

 private:
  // One build as two sides, to see the noise; these runs are not judged, so that what they decide (margins,
  // the number of runs, the slowdown) says nothing about the answer.
  Result<void> pilot() {
    DSBENCH_TRY(const auto commands, commands_of(o_, usual_slowdown));
    GateBenchOptions bench = o_.bench;
    bench.sides = {{"pilot-a", commands.first, ""}, {"pilot-b", commands.first, ""}};
    bench.load.clear();
    DSBENCH_TRY(const auto pilot, GateBench::open(bench, stop_, progress_));
    DSBENCH_TRY(const auto warm, pilot->warm_up());
    (void)warm;
    SteadyClock clock;
    const Nanos begin = clock.now();
    DSBENCH_CHECK(pilot->measure(0, pilot_rounds, pilot_rounds, pilot_));
    const Nanos round = (clock.now() - begin) * 3 / static_cast<std::int64_t>(2 * pilot_rounds);
    for (const auto& side : pilot_) {
      for (const gate::Evidence& run : side) {
        if (!run.invalid.empty()) {
          plan_.blocker =
              fmt::format("the pilot's runs are no evidence: {}: {}", run.source, run.invalid.front());
          pilot_invalid_ = true;
          return {};
        }
      }
    }
    DSBENCH_TRY(const auto metrics, gate::gated_metrics(pilot_[0], pilot_[1], settings_));
    std::vector<std::pair<std::string, double>> spreads;
    for (const std::string& name : metrics) {
      std::vector<double> values[2];
      for (std::size_t side = 0; side < 2; ++side) {
        for (const gate::Evidence& run : pilot_[side]) {
          if (const auto* m = run.find(name); m != nullptr && m->value) values[side].push_back(*m->value);
        }
      }
      spreads.emplace_back(name, gate::cautious_spread(values[0], values[1]));
    }
    gate::SelftestLimits limits;
    limits.budget = o_.budget;
    if (o_.slow_by) {
      limits.least_slowdown = *o_.slow_by;
      limits.most_slowdown = std::max(limits.most_slowdown, *o_.slow_by);
      limits.slowdown_is_given = true;
    }
    plan_ = gate::plan_selftest(spreads, round, settings_, pilot_[0].front().kind, limits);
    if (!plan_.blocker.empty()) return {};
    std::string said;
    for (const auto& [name, margin] : plan_.margins) {
      o_.flags.margins.push_back(fmt::format("{}={:g}%", name, 100 * margin));
      said += fmt::format("{}{} {:g} %", said.empty() ? "" : ", ", name, 100 * margin);
    }
    DSBENCH_TRY(settings_, settings_of(o_.flags));
    progress_.line(
        fmt::format("a pilot of {} rounds: {} to {} runs a side, {} each round; margins {}; the slow side is "
                    "slower by {:g} %",
                    pilot_rounds, plan_.sequence.looks.front().runs, plan_.sequence.looks.back().runs,
                    format_duration(round), said.empty() ? "as given" : said, 100 * plan_.slow_by));
    return {};
  }

  Result<Answers> measure() {
    DSBENCH_TRY(const auto commands, commands_of(o_, plan_.slow_by));
    o_.bench.sides = {
        {"base", commands.first, ""}, {"same", commands.first, ""}, {"slow", commands.second, ""}};
    o_.bench.load.clear();
    if (!pilot_.empty()) o_.bench.warm_up = "none";  // the pilot was
    DSBENCH_TRY(bench_, GateBench::open(o_.bench, stop_, progress_));
    DSBENCH_TRY(const auto warm, bench_->warm_up());
    (void)warm;
    const auto& looks = plan_.sequence.looks;
    std::size_t measured = 0;
    for (std::size_t i = 0;; ++i) {
      DSBENCH_CHECK(bench_->measure(measured, looks[i].runs, looks[i].runs, runs_));
      measured = looks[i].runs;
      progress_.clear();
      DSBENCH_TRY(Answers answers, judge(runs_, o_.flags, looks[i].alpha));
      for (gate::Outcome* outcome : {&answers.same, &answers.slow}) {
        outcome->looks.assign(looks.begin(), looks.begin() + static_cast<std::ptrdiff_t>(i + 1));
        outcome->planned_looks = looks.size();
      }
      if (answers.invalid || answers.called || answers.passed || i + 1 == looks.size()) return answers;
      progress_.line(fmt::format("look {} at {} runs a side decides nothing yet", i + 1, measured));
    }
  }

  Result<int> tell_blocker() {
    progress_.clear();
    const std::string sentence = "No answer is possible here: " + plan_.blocker + ".";
    if (o_.flags.json) {
      fmt::print(
          "{}\n",
          Json{{"schema", "dsbench.gate-selftest/1"}, {"passed", false}, {"sentence", sentence}}.dump(2));
    } else {
      fmt::print("FAILED  {}\n", sentence);
    }
    return pilot_invalid_ ? exit_invalid : exit_inconclusive;
  }

  Result<int> tell(const Answers& a) {
    std::string sentence;
    int code = exit_ok;
    if (a.invalid) {
      sentence = "The runs are no evidence, and say nothing about the gate.";
      code = exit_invalid;
    } else if (a.called) {
      sentence =
          "The same build twice was called different: with these settings the gate is not to be believed "
          "here.";
      code = exit_invalid;
    } else if (a.passed) {
      sentence = "The same build twice is green, and the slower one is red.";
    } else if (a.slow.overall != gate::Overall::regressed) {
      sentence = fmt::format("The build that was made slower was not found to be: {}", a.slow.sentence);
      code = exit_inconclusive;
    } else {
      sentence =
          fmt::format("The slower build is red, but the same build twice is not green: {}", a.same.sentence);
      code = exit_inconclusive;
    }
    std::string floors, stored;
    if (!a.invalid) {
      std::vector<gate::Evidence> equal = runs_[0];
      equal.insert(equal.end(), runs_[1].begin(), runs_[1].end());
      DSBENCH_TRY(const auto metrics, gate::gated_metrics(runs_[0], runs_[1], settings_));
      const gate::NoiseEntry noise = gate::noise_of(equal, metrics, format_utc(wall_clock_now()));
      floors = floors_text(noise);
      if (stored = noise_path(o_.flags); !stored.empty()) DSBENCH_CHECK(gate::store_noise(stored, noise));
    }
    if (o_.flags.json) {
      Json json{{"schema", "dsbench.gate-selftest/1"}, {"passed", a.passed}, {"sentence", sentence}};
      json["slow_by"] = plan_.slow_by;
      json["same"] = Json::parse(gate::render_json(a.same));
      json["slow"] = Json::parse(gate::render_json(a.slow));
      fmt::print("{}\n", json.dump(2));
      return code;
    }
    fmt::print("{}  {}\n\nThe same build twice\n{}\nThe build that was made slower, by {:g} %\n{}\n",
               a.passed ? "PASSED" : "FAILED", sentence, gate::render_text(a.same, false),
               100 * plan_.slow_by, gate::render_text(a.slow, false));
    if (!floors.empty()) {
      fmt::print("Medians of {} runs of one build differ by more than the floor one time in twenty:\n{}{}",
                 runs_[0].size(), floors, stored.empty() ? "" : fmt::format("kept in {}\n", stored));
    }
    if (a.passed && !plan_.margins.empty()) {
      std::string flags;
      for (const auto& [name, margin] : plan_.margins)
        flags += fmt::format(" --margin '{}={:g}%'", name, 100 * margin);
      fmt::print("A gate of this workload with {} runs a side decides here with:{}\n", runs_[0].size(),
                 flags);
    }
    for (const std::string& note : bench_->notes()) fmt::print("note: {}\n", note);
    return code;
  }

  SelftestOptions& o_;
  std::atomic<bool>& stop_;
  Progress progress_;
  gate::JudgeSettings settings_;
  gate::SelftestPlan plan_;
  std::unique_ptr<GateBench> bench_;
  Runs pilot_, runs_;
  bool pilot_invalid_ = false;
};

}  // namespace

void add_gate_selftest(CLI::App& verb, std::function<int()>& chosen) {
  auto options = std::make_shared<SelftestOptions>();
  CLI::App* sub = verb.add_subcommand(
      "selftest", "does the gate work here: the same build twice must be green, a slower one red");
  sub->footer(
      "Examples:\n"
      "  dsbench gate selftest                                              the reference engine on this "
      "machine\n"
      "  dsbench gate selftest --load \"--traffic 'hold(4/s,1m)'\" --budget 1h    with another load\n"
      "  dsbench gate selftest --target sim:laptop --load \"--traffic 'hold(4/s,5m)'\"\n"
      "  dsbench gate selftest --base 'CMD {out}' --slow 'CMD --slower {out}'     anything else\n"
      "Keeps the noise floors it finds; `gate run` and `gate check` refuse a margin below them. "
      "docs/gate.md");
  SelftestOptions& o = *options;
  sub->add_option("--target", o.target, "embedded, or a simulated fleet in virtual time")
      ->type_name("embedded|sim:FLEET")
      ->capture_default_str();
  sub->add_option("--load", o.bench.load, "flags of `dsbench load`, beside the target")
      ->type_name("FLAGS")
      ->default_str("for embedded: steps of a given length, 4 requests a second for 10 s; otherwise none");
  sub->add_option_function<std::string>(
         "--slow-by",
         [&o](const std::string& text) {
           double value = 0;
           try {
             value = std::stod(text) / (text.ends_with('%') ? 100 : 1);
           } catch (const std::exception&) {
             value = -1;
           }
           if (!(value > 0 && value <= 10))
             throw CLI::ValidationError("--slow-by",
                                        "'" + text + "' is no share; accepted: 15% or 0.15, up to 1000%");
           o.slow_by = value;
         },
         "by how much every step of the engine is made slower")
      ->type_name("P")
      ->default_str("15%, or more where the noise hides that");
  sub->add_option("--base", o.base, "instead: a command that measures once, as for `gate run`")
      ->type_name("CMD")
      ->default_str("none");
  sub->add_option("--slow", o.slow, "and one that is slower on purpose")
      ->type_name("CMD")
      ->default_str("none");
  sub->add_option("--runs", o.runs, "runs of each of the three, without a pilot, at one look")
      ->check(CLI::Range(2, 1000))
      ->type_name("N")
      ->default_str("what a pilot of the noise and --budget give")
      ->group("Runs");
  add_duration(*sub, "--budget", o.budget,
               "how long the judged runs may take together; a pilot of 8 runs comes before them")
      ->group("Runs");
  add_bench_flags(*sub, o.bench, o.out);
  add_judge_flags(*sub, o.flags);
  sub->add_flag("--json", o.flags.json, "print JSON instead of the tables")->group("Output");
  sub->add_flag("--quiet", o.flags.quiet, "no progress on stderr")->group("Output");
  sub->callback([options, &chosen] {
    chosen = [options] {
      std::atomic<bool>& stop = handle_signals();
      const auto code = Selftest{*options, stop}();
      if (code) return *code;
      if (code.error().kind == ErrorKind::interrupted && signal_exit_code() != 0) return signal_exit_code();
      return refuse("gate selftest", code.error());
    };
  });
}

}  // namespace dsbench::cli
