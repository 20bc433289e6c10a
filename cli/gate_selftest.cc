#include "cli/gate_selftest.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/exit_codes.h"
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

namespace dsbench::cli {
namespace {

namespace gate = results::gate;
using Json = nlohmann::ordered_json;

struct SelftestOptions {
  std::string base, slow, target = "embedded", out;
  double slow_by = 0.15;
  std::int32_t runs = 10;
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

// What measures one and the same thing, and what is slower on purpose.
Result<std::pair<std::string, std::string>> commands_of(const SelftestOptions& o) {
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
    return std::pair{base, fmt::format("{} --engine-fault hot-experts:factor={:g}", base, 1 + o.slow_by)};
  }
  if (o.target.starts_with("sim:")) {
    DSBENCH_TRY(const std::string slow, slow_fleet(o.target.substr(4), 1 + o.slow_by, o.bench.out));
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

Result<int> selftest(SelftestOptions& o, std::atomic<bool>& stop) {
  Progress progress{o.flags.quiet};
  DSBENCH_TRY(const auto settings, settings_of(o.flags));
  DSBENCH_TRY(o.bench.out, make_gate_directory(o.out));
  DSBENCH_TRY(const auto commands, commands_of(o));
  o.bench.sides = {{"base", commands.first, ""}, {"same", commands.first, ""}, {"slow", commands.second, ""}};
  o.bench.load.clear();
  DSBENCH_TRY(const auto bench, GateBench::open(o.bench, stop, progress));
  progress.line(fmt::format("runs go to {}", o.bench.out.string()));
  DSBENCH_TRY(const auto warm, bench->warm_up());
  (void)warm;
  std::vector<std::vector<gate::Evidence>> runs;
  const auto rounds = static_cast<std::size_t>(o.runs);
  DSBENCH_CHECK(bench->measure(0, rounds, rounds, runs));
  progress.clear();

  GateFlags flags = o.flags;
  flags.noise = "none";  // its floors come from here
  DSBENCH_TRY(gate::Outcome same, assess(runs[0], runs[1], flags, flags.alpha));
  for (const std::string& key : keys_of_the_slow_side(runs[0].front())) flags.allow.push_back(key);
  DSBENCH_TRY(gate::Outcome slow, assess(runs[0], runs[2], flags, flags.alpha));
  same.title = "self-test: the same build twice";
  slow.title = "self-test: a build made slower";

  using gate::Overall;
  const bool invalid = same.overall == Overall::invalid || slow.overall == Overall::invalid;
  const bool called = same.overall == Overall::regressed || same.judgement.any(gate::MetricVerdict::improved);
  const bool passed = same.overall == Overall::passed && !called && slow.overall == Overall::regressed;
  std::string sentence;
  int code = exit_ok;
  if (invalid) {
    sentence = "The runs are no evidence, and say nothing about the gate.";
    code = exit_invalid;
  } else if (called) {
    sentence =
        "The same build twice was called different: with these settings the gate is not to be believed here.";
    code = exit_invalid;
  } else if (passed) {
    sentence = "The same build twice is green, and the slower one is red.";
  } else if (slow.overall != Overall::regressed) {
    sentence = fmt::format("The build that was made slower was not found to be: {}", slow.sentence);
    code = exit_inconclusive;
  } else {
    sentence =
        fmt::format("The slower build is red, but the same build twice is not green: {}", same.sentence);
    code = exit_inconclusive;
  }

  std::string floors, stored;
  if (!invalid) {
    std::vector<gate::Evidence> equal = runs[0];
    equal.insert(equal.end(), runs[1].begin(), runs[1].end());
    DSBENCH_TRY(const auto metrics, gate::gated_metrics(runs[0], runs[1], settings));
    const gate::NoiseEntry noise = gate::noise_of(equal, metrics, format_utc(wall_clock_now()));
    floors = floors_text(noise);
    if (stored = noise_path(o.flags); !stored.empty()) DSBENCH_CHECK(gate::store_noise(stored, noise));
  }
  if (o.flags.json) {
    Json json{{"schema", "dsbench.gate-selftest/1"}, {"passed", passed}, {"sentence", sentence}};
    json["same"] = Json::parse(gate::render_json(same));
    json["slow"] = Json::parse(gate::render_json(slow));
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}  {}\n\nThe same build twice\n{}\nThe build that was made slower\n{}\n",
               passed ? "PASSED" : "FAILED", sentence, gate::render_text(same, false),
               gate::render_text(slow, false));
    if (!floors.empty()) {
      fmt::print("Medians of {} runs of one build differ by more than the floor one time in twenty:\n{}{}",
                 rounds, floors, stored.empty() ? "" : fmt::format("kept in {}\n", stored));
    }
    for (const std::string& note : bench->notes()) fmt::print("note: {}\n", note);
  }
  return code;
}

}  // namespace

void add_gate_selftest(CLI::App& verb, std::function<int()>& chosen) {
  auto options = std::make_shared<SelftestOptions>();
  CLI::App* sub = verb.add_subcommand(
      "selftest", "does the gate work here: the same build twice must be green, a slower one red");
  sub->footer(
      "Examples:\n"
      "  dsbench gate selftest --load \"--traffic 'hold(4/s,1m)'\"           the reference engine on this "
      "machine\n"
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
      ->default_str("none");
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
      ->default_str("15%");
  sub->add_option("--base", o.base, "instead: a command that measures once, as for `gate run`")
      ->type_name("CMD")
      ->default_str("none");
  sub->add_option("--slow", o.slow, "and one that is slower on purpose")
      ->type_name("CMD")
      ->default_str("none");
  sub->add_option("--runs", o.runs, "runs of each of the three")
      ->check(CLI::Range(2, 1000))
      ->type_name("N")
      ->capture_default_str()
      ->group("Runs");
  add_bench_flags(*sub, o.bench, o.out);
  add_judge_flags(*sub, o.flags);
  sub->add_flag("--json", o.flags.json, "print JSON instead of the tables")->group("Output");
  sub->add_flag("--quiet", o.flags.quiet, "no progress on stderr")->group("Output");
  sub->callback([options, &chosen] {
    chosen = [options] {
      std::atomic<bool>& stop = handle_signals();
      const auto code = selftest(*options, stop);
      if (code) return *code;
      if (code.error().kind == ErrorKind::interrupted && signal_exit_code() != 0) return signal_exit_code();
      return refuse("gate selftest", code.error());
    };
  });
}

}  // namespace dsbench::cli
