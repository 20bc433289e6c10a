#include "results/gate/outcome_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/files.h"
#include "results/gate/outputs.h"

namespace dsbench::results::gate {
namespace {

using Json = nlohmann::ordered_json;

double number(const Json& json) {
  return json.is_string() && json.get_ref<const std::string&>() == "infinite" ? HUGE_VAL : json.get<double>();
}
std::optional<double> maybe(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional{number(json)};
}
std::vector<double> numbers(const Json& json) {
  std::vector<double> list;
  for (const Json& value : json) list.push_back(number(value));
  return list;
}

Unit unit_of(std::string_view word) {
  return word == "s"       ? Unit::seconds
         : word == "1/s"   ? Unit::per_second
         : word == "share" ? Unit::share
                           : Unit::plain;
}

// The value whose word this is. A word that is not known is an error: the file is of a newer dsbench.
template <class Enum, std::size_t n>
Enum named(const std::array<Enum, n>& all, const Json& json) {
  const auto& word = json.get_ref<const std::string&>();
  const auto found = std::find_if(all.begin(), all.end(), [&](Enum e) { return to_word(e) == word; });
  if (found == all.end()) throw Json::other_error::create(500, "unknown verdict '" + word + "'", nullptr);
  return *found;
}
constexpr std::array verdicts{MetricVerdict::regressed, MetricVerdict::improved, MetricVerdict::same,
                              MetricVerdict::inconclusive};
constexpr std::array overalls{Overall::passed, Overall::regressed, Overall::slo_missed, Overall::inconclusive,
                              Overall::invalid};

MetricJudgement metric_of(const Json& json) {
  MetricJudgement m;
  m.metric = {json.at("name").get<std::string>(),
              json.at("better") == "lower" ? Better::lower : Better::higher,
              unit_of(json.at("unit").get<std::string>())};
  m.verdict = named(verdicts, json.at("verdict"));
  m.baseline = number(json.at("baseline"));
  m.candidate = number(json.at("candidate"));
  m.ratio = number(json.at("ratio"));
  m.estimate = number(json.at("estimate"));
  m.lower = maybe(json.at("lower"));
  m.upper = maybe(json.at("upper"));
  m.p = number(json.at("p"));
  m.p_holm = number(json.at("p_holm"));
  m.exact = json.at("exact").get<bool>();
  m.alpha = number(json.at("alpha"));
  m.margin = number(json.at("margin"));
  m.spread = number(json.at("spread"));
  m.detectable = number(json.at("detectable"));
  m.baseline_runs = json.at("baseline_runs").get<std::size_t>();
  m.candidate_runs = json.at("candidate_runs").get<std::size_t>();
  m.baseline_missing = json.at("baseline_missing").get<std::size_t>();
  m.candidate_missing = json.at("candidate_missing").get<std::size_t>();
  m.clock_ratio = maybe(json.at("clock_ratio"));
  m.cycle_ratio = maybe(json.at("cycle_ratio"));
  m.note = json.at("note").get<std::string>();
  m.baseline_values = numbers(json.at("baseline_values"));
  m.candidate_values = numbers(json.at("candidate_values"));
  return m;
}

}  // namespace

Result<Outcome> parse_outcome(std::string_view text, std::string_view source) {
  Outcome o;
  try {
    const Json json = Json::parse(text);
    if (json.at("schema") != outcome_schema) {
      return fail(ErrorKind::usage, "{}: schema {}; accepted: {}", source, json.at("schema").dump(),
                  outcome_schema);
    }
    o.overall = named(overalls, json.at("verdict"));
    o.sentence = json.at("sentence").get<std::string>();
    if (json.contains("title")) o.title = json.at("title").get<std::string>();
    o.kind = json.at("kind").get<std::string>();
    o.alpha = number(json.at("alpha"));
    o.planned_looks = json.at("planned_looks").get<std::size_t>();
    for (const Json& look : json.at("looks"))
      o.looks.push_back({look.at("runs").get<std::size_t>(), number(look.at("alpha"))});
    for (const Json& m : json.at("metrics")) o.judgement.metrics.push_back(metric_of(m));
    for (const Json& c : json.at("requirements")) {
      o.requirements.push_back({c.at("name").get<std::string>(), c.at("measured").get<std::string>(),
                                c.at("met").get<bool>() ? StepVerdict::good : StepVerdict::bad});
    }
    for (const Json& m : json.at("allowed_mismatches")) {
      o.mismatches.push_back({m.at("key").get<std::string>(),
                              m.at("baseline").get<std::vector<std::string>>(),
                              m.at("candidate").get<std::vector<std::string>>(), true});
    }
    o.invalid = json.at("invalid").get<std::vector<std::string>>();
    o.notes = json.at("notes").get<std::vector<std::string>>();
    o.baseline = json.at("baseline").get<std::vector<std::string>>();
    o.candidate = json.at("candidate").get<std::vector<std::string>>();
    o.dsbench_version = json.at("dsbench_version").get<std::string>();
  } catch (const Json::exception& e) {
    return fail(ErrorKind::usage,
                "{}: no outcome of dsbench gate: {}; accepted: gate.json of `dsbench gate run`", source,
                e.what());
  }
  return o;
}

std::filesystem::path find_outcome(const std::filesystem::path& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) {
    if (std::filesystem::exists(path / "run.json", ec)) return {};
    return std::filesystem::is_regular_file(path / "gate.json", ec) ? path / "gate.json"
                                                                    : std::filesystem::path{};
  }
  if (!std::filesystem::is_regular_file(path, ec) || path.extension() != ".json") return {};
  const auto text = read_file(path);
  if (!text) return {};
  const Json json = Json::parse(*text, nullptr, false);
  return json.is_object() && json.contains("schema") && json["schema"] == outcome_schema
             ? path
             : std::filesystem::path{};
}

}  // namespace dsbench::results::gate
