// For programs: our own JSON, Bencher's and github-action-benchmark's.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "results/gate/outputs.h"

namespace dsbench::results::gate {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  if (std::isinf(value)) return "infinite";
  return value;
}
Json number(const std::optional<double>& value) {
  return value ? number(*value) : Json{};
}
Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double v : values) list.push_back(number(v));
  return list;
}

std::string_view unit_word(Unit unit) {
  switch (unit) {
    case Unit::seconds:
      return "s";
    case Unit::per_second:
      return "1/s";
    case Unit::share:
      return "share";
    case Unit::plain:
      break;
  }
  return "";
}

// Names come from files of others; what is not UTF-8 is replaced, not thrown at.
std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string render_json(const Outcome& o) {
  Json json;
  json["schema"] = outcome_schema;
  json["title"] = o.title;
  json["verdict"] = to_word(o.overall);
  json["sentence"] = o.sentence;
  json["kind"] = o.kind;
  json["alpha"] = o.alpha;
  json["planned_looks"] = o.planned_looks;
  json["looks"] = Json::array();
  for (const Look& look : o.looks) json["looks"].push_back({{"runs", look.runs}, {"alpha", look.alpha}});
  json["metrics"] = Json::array();
  for (const MetricJudgement& m : o.judgement.metrics) {
    json["metrics"].push_back({{"name", m.metric.name},
                               {"better", m.metric.better == Better::lower ? "lower" : "higher"},
                               {"unit", unit_word(m.metric.unit)},
                               {"verdict", to_word(m.verdict)},
                               {"baseline", number(m.baseline)},
                               {"candidate", number(m.candidate)},
                               {"ratio", number(m.ratio)},
                               {"estimate", number(m.estimate)},
                               {"lower", number(m.lower)},
                               {"upper", number(m.upper)},
                               {"p", m.p},
                               {"p_holm", m.p_holm},
                               {"exact", m.exact},
                               {"alpha", m.alpha},
                               {"margin", m.margin},
                               {"spread", m.spread},
                               {"detectable", number(m.detectable)},
                               {"baseline_runs", m.baseline_runs},
                               {"candidate_runs", m.candidate_runs},
                               {"baseline_missing", m.baseline_missing},
                               {"candidate_missing", m.candidate_missing},
                               {"clock_ratio", number(m.clock_ratio)},
                               {"cycle_ratio", number(m.cycle_ratio)},
                               {"note", m.note},
                               {"baseline_values", numbers(m.baseline_values)},
                               {"candidate_values", numbers(m.candidate_values)}});
  }
  json["requirements"] = Json::array();
  for (const Criterion& c : o.requirements) {
    json["requirements"].push_back(
        {{"name", c.name}, {"measured", c.measured}, {"met", c.verdict == StepVerdict::good}});
  }
  json["invalid"] = o.invalid;
  json["allowed_mismatches"] = Json::array();
  for (const Mismatch& m : o.mismatches) {
    json["allowed_mismatches"].push_back(
        {{"key", m.key}, {"baseline", m.baseline}, {"candidate", m.candidate}});
  }
  json["notes"] = o.judgement.notes;
  for (const std::string& note : o.notes) json["notes"].push_back(note);
  json["baseline"] = o.baseline;
  json["candidate"] = o.candidate;
  json["dsbench_version"] = o.dsbench_version;
  return dump(json);
}

std::string render_bmf(const Outcome& o) {
  Json json = Json::object();
  for (const MetricJudgement& m : o.judgement.metrics) {
    if (m.candidate_values.empty() || std::isinf(m.candidate)) continue;
    const auto [least, greatest] = std::minmax_element(m.candidate_values.begin(), m.candidate_values.end());
    // Bencher's own measure "latency" is in nanoseconds.
    const bool kernel = o.kind == "kernels";
    const double scale = kernel ? 1e9 : 1;
    Json value{{"value", m.candidate * scale}, {"lower_value", *least * scale}};
    if (!std::isinf(*greatest)) value["upper_value"] = *greatest * scale;
    if (kernel) {
      json[m.metric.name]["latency"] = value;
    } else {
      std::string measure;
      for (const char c : m.metric.name + (m.metric.unit == Unit::seconds ? "-seconds" : "")) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (plain) {
          measure += c;
        } else if (!measure.empty() && measure.back() != '-') {
          measure += '-';
        }
      }
      json["dsbench " + o.kind][measure] = value;
    }
  }
  return dump(json);
}

std::string render_github_benchmark(const Outcome& o, Better better) {
  Json json = Json::array();
  for (const MetricJudgement& m : o.judgement.metrics) {
    if (m.metric.better != better || m.candidate_values.empty() || std::isinf(m.candidate)) continue;
    json.push_back({{"name", m.metric.name},
                    {"unit", unit_word(m.metric.unit)},
                    {"value", m.candidate},
                    {"range", fmt::format("± {:.2f} %", 100 * m.spread)},
                    {"extra", fmt::format("{}; {} against the baseline; median of {} runs",
                                          to_word(m.verdict), format_change(m.ratio), m.candidate_runs)}});
  }
  return dump(json);
}

}  // namespace dsbench::results::gate
