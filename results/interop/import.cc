#include "results/interop/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/files.h"
#include "results/run_directory.h"
#include "results/run_file.h"
#include "results/statistics.h"
#include "results/verdicts/step_verdict.h"

namespace dsbench::results {
namespace {

using Json = nlohmann::json;

constexpr std::string_view accepted =
    "accepted: run.json of dsbench, the JSON of vllm bench serve, the JSON lines of SGLang's bench_serving, "
    "AIPerf's profile_export_aiperf.json, GuideLLM's JSON report";

// Beyond these a number is no count and no time of a benchmark, and must not become undefined behaviour.
constexpr double most_counted = 1e15;
constexpr double most_seconds = 1e8;

// A number somewhere below `json`, or nothing.
std::optional<double> number_at(const Json& json, std::initializer_list<const char*> path) {
  const Json* at = &json;
  for (const char* key : path) {
    if (!at->is_object() || !at->contains(key)) return std::nullopt;
    at = &(*at)[key];
  }
  if (!at->is_number()) return std::nullopt;
  const auto n = at->get<double>();
  return std::isfinite(n) ? std::optional{n} : std::nullopt;
}
std::string text_at(const Json& json, const char* key) {
  return json.is_object() && json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}
std::int64_t whole(std::optional<double> n) {
  return n ? static_cast<std::int64_t>(std::llround(std::clamp(*n, 0.0, most_counted))) : 0;
}

constexpr std::array<double, 5> quantiles{0.5, 0.9, 0.95, 0.99, 0.999};

// A latency as a file gives it: its statistics, by name, in one unit.
template <class Find>
LatencySummary latency(std::int64_t samples, double unit_s, const Find& find) {
  LatencySummary l;
  const auto time = [&](const char* name) -> std::optional<Nanos> {
    const std::optional<double> n = find(name);
    return n ? std::optional{from_seconds(std::clamp(*n * unit_s, 0.0, most_seconds))} : std::nullopt;
  };
  static constexpr std::array<const char*, 5> names{"p50", "p90", "p95", "p99", "p99.9"};
  bool any = false;
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    LatencySummary::Percentile p{quantiles[i], samples_needed(quantiles[i]), time(names[i]), false};
    any = any || p.value.has_value();
    if (samples < p.needs) p.value.reset();
    if (p.value || samples < p.needs) l.percentiles.push_back(p);
  }
  const auto mean = time("mean"), least = time("min"), most = time("max");
  any = any || mean.has_value();
  if (!any) return {};  // the file has none of it
  l.count = samples;
  l.mean = mean.value_or(Nanos{0});
  l.min = least.value_or(Nanos{0});
  l.max = most.value_or(Nanos{0});
  return l;
}

struct Counts {
  std::string name;
  double duration_s = 0;
  std::optional<double> rate;  // that was asked for
  std::int64_t requests = 0, completed = 0, output_tokens = 0;
  std::optional<double> goodput;  // good requests a second
};

StageSummary stage_of(const Counts& c, std::uint32_t index) {
  StageSummary s;
  s.index = index;
  s.name = c.name;
  s.end = from_seconds(std::clamp(c.duration_s, 0.0, most_seconds));
  s.requests = s.attempts = s.delivered = std::max(c.requests, c.completed);
  s.completed = c.completed;
  s.good = c.goodput ? std::min(s.completed, whole(*c.goodput * std::max(c.duration_s, 0.0))) : s.completed;
  s.requests_by_reason[static_cast<std::size_t>(Reason::ok)] = s.completed;
  s.attempts_by_reason[static_cast<std::size_t>(Reason::ok)] = s.completed;
  s.output_tokens = c.output_tokens;
  const auto rate = [&](std::int64_t n) {
    return Rate::per_second(c.duration_s > 0 ? static_cast<double>(n) / c.duration_s : 0);
  };
  s.offered = s.delivered_rate = rate(s.requests);
  s.completed_rate = rate(s.completed);
  s.good_rate = rate(s.good);
  s.planned = c.rate ? Rate::per_second(*c.rate) : s.offered;
  const ShareJudgement share = judge_step(s.good, s.requests);
  s.good_share = share.share;
  s.good_share_lower = share.lower;
  s.good_share_upper = share.upper;
  s.verdict = share.verdict;
  return s;
}

// `due_e2e` counts from when the request should have left, and `lag` is what it waited until it did: newer
// versions of the tools tell both.
void put(StageSummary& s, LatencySummary ttft, LatencySummary tpot, LatencySummary itl, LatencySummary e2e,
         LatencySummary due_e2e, LatencySummary lag) {
  s.ttft = s.ttft_service = std::move(ttft);
  s.tpot = std::move(tpot);
  s.itl = std::move(itl);
  s.e2e_service = std::move(e2e);
  s.e2e = due_e2e.count > 0 ? std::move(due_e2e) : s.e2e_service;
  s.send_lag = std::move(lag);
}

// ---- one tool each

// Flat keys: {mean,median,p99}_{ttft,tpot,itl}_ms, and the whole under `e2e` ("e2el", "e2e_latency").
StageSummary flat_stage(const Json& json, const char* e2e, std::uint32_t index) {
  Counts c;
  c.duration_s = number_at(json, {"duration"}).value_or(0);
  c.completed = whole(number_at(json, {"completed"}));
  c.requests = c.completed + whole(number_at(json, {"failed"}));
  c.requests = std::max(c.requests, whole(number_at(json, {"num_prompts"})));
  if (json.contains("errors") && json["errors"].is_array()) {
    const auto& errors = json["errors"];
    const auto failed = std::count_if(errors.begin(), errors.end(), [](const Json& e) {
      return e.is_string() && !e.get_ref<const std::string&>().empty();
    });
    c.requests = std::max(c.requests, c.completed + static_cast<std::int64_t>(failed));
  }
  c.output_tokens = whole(number_at(json, {"total_output_tokens"}));
  c.rate = number_at(json, {"request_rate"});
  c.goodput = number_at(json, {"request_goodput"});
  const auto concurrency = number_at(json, {"max_concurrency"});
  c.name = c.rate        ? fmt::format("{:g}/s", *c.rate)
           : concurrency ? fmt::format("{:g} at once", *concurrency)
                         : "all at once";
  StageSummary s = stage_of(c, index);
  const auto metric = [&](const std::string& name, std::int64_t samples) {
    return latency(samples, 1e-3, [&](std::string_view statistic) {
      std::string key{statistic == "p50" ? "median" : statistic};
      return number_at(json, {fmt::format("{}_{}_ms", key, name).c_str()});
    });
  };
  put(s, metric("ttft", c.completed), metric("tpot", c.completed),
      metric("itl", std::max(c.completed, c.output_tokens - c.completed)), metric(e2e, c.completed),
      metric("e2el_including_client_queue", c.completed), metric("client_queue_time", c.completed));
  return s;
}

// Every metric an object {unit, avg, min, max, p1 … p99, std}.
StageSummary aiperf_stage(const Json& json) {
  Counts c;
  c.name = "profiling";
  c.completed = whole(number_at(json, {"request_count", "avg"}));
  c.requests = c.completed + whole(number_at(json, {"error_request_count", "avg"}));
  c.duration_s = number_at(json, {"benchmark_duration", "avg"}).value_or(0);
  const auto throughput = number_at(json, {"request_throughput", "avg"});
  if (!(c.duration_s > 0) && throughput && *throughput > 0)
    c.duration_s = static_cast<double>(c.completed) / *throughput;
  const auto tokens = number_at(json, {"total_osl", "avg"});
  c.output_tokens = tokens ? whole(*tokens) : whole(number_at(json, {"output_sequence_length", "sum"}));
  c.goodput = number_at(json, {"goodput", "avg"});
  if (json.contains("input_config") && json["input_config"].is_object() &&
      json["input_config"].contains("phases") && json["input_config"]["phases"].is_array()) {
    for (const Json& phase : json["input_config"]["phases"]) {
      if (text_at(phase, "kind") == "profiling") c.rate = number_at(phase, {"rate"});
    }
  }
  StageSummary s = stage_of(c, 0);
  const auto metric = [&](const char* tag) {
    if (!json.contains(tag) || !json[tag].is_object()) return LatencySummary{};
    const Json& m = json[tag];
    const std::string unit = text_at(m, "unit");
    const double unit_s = unit == "s" || unit == "sec" ? 1 : unit == "us" ? 1e-6 : unit == "ns" ? 1e-9 : 1e-3;
    const auto own = number_at(m, {"count"});
    return latency(own ? whole(*own) : c.completed, unit_s, [&](std::string_view statistic) {
      const std::string key{statistic == "mean" ? "avg" : statistic};
      return number_at(m, {key.c_str()});
    });
  };
  // Their inter-token latency is that of a request, (last − first token) ÷ (n − 1): our TPOT.
  put(s, metric("time_to_first_token"), metric("inter_token_latency"), metric("inter_chunk_latency"),
      metric("request_latency"), metric("effective_latency"), metric("credit_to_start_latency"));
  return s;
}

StageSummary guidellm_stage(const Json& benchmark, std::uint32_t index) {
  const Json none = Json::object();
  const Json& metrics = benchmark.contains("metrics") ? benchmark["metrics"] : none;
  Counts c;
  c.completed = whole(number_at(metrics, {"request_totals", "successful"}));
  c.requests = std::max(whole(number_at(metrics, {"request_totals", "total"})),
                        c.completed + whole(number_at(metrics, {"request_totals", "errored"})));
  c.duration_s = number_at(benchmark, {"duration"}).value_or(0);
  const auto started = number_at(benchmark, {"start_time"}), ended = number_at(benchmark, {"end_time"});
  if (!(c.duration_s > 0) && started && ended) c.duration_s = *ended - *started;
  c.output_tokens = whole(number_at(metrics, {"output_token_count", "successful", "total_sum"}));
  c.rate = number_at(benchmark, {"config", "strategy", "rate"});
  std::string strategy;
  if (benchmark.contains("config") && benchmark["config"].contains("strategy"))
    strategy = text_at(benchmark["config"]["strategy"], "type_");
  c.name = c.rate && *c.rate > 0 ? fmt::format("{} {:.4g}/s", strategy.empty() ? "rate" : strategy, *c.rate)
           : strategy.empty()    ? fmt::format("benchmark {}", index)
                                 : strategy;
  StageSummary s = stage_of(c, index);
  const auto metric = [&](const char* key, double unit_s) {
    if (!metrics.contains(key) || !metrics[key].contains("successful")) return LatencySummary{};
    const Json& m = metrics[key]["successful"];
    return latency(c.completed, unit_s, [&](std::string_view statistic) -> std::optional<double> {
      const std::string name{statistic == "p99.9" ? "p999" : statistic};
      if (statistic == "p50") {
        if (const auto median = number_at(m, {"median"})) return median;
      }
      if (const auto direct = number_at(m, {name.c_str()})) return direct;
      return number_at(m, {"percentiles", name.c_str()});
    });
  };
  // What they call inter-token latency is that of a request, weighted by its tokens; gaps between chunks are
  // not in the file.
  put(s, metric("time_to_first_token_ms", 1e-3), metric("inter_token_latency_ms", 1e-3), {},
      metric("request_latency", 1), metric("request_scheduled_latency", 1),
      metric("request_dispatch_delay", 1));
  s.ntpot = metric("time_per_output_token_ms", 1e-3);
  return s;
}

// ---- which of them it is

std::vector<Json> lines_of(std::string_view text) {
  std::vector<Json> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return {};
    lines.push_back(std::move(json));
  }
  return lines;
}

bool is_sglang(const Json& json) {
  return json.is_object() && json.contains("mean_e2e_latency_ms") && json.contains("request_throughput");
}
bool is_vllm(const Json& json) {
  return json.is_object() && json.contains("mean_ttft_ms") && json.contains("request_throughput") &&
         json.contains("completed");
}
bool is_aiperf(const Json& json) {
  return (json.is_object() && json.contains("aiperf_version") && json.contains("request_count")) ||
         number_at(json, {"request_throughput", "avg"}).has_value();
}
bool is_guidellm(const Json& json) {
  return json.is_object() && json.contains("benchmarks") && json["benchmarks"].is_array() &&
         !json["benchmarks"].empty() && json["benchmarks"].front().is_object() &&
         json["benchmarks"].front().contains("metrics");
}

}  // namespace

Result<RunSummary> import_result(std::string_view text, std::string_view source) {
  const Json json = Json::parse(text, nullptr, false);
  const std::vector<Json> lines = json.is_discarded() ? lines_of(text) : std::vector<Json>{json};
  RunSummary run;
  run.validity = Validity::unknown;
  std::string tool;
  if (!lines.empty() && std::all_of(lines.begin(), lines.end(), is_sglang)) {
    tool = "SGLang's bench_serving";
    for (const Json& line : lines)
      run.stages.push_back(flat_stage(line, "e2e_latency", static_cast<std::uint32_t>(run.stages.size())));
    run.target_description = text_at(lines.front(), "backend");
  } else if (is_aiperf(json)) {
    tool = fmt::format("AIPerf {}", text_at(json, "aiperf_version"));
    run.stages.push_back(aiperf_stage(json));
    if (json.contains("was_cancelled") && json["was_cancelled"].is_boolean() &&
        json["was_cancelled"].get<bool>())
      run.ended = "cancelled";
  } else if (is_guidellm(json)) {
    tool = "GuideLLM";
    if (json.contains("metadata")) tool += " " + text_at(json["metadata"], "guidellm_version");
    for (const Json& benchmark : json["benchmarks"])
      run.stages.push_back(guidellm_stage(benchmark, static_cast<std::uint32_t>(run.stages.size())));
  } else if (!lines.empty() && std::all_of(lines.begin(), lines.end(), is_vllm)) {
    tool = "vllm bench serve";  // with --append-result a line a run
    for (const Json& line : lines)
      run.stages.push_back(flat_stage(line, "e2el", static_cast<std::uint32_t>(run.stages.size())));
    run.target_description = text_at(lines.front(), "model_id");
  } else {
    std::string keys;
    if (json.is_object()) {
      for (const auto& [key, value] : json.items()) {
        if (keys.size() > 80) break;
        keys += (keys.empty() ? "its keys are " : ", ") + key;
      }
    }
    return fail(ErrorKind::usage, "'{}' is no result that is known here ({}); {}", source,
                !keys.empty()         ? keys
                : json.is_discarded() ? "it is no JSON"
                                      : "it is no JSON object",
                accepted);
  }
  while (tool.ends_with(' ')) tool.pop_back();
  // One after the other, so that a stage has a place in time, which the files do not tell.
  Nanos at{0};
  for (StageSummary& s : run.stages) {
    s.start += at;
    s.measure_from += at;
    s.end += at;
    at = s.end;
    run.requests += s.requests;
    run.attempts += s.attempts;
  }
  run.duration = at;
  run.kind = imported_kind;
  run.target = tool;
  run.sentence =
      fmt::format("Read from a result of {}; whether its generator was fit to measure is not known.", tool);
  run.dsbench_version = tool;
  const bool knows_due = std::all_of(run.stages.begin(), run.stages.end(),
                                     [](const StageSummary& s) { return s.send_lag.count > 0; });
  run.warnings.push_back(
      knows_due
          ? fmt::format(
                "{} tells E2E from when a request should have left and TTFT from when it was sent; failed "
                "requests are left out of its percentiles",
                tool)
          : fmt::format(
                "{} counts latencies from when a request was sent: what a request waited before that is not "
                "in them, and failed requests are left out of its percentiles",
                tool));
  return run;
}

Result<RunSummary> read_any_run(const std::filesystem::path& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec) || !std::filesystem::exists(path, ec)) {
    DSBENCH_TRY(const auto directory, find_run_directory(path));
    return read_run(directory.run_json());
  }
  DSBENCH_TRY(const std::string text, read_file(path));
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_object() && text_at(json, "schema").starts_with("dsbench."))
    return parse_run(text, path.string());
  return import_result(text, path.string());
}

}  // namespace dsbench::results
