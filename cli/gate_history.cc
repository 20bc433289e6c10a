#include "cli/gate_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/exit_codes.h"
#include "cli/refuse.h"
#include "core/clock.h"
#include "core/text.h"
#include "results/gate/history.h"
#include "results/gate/judge.h"
#include "results/gate/outputs.h"

namespace dsbench::cli {
namespace {

namespace gate = results::gate;

struct HistoryOptions {
  std::string file, id, note, metric = "*";
  std::vector<std::string> runs, metrics;
  gate::ChangePointSettings settings{50, 0.001, 0.0};
  bool json = false, fail_on_open = false;
};

Result<int> add(const HistoryOptions& o) {
  DSBENCH_TRY(const gate::History history, gate::read_history(o.file));
  std::vector<gate::Evidence> runs;
  for (const std::string& path : o.runs) {
    DSBENCH_TRY(gate::Evidence run, gate::read_evidence(path));
    runs.push_back(std::move(run));
  }
  const std::string now = format_utc(wall_clock_now());
  std::string id = o.id;
  if (id.empty() && runs.front().run) id = runs.front().run->dsbench_commit;
  if (id.empty() || id == "unknown")
    return fail(ErrorKind::usage, "the runs do not say what was measured; give its commit or name with --id");
  DSBENCH_TRY(const gate::HistoryRun line, gate::history_run_of(runs, id, now));
  for (const gate::HistoryRun& run : history.runs) {
    if (run.id != line.id || run.key != line.key || run.kind != line.kind) continue;
    return fail(ErrorKind::usage, "{} has a run '{}' of this workload already, of {}; give another --id",
                o.file, id, run.at);
  }
  DSBENCH_CHECK(gate::append_line(o.file, gate::print_line(line)));
  fmt::print("added {}: {} metrics, medians of {} runs\n", id, line.metrics.size(), line.runs);
  return exit_ok;
}

bool is_wanted(const HistoryOptions& o, const gate::Series& series) {
  return o.metrics.empty() ||
         std::any_of(o.metrics.begin(), o.metrics.end(),
                     [&](const std::string& pattern) { return gate::matches(pattern, series.metric.name); });
}

Result<std::vector<gate::Series>> read_series(const HistoryOptions& o, bool only_wanted) {
  DSBENCH_TRY(const gate::History history, gate::read_history(o.file));
  if (history.runs.empty())
    return fail(ErrorKind::usage, "{} has no runs; `dsbench gate history add` adds them", o.file);
  std::vector<gate::Series> all = gate::series_of(history, o.settings);
  if (only_wanted) std::erase_if(all, [&](const gate::Series& s) { return !is_wanted(o, s); });
  if (all.empty()) return fail(ErrorKind::usage, "--metric: the last run of {} has no such metric", o.file);
  return all;
}

std::string describe(const gate::Series& s, const gate::Change& c) {
  return fmt::format(
      "{}: {} from {} on, {} to {} ({}, p {}), {}{}", s.metric.name, c.worse ? "worse" : "better", c.id,
      gate::format_value(s.metric.unit, c.point.before), gate::format_value(s.metric.unit, c.point.after),
      gate::format_change(c.point.before == 0 ? HUGE_VAL : c.point.after / c.point.before),
      gate::format_p(c.point.p), gate::to_word(c.state), c.note.empty() ? "" : " (" + c.note + ")");
}

nlohmann::ordered_json to_json(const std::vector<gate::Series>& all) {
  nlohmann::ordered_json json{{"schema", "dsbench.gate-history/1"},
                              {"series", nlohmann::ordered_json::array()}};
  for (const gate::Series& s : all) {
    nlohmann::ordered_json one{
        {"metric", s.metric.name}, {"runs", s.values.size()}, {"baseline_from", s.ids[s.baseline_from]}};
    const std::span<const double> values{s.values};
    double sum = 0;
    for (const double v : values.subspan(s.baseline_from)) sum += v;
    one["baseline_mean"] = sum / static_cast<double>(values.size() - s.baseline_from);
    one["changes"] = nlohmann::ordered_json::array();
    for (const gate::Change& c : s.changes) {
      one["changes"].push_back({{"at", c.id},
                                {"worse", c.worse},
                                {"before", c.point.before},
                                {"after", c.point.after},
                                {"p", c.point.p},
                                {"state", gate::to_word(c.state)},
                                {"note", c.note}});
    }
    json["series"].push_back(std::move(one));
  }
  return json;
}

Result<int> show(const HistoryOptions& o) {
  DSBENCH_TRY(const auto all, read_series(o, true));
  if (o.json) {
    fmt::print("{}\n", to_json(all).dump(2));
  } else {
    std::size_t changes = 0;
    for (const gate::Series& s : all) {
      for (const gate::Change& c : s.changes) {
        fmt::print("{}\n", describe(s, c));
        ++changes;
      }
    }
    if (changes > 0) fmt::print("\n");
    for (const gate::Series& s : all) {
      const std::span<const double> values{s.values};
      const auto segment = values.subspan(s.baseline_from);
      double sum = 0;
      for (const double v : segment) sum += v;
      fmt::print("{}: {} runs; baseline {} (mean of the {} since {}){}\n", s.metric.name, values.size(),
                 gate::format_value(s.metric.unit, sum / static_cast<double>(segment.size())), segment.size(),
                 s.ids[s.baseline_from], s.changes.empty() ? "; no change" : "");
    }
  }
  const gate::Change* worst = gate::worst_open(all);
  if (worst == nullptr || !o.fail_on_open) return exit_ok;
  fmt::print(stderr,
             "dsbench gate history show: an open regression: {} since {}; `gate history accept` or `fix` "
             "closes it\n",
             worst->metric, worst->id);
  return exit_regression;
}

Result<int> close_change(const HistoryOptions& o, gate::ChangeState state) {
  DSBENCH_TRY(const auto all, read_series(o, false));
  std::size_t closed = 0;
  std::string there;
  for (const gate::Series& s : all) {
    for (const gate::Change& c : s.changes) {
      there += "\n  " + c.id + ": " + s.metric.name;
      closed += c.id == o.id && (o.metric == "*" || o.metric == s.metric.name);
    }
  }
  if (closed == 0) {
    return fail(ErrorKind::usage, "{} has no change of {} at '{}'; there are:{}", o.file,
                o.metric == "*" ? "any metric" : o.metric, o.id, there.empty() ? " none" : there);
  }
  const gate::StateEvent event{o.id, o.metric, state, format_utc(wall_clock_now()), o.note};
  DSBENCH_CHECK(gate::append_line(o.file, gate::print_line(event)));
  fmt::print("{} at {}: {} metrics\n", gate::to_word(state), o.id, closed);
  return exit_ok;
}

void add_file(CLI::App& app, HistoryOptions& o) {
  app.add_option("--file", o.file, "the history: JSON lines, only ever appended to")
      ->required()
      ->type_name("FILE");
}

void add_detection(CLI::App& app, HistoryOptions& o) {
  app.add_option("--window", o.settings.window, "runs that are looked at together")
      ->check(CLI::Range(10, 10'000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--p", o.settings.p, "a change is one when chance makes its like less often than this")
      ->check(CLI::Range(1e-9, 0.5))
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--least-change", o.settings.least_change, "changes of a smaller share are passed over")
      ->check(CLI::Range(0.0, 10.0))
      ->type_name("SHARE")
      ->capture_default_str();
}

using Verb = std::function<Result<int>(const HistoryOptions&)>;

CLI::App* add_verb(CLI::App& history, std::function<int()>& chosen, const std::string& name,
                   const std::string& help, const std::shared_ptr<HistoryOptions>& options, Verb run) {
  CLI::App* sub = history.add_subcommand(name, help);
  add_file(*sub, *options);
  sub->callback([options, &chosen, name, run = std::move(run)] {
    chosen = [options, name, run] {
      const auto code = run(*options);
      return code ? *code : refuse("gate history " + name, code.error());
    };
  });
  return sub;
}

}  // namespace

void add_gate_history(CLI::App& verb, std::function<int()>& chosen) {
  CLI::App* history = verb.add_subcommand("history", "results of many builds: since which one is it slower?");
  history->require_subcommand(1);
  history->footer(
      "Examples:\n"
      "  dsbench gate history add --file history.jsonl --id 1f3c9ab runs/*     one line: the medians of "
      "these runs\n"
      "  dsbench gate history show --file history.jsonl --fail-on-open\n"
      "  dsbench gate history accept --file history.jsonl --id 1f3c9ab --note 'longer answers, on purpose'\n"
      "Change points by E-divisive; docs/gate.md");
  {
    auto o = std::make_shared<HistoryOptions>();
    CLI::App* sub =
        add_verb(*history, chosen, "add", "append the medians of a build's runs as one line", o, add);
    sub->add_option("runs", o->runs, "run directories, or JSON files of Google Benchmark's form")
        ->required()
        ->type_name("RUN...");
    sub->add_option("--id", o->id, "what was measured: a commit, a version")
        ->type_name("TEXT")
        ->default_str("of dsbench's own engine: its commit");
  }
  {
    auto o = std::make_shared<HistoryOptions>();
    CLI::App* sub =
        add_verb(*history, chosen, "show", "change points and the baseline of every metric", o, show);
    sub->add_option("--metric", o->metrics, "only these, with '*' for anything")
        ->type_name("NAME")
        ->default_str("all")
        ->allow_extra_args(false);
    add_detection(*sub, *o);
    sub->add_flag("--fail-on-open", o->fail_on_open, "exit code 4 while a change for the worse is open");
    sub->add_flag("--json", o->json, "print JSON");
  }
  for (const auto state : {gate::ChangeState::accepted, gate::ChangeState::fixed}) {
    auto o = std::make_shared<HistoryOptions>();
    const bool accept = state == gate::ChangeState::accepted;
    CLI::App* sub =
        add_verb(*history, chosen, accept ? "accept" : "fix",
                 accept ? "say that a change is meant to be so" : "say that a change has been mended", o,
                 [state](const HistoryOptions& options) { return close_change(options, state); });
    sub->add_option("--id", o->id, "the run at which the change is")->required()->type_name("TEXT");
    sub->add_option("--metric", o->metric, "of which metric; '*': of all that changed there")
        ->type_name("NAME")
        ->capture_default_str();
    sub->add_option("--note", o->note, "why")->type_name("TEXT")->default_str("none");
    add_detection(*sub, *o);
  }
}

}  // namespace dsbench::cli
