// The formats of a whole run for those who keep series: Prometheus' text, OTLP/JSON, MLflow's batch.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/text.h"
#include "results/interop/stage_data.h"

namespace dsbench::results {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<Metric, metric_count> all_metrics{
    Metric::ttft,        Metric::ttft_service, Metric::tpot,     Metric::itl,     Metric::e2e,
    Metric::e2e_service, Metric::ntpot,        Metric::send_lag, Metric::read_lag};

std::string label_text(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n')
      text += "\\n";
    else
      text += c;
  }
  return text;
}

// 1, 2, 5 in every power of ten, 100 µs to 1,000 s: the same for all runs, so that histograms of several add.
std::vector<double> bounds() {
  std::vector<double> all;
  for (int power = -4; power <= 2; ++power) {
    for (const int digit : {1, 2, 5}) all.push_back(digit * std::pow(10.0, power));
  }
  all.push_back(1000);
  return all;
}

// A sample is counted at its counter's upper end, as quantiles are.
std::int64_t count_to(const Histogram& h, double bound) {
  std::int64_t n = 0;
  for (int i = h.next_index(0); i >= 0; i = h.next_index(i + 1)) {
    if (to_seconds(Histogram::highest_at(i)) > bound * (1 + 1e-12)) break;
    n += h.counter(i);
  }
  return n;
}

}  // namespace

std::string export_prometheus(const RunSummary& run, const std::vector<StageData>& stages) {
  std::string out;
  const auto it = std::back_inserter(out);
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(it, "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  };
  const auto labels = [](const StageSummary& s) {
    return fmt::format(R"(stage="{}",index="{}")", label_text(s.name), s.index);
  };
  struct Count {
    const char* name;
    const char* help;
    std::int64_t StageSummary::*field;
  };
  for (const Count& c :
       {Count{"dsbench_requests_total", "Requests offered in the measured part of a stage.",
              &StageSummary::requests},
        Count{"dsbench_requests_delivered_total", "Of them really sent.", &StageSummary::delivered},
        Count{"dsbench_requests_completed_total", "Of them come back whole.", &StageSummary::completed},
        Count{"dsbench_requests_good_total", "Of them that met every bound of the service level.",
              &StageSummary::good},
        Count{"dsbench_output_tokens_total", "Tokens of completed requests.",
              &StageSummary::output_tokens}}) {
    family(c.name, "counter", c.help);
    for (const StageData& s : stages)
      fmt::format_to(it, "{}{{{}}} {}\n", c.name, labels(*s.summary), s.summary->*c.field);
  }
  family("dsbench_attempts_total", "counter", "Attempts by how they ended.");
  for (const StageData& s : stages) {
    for (std::size_t r = 0; r < s.summary->attempts_by_reason.size(); ++r) {
      if (s.summary->attempts_by_reason[r] == 0) continue;
      fmt::format_to(it, "dsbench_attempts_total{{{},reason=\"{}\"}} {}\n", labels(*s.summary),
                     to_word(static_cast<Reason>(r)), s.summary->attempts_by_reason[r]);
    }
  }
  family("dsbench_stage_seconds", "gauge", "Length of the measured part of a stage.");
  for (const StageData& s : stages)
    fmt::format_to(it, "dsbench_stage_seconds{{{}}} {}\n", labels(*s.summary), s.seconds());
  family("dsbench_run_valid", "gauge",
         "1 when the generator was fit to measure, 0 when it was not; NaN: not known.");
  fmt::format_to(it, "dsbench_run_valid {}\n",
                 run.validity == Validity::unknown ? "NaN"
                 : run.validity == Validity::valid ? "1"
                                                   : "0");
  family("dsbench_run_info", "gauge", "What was run; always 1.");
  fmt::format_to(it, "dsbench_run_info{{target=\"{}\",seed=\"{}\",verdict=\"{}\",version=\"{}\"}} 1\n",
                 label_text(run.target), run.seed, to_word(run.verdict), label_text(run.dsbench_version));
  const std::vector<double> le = bounds();
  for (const Metric metric : all_metrics) {
    const std::string name = fmt::format("dsbench_{}_seconds", to_word(metric));
    family(name, "histogram", "Of requests that came back whole; see docs/design.md for the words.");
    for (const StageData& s : stages) {
      const Histogram& h = s[metric];
      const std::string of = labels(*s.summary);
      for (const double bound : le)
        fmt::format_to(it, "{}_bucket{{{},le=\"{:g}\"}} {}\n", name, of, bound, count_to(h, bound));
      fmt::format_to(it, "{}_bucket{{{},le=\"+Inf\"}} {}\n", name, of, h.count());
      const double sum = to_seconds(summary_of(*s.summary, metric).mean) * static_cast<double>(h.count());
      fmt::format_to(it, "{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, of, sum, h.count());
    }
  }
  return out;
}

namespace {

Json text_attribute(const char* key, std::string_view value) {
  return Json{{"key", key}, {"value", {{"stringValue", value}}}};
}

// Base-2 exponential buckets: bucket i holds (2^(i/2^scale), 2^((i+1)/2^scale)]. At scale 8 a bucket is 0.27
// % wide; a sample goes where the middle of its counter lies.
constexpr int otel_scale = 8;

Json exponential_point(const StageData& stage, Metric metric, Json attributes, const std::string& from,
                       const std::string& to) {
  const Histogram& h = stage[metric];
  const LatencySummary& summary = summary_of(*stage.summary, metric);
  std::map<std::int64_t, std::int64_t> buckets;
  std::int64_t zero = 0;
  for (int i = h.next_index(0); i >= 0; i = h.next_index(i + 1)) {
    const double middle = to_seconds(Histogram::lowest_at(i) + Histogram::highest_at(i)) / 2;
    if (middle <= 0) {
      zero += h.counter(i);
      continue;
    }
    const double exact = std::log2(middle) * std::exp2(otel_scale);
    buckets[static_cast<std::int64_t>(std::ceil(exact)) - 1] += h.counter(i);
  }
  Json counts = Json::array();
  std::int64_t offset = 0;
  if (!buckets.empty()) {
    offset = buckets.begin()->first;
    for (std::int64_t i = offset; i <= buckets.rbegin()->first; ++i) {
      const auto found = buckets.find(i);
      counts.push_back(std::to_string(found == buckets.end() ? 0 : found->second));
    }
  }
  // 64-bit integers are strings in OTLP/JSON.
  return Json{{"attributes", std::move(attributes)},
              {"startTimeUnixNano", from},
              {"timeUnixNano", to},
              {"count", std::to_string(h.count())},
              {"sum", to_seconds(summary.mean) * static_cast<double>(h.count())},
              {"scale", otel_scale},
              {"zeroCount", std::to_string(zero)},
              {"positive", {{"offset", offset}, {"bucketCounts", std::move(counts)}}},
              {"min", to_seconds(summary.min)},
              {"max", to_seconds(summary.max)}};
}

}  // namespace

std::string export_otel(const RunSummary& run, const std::vector<StageData>& stages) {
  constexpr int delta = 1;  // AGGREGATION_TEMPORALITY_DELTA: of this run
  Json metrics = Json::array();
  const auto attributes_of = [](const StageSummary& s) {
    return Json::array({text_attribute("dsbench.stage", s.name),
                        text_attribute("dsbench.stage.index", std::to_string(s.index))});
  };
  // A stage in wall-clock time: its times are since the start of the run.
  const auto from = [&](const StageSummary& s) {
    return std::to_string((run.started_at + s.measure_from).count());
  };
  const auto to = [&](const StageSummary& s) { return std::to_string((run.started_at + s.end).count()); };
  const auto sum = [&](const char* name, const char* unit, const auto& value) {
    Json points = Json::array();
    for (const StageData& s : stages) {
      points.push_back({{"attributes", attributes_of(*s.summary)},
                        {"startTimeUnixNano", from(*s.summary)},
                        {"timeUnixNano", to(*s.summary)},
                        {"asInt", std::to_string(value(s))}});
    }
    metrics.push_back(
        {{"name", name},
         {"unit", unit},
         {"sum",
          {{"dataPoints", std::move(points)}, {"aggregationTemporality", delta}, {"isMonotonic", true}}}});
  };
  sum("dsbench.requests", "{request}", [](const StageData& s) { return s.summary->requests; });
  sum("dsbench.requests.completed", "{request}", [](const StageData& s) { return s.summary->completed; });
  sum("dsbench.requests.good", "{request}", [](const StageData& s) { return s.summary->good; });
  sum("dsbench.attempts", "{attempt}", [](const StageData& s) { return s.summary->attempts; });
  sum("dsbench.tokens.input", "{token}", [](const StageData& s) { return s.prompt.sum; });
  sum("dsbench.tokens.output", "{token}", [](const StageData& s) { return s.output.sum; });
  for (const Metric metric : all_metrics) {
    Json points = Json::array();
    for (const StageData& s : stages)
      points.push_back(
          exponential_point(s, metric, attributes_of(*s.summary), from(*s.summary), to(*s.summary)));
    metrics.push_back(
        {{"name", fmt::format("dsbench.{}", to_word(metric))},
         {"unit", "s"},
         {"exponentialHistogram", {{"dataPoints", std::move(points)}, {"aggregationTemporality", delta}}}});
  }
  Json resource = Json::array(
      {text_attribute("service.name", "dsbench"), text_attribute("service.version", run.dsbench_version),
       text_attribute("dsbench.target", run.target), text_attribute("dsbench.seed", std::to_string(run.seed)),
       text_attribute("dsbench.verdict", to_word(run.verdict))});
  Json j;
  j["resourceMetrics"] = Json::array(
      {{{"resource", {{"attributes", std::move(resource)}}},
        {"scopeMetrics", Json::array({{{"scope", {{"name", "dsbench"}, {"version", run.dsbench_version}}},
                                       {"metrics", std::move(metrics)}}})}}});
  return j.dump(1) + "\n";
}

std::string export_mlflow(const RunSummary& run, const std::vector<StageData>& stages) {
  Json j;
  Json& metrics = j["metrics"] = Json::array();
  const std::int64_t base = run.started_at.count() / 1'000'000;
  for (const StageData& s : stages) {
    const StageSummary& summary = *s.summary;
    const std::int64_t at = base + summary.end.count() / 1'000'000;
    const auto put = [&](const std::string& key, double value) {
      if (!std::isfinite(value)) return;
      metrics.push_back({{"key", key}, {"value", value}, {"timestamp", at}, {"step", summary.index}});
    };
    put("offered_rps", summary.offered.per_second());
    put("completed_rps", summary.completed_rate.per_second());
    put("good_rps", summary.good_rate.per_second());
    put("good_share", summary.good_share);
    put("requests", static_cast<double>(summary.requests));
    put("attempts", static_cast<double>(summary.attempts));
    put("input_tokens", static_cast<double>(s.prompt.sum));
    put("output_tokens", static_cast<double>(s.output.sum));
    for (const Metric metric : all_metrics) {
      const LatencySummary& l = summary_of(summary, metric);
      if (l.count > 0) put(fmt::format("{}_mean_s", to_word(metric)), to_seconds(l.mean));
      for (const auto& p : l.percentiles) {
        if (p.value) put(fmt::format("{}_p{:g}_s", to_word(metric), 100 * p.q), to_seconds(*p.value));
      }
    }
  }
  const auto pair = [](std::string_view key, std::string_view value) {
    return Json{{"key", key}, {"value", value.substr(0, 500)}};  // what MLflow takes of a parameter
  };
  Json& params = j["params"] = Json::array();
  params.push_back(pair("target", run.target));
  params.push_back(pair("target_description", run.target_description));
  params.push_back(pair("seed", std::to_string(run.seed)));
  std::string command;
  for (const std::string& word : run.command) command += (command.empty() ? "" : " ") + word;
  params.push_back(pair("command", command));
  Json& tags = j["tags"] = Json::array();
  tags.push_back(pair("dsbench.verdict", to_word(run.verdict)));
  tags.push_back(pair("dsbench.valid", run.validity == Validity::unknown ? "unknown"
                                       : run.validity == Validity::valid ? "true"
                                                                         : "false"));
  tags.push_back(pair("dsbench.version", run.dsbench_version));
  tags.push_back(pair("dsbench.commit", run.dsbench_commit));
  tags.push_back(pair("mlflow.runName", fmt::format("dsbench {}", format_utc(run.started_at))));
  return j.dump(1) + "\n";
}

}  // namespace dsbench::results
