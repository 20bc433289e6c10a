#include "results/gate/history.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/files.h"
#include "core/rng.h"
#include "results/gate/comparability.h"
#include "results/gate/rank_test.h"

namespace dsbench::results::gate {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* schema = "dsbench.history/1";
// What a new build may change without beginning a new series. A seed is none of them in one line, but all of
// them over the years.
constexpr std::array<std::string_view, 5> of_a_build{"seed", "server_flags", "client_version", "model",
                                                     "commit"};

constexpr std::array<std::string_view, 4> units{"s", "1/s", "share", ""};

std::string hash_of(const Evidence& run) {
  std::string text;
  for (const auto& [name, value] : run.key) {
    if (std::find(of_a_build.begin(), of_a_build.end(), name) == of_a_build.end())
      text += name + "=" + value + "\n";
  }
  return fmt::format("{:016x}", derive_seed(0, text));
}

Unit unit_of(const std::string& word) {
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (units[i] == word) return static_cast<Unit>(i);
  }
  return Unit::plain;
}

ChangeState state_of(const std::string& word) {
  return word == "accepted" ? ChangeState::accepted
         : word == "fixed"  ? ChangeState::fixed
                            : ChangeState::open;
}

}  // namespace

std::string_view to_word(ChangeState state) {
  return state == ChangeState::accepted ? "accepted" : state == ChangeState::fixed ? "fixed" : "open";
}

std::string print_line(const HistoryRun& run) {
  Json json{{"schema", schema}, {"run", run.id},  {"at", run.at},
            {"kind", run.kind}, {"key", run.key}, {"runs", run.runs}};
  json["metrics"] = Json::object();
  for (const auto& [name, metric] : run.metrics) {
    json["metrics"][name] = {{"value", metric.second},
                             {"unit", units[static_cast<std::size_t>(metric.first.unit)]},
                             {"better", metric.first.better == Better::lower ? "lower" : "higher"}};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string print_line(const StateEvent& event) {
  const Json json{{"schema", schema},       {"change", event.id},
                  {"metric", event.metric}, {"state", to_word(event.state)},
                  {"at", event.at},         {"note", event.note}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<History> parse_history(std::string_view text, std::string_view source) {
  History history;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    try {
      const Json json = Json::parse(line);
      if (json.at("schema") != schema) {
        return fail(ErrorKind::usage, "{} line {}: schema {}; accepted: {}", source, number,
                    json.at("schema").dump(), schema);
      }
      if (json.contains("change")) {
        history.events.push_back({json.at("change").get<std::string>(), json.at("metric").get<std::string>(),
                                  state_of(json.at("state").get<std::string>()), json.value("at", ""),
                                  json.value("note", "")});
        continue;
      }
      HistoryRun run;
      run.id = json.at("run").get<std::string>();
      run.at = json.value("at", "");
      run.kind = json.value("kind", "");
      run.key = json.at("key").get<std::string>();
      run.runs = json.value("runs", std::size_t{1});
      for (const auto& [name, m] : json.at("metrics").items()) {
        const Metric metric{name, m.value("better", "lower") == "higher" ? Better::higher : Better::lower,
                            unit_of(m.value("unit", "s"))};
        run.metrics[name] = {metric, m.at("value").get<double>()};
      }
      history.runs.push_back(std::move(run));
    } catch (const Json::exception& e) {
      return fail(ErrorKind::usage, "{} line {}: not a line of a gate history: {}", source, number, e.what());
    }
  }
  return history;
}

Result<History> read_history(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return History{};
  DSBENCH_TRY(const std::string text, read_file(path));
  return parse_history(text, path.string());
}

Result<void> append_line(const std::filesystem::path& path, std::string_view line) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return fail(ErrorKind::io, "cannot append to {}: {}", path.string(), std::strerror(errno));
  const ssize_t n = ::write(fd, line.data(), line.size());
  const bool whole = n == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int why = errno;
  ::close(fd);
  if (!whole) return fail(ErrorKind::io, "cannot append to {}: {}", path.string(), std::strerror(why));
  return {};
}

Result<HistoryRun> history_run_of(const std::vector<Evidence>& runs, std::string id, std::string at) {
  if (runs.empty()) return fail(ErrorKind::usage, "no runs to add");
  for (const Evidence& run : runs) {
    if (!run.invalid.empty())
      return fail(ErrorKind::usage, "{} is no evidence: {}; a history keeps only what is", run.source,
                  run.invalid.front());
  }
  HistoryRun line;
  line.id = std::move(id);
  line.at = std::move(at);
  line.kind = runs.front().kind;
  line.key = hash_of(runs.front());
  line.runs = runs.size();
  for (const Evidence& run : runs) {
    if (hash_of(run) == line.key) continue;
    DSBENCH_TRY(const auto mismatches,
                compare_keys(std::span{&runs.front(), 1}, std::span{&run, 1}, std::vector<std::string>{}));
    return fail(ErrorKind::usage, "runs of one build must be comparable:\n{}", describe_refused(mismatches));
  }
  for (const Measured& m : runs.front().metrics) {
    std::vector<double> values;
    for (const Evidence& run : runs) {
      if (const Measured* found = run.find(m.metric.name);
          found != nullptr && found->value && std::isfinite(*found->value))
        values.push_back(*found->value);
    }
    if (values.size() == runs.size()) line.metrics[m.metric.name] = {m.metric, median_of(values)};
  }
  if (line.metrics.empty())
    return fail(ErrorKind::usage, "{} has no metric with a finite value", runs.front().source);
  return line;
}

std::vector<Series> series_of(const History& history, const ChangePointSettings& settings) {
  std::vector<Series> all;
  if (history.runs.empty()) return all;
  const HistoryRun& last = history.runs.back();
  for (const auto& [name, metric] : last.metrics) {
    Series series;
    series.metric = metric.first;
    for (const HistoryRun& run : history.runs) {
      const auto found = run.metrics.find(name);
      if (run.key != last.key || run.kind != last.kind || found == run.metrics.end()) continue;
      series.ids.push_back(run.id);
      series.values.push_back(found->second.second);
    }
    for (const ChangePoint& point : change_points(series.values, settings)) {
      Change change;
      change.metric = name;
      change.point = point;
      change.id = series.ids[point.index];
      change.worse = (point.after > point.before) == (metric.first.better == Better::lower);
      for (const StateEvent& event : history.events) {
        if (event.id != change.id || (event.metric != name && event.metric != "*")) continue;
        change.state = event.state;  // the last one counts
        change.note = event.note;
      }
      series.changes.push_back(std::move(change));
    }
    if (!series.changes.empty()) {
      series.changes.back().is_last = true;
      series.baseline_from = series.changes.back().point.index;
    }
    all.push_back(std::move(series));
  }
  return all;
}

const Change* worst_open(const std::vector<Series>& series) {
  const Change* worst = nullptr;
  double size = 0;
  for (const Series& s : series) {
    for (const Change& change : s.changes) {
      if (!change.worse || change.state != ChangeState::open) continue;
      const double factor = ratio_of(change.point.after, change.point.before);
      const double by = std::max(factor, factor > 0 ? 1 / factor : HUGE_VAL);
      if (worst == nullptr || by > size) {
        worst = &change;
        size = by;
      }
    }
  }
  return worst;
}

}  // namespace dsbench::results::gate
