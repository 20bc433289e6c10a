// The formats of one stage: what vLLM's benchmark saves, and llm-d's Benchmark Report 0.2.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/text.h"
#include "results/interop/stage_data.h"

namespace dsbench::results {
namespace {

using Json = nlohmann::ordered_json;

// "model tiny, context 4096 tokens": what the target was asked for.
std::string model_of(const RunSummary& run) {
  std::string_view text = run.target_description;
  const std::size_t at = text.find("model ");
  if (at == std::string_view::npos) return run.target;
  text.remove_prefix(at + 6);
  return std::string{text.substr(0, text.find_first_of(",;"))};
}

double ms(double seconds) {
  return seconds * 1e3;
}

}  // namespace

std::string export_vllm(const RunSummary& run, const StageData& stage) {
  const StageSummary& s = *stage.summary;
  const double seconds = stage.seconds();
  const auto per_second = [&](std::int64_t n) { return seconds > 0 ? static_cast<double>(n) / seconds : 0; };
  Json j;
  j["date"] = format_utc(run.started_at);
  j["backend"] = "dsbench";
  j["endpoint_type"] = "dsbench";
  j["model_id"] = model_of(run);
  j["tokenizer_id"] = model_of(run);
  j["num_prompts"] = s.requests;
  j["request_rate"] = s.planned.per_second();
  j["max_concurrency"] = nullptr;  // an open loop has none
  j["duration"] = seconds;
  j["completed"] = s.completed;
  j["failed"] = s.requests - s.completed;
  j["total_input_tokens"] = stage.prompt.sum;
  j["total_output_tokens"] = stage.output.sum;
  j["request_throughput"] = s.completed_rate.per_second();
  j["request_goodput"] = s.good_rate.per_second();
  j["output_throughput"] = per_second(stage.output.sum);
  j["total_token_throughput"] = per_second(stage.prompt.sum + stage.output.sum);
  j["max_concurrent_requests"] = stage.most_in_flight;
  const std::array<std::pair<const char*, Metric>, 4> metrics{
      {{"ttft", Metric::ttft}, {"tpot", Metric::tpot}, {"itl", Metric::itl}, {"e2el", Metric::e2e}}};
  for (const auto& [name, metric] : metrics) {
    const Histogram& h = stage[metric];
    const auto key = [&](const char* statistic) { return fmt::format("{}_{}_ms", statistic, name); };
    j[key("mean")] = ms(to_seconds(summary_of(s, metric).mean));
    j[key("median")] = h.count() > 0 ? ms(to_seconds(*h.quantile(0.5))) : 0;
    j[key("std")] = ms(standard_deviation(h));
    for (const auto& [statistic, q] : std::array<std::pair<const char*, double>, 7>{{{"p25", 0.25},
                                                                                     {"p50", 0.5},
                                                                                     {"p75", 0.75},
                                                                                     {"p90", 0.9},
                                                                                     {"p95", 0.95},
                                                                                     {"p99", 0.99},
                                                                                     {"p99.9", 0.999}}})
      j[key(statistic)] = h.count() > 0 ? ms(to_seconds(*h.quantile(q))) : 0;
  }
  j["dsbench"] = {
      {"version", run.dsbench_version},
      {"commit", run.dsbench_commit},
      {"seed", run.seed},
      {"stage", s.name},
      {"verdict", to_word(run.verdict)},
      {"valid", run.validity == Validity::unknown ? Json(nullptr) : Json(run.validity == Validity::valid)},
      {"latency_origin", "due"},
      {"simulated", run.simulated}};
  return j.dump(2) + "\n";
}

namespace {

Json statistics(const Histogram& h, const LatencySummary& summary, const char* units) {
  const auto at = [&](double q) { return to_seconds(*h.quantile(q)); };
  return Json{{"units", units},
              {"mean", to_seconds(summary.mean)},
              {"stddev", standard_deviation(h)},
              {"min", to_seconds(summary.min)},
              {"p0p1", at(0.001)},
              {"p1", at(0.01)},
              {"p5", at(0.05)},
              {"p10", at(0.1)},
              {"p25", at(0.25)},
              {"p50", at(0.5)},
              {"p75", at(0.75)},
              {"p90", at(0.9)},
              {"p95", at(0.95)},
              {"p99", at(0.99)},
              {"p99p9", at(0.999)},
              {"max", to_seconds(summary.max)}};
}

Json tokens(const TokenStatistics& t) {
  return Json{{"units", "count"}, {"mean", t.mean()}, {"min", t.least}, {"max", t.most}};
}

}  // namespace

std::string export_llmd(const RunSummary& run, const StageData& stage) {
  const StageSummary& s = *stage.summary;
  const double seconds = stage.seconds();
  const auto rate = [&](double n, const char* units) {
    return Json{{"units", units}, {"mean", seconds > 0 ? n / seconds : 0}};
  };
  Json j;
  j["version"] = "0.2";
  Json& about = j["run"];
  about["uid"] = fmt::format("dsbench-{}-{}-{}", run.started_at.count(), run.seed, s.index);
  about["eid"] = fmt::format("dsbench-{}-{}", run.started_at.count(), run.seed);
  about["time"] = {{"start", format_utc(run.started_at)},
                   {"end", format_utc(run.ended_at)},
                   {"duration", fmt::format("PT{:.3f}S", seconds)}};
  about["description"] = fmt::format("stage '{}' of a run at {}: {}", s.name, run.target, run.sentence);
  Json load;
  load["metadata"] = {{"schema_version", "0.0.1"}, {"description", s.name}};
  Json& standard = load["standardized"];
  standard["tool"] = "dsbench";
  standard["tool_version"] = run.dsbench_version;
  standard["source"] = "random";
  standard["stage"] = s.index;
  standard["input_seq_len"] = {{"distribution", stage.prompt.least == stage.prompt.most ? "fixed" : "other"},
                               {"value", std::max(stage.prompt.mean(), 1.0)}};
  if (s.planned.per_second() > 0) standard["rate_qps"] = s.planned.per_second();
  load["native"] = {
      {"args", {{"command", run.command}}},
      {"config", Json::parse(run.profile_json.empty() ? "null" : run.profile_json, nullptr, false)}};
  if (load["native"]["config"].is_discarded()) load["native"]["config"] = nullptr;
  j["scenario"]["load"] = std::move(load);

  Json aggregate;
  const auto interrupted = s.requests_by_reason[static_cast<std::size_t>(Reason::interrupted)];
  aggregate["requests"] = {{"total", s.requests},
                           {"failures", s.requests - s.completed - interrupted},
                           {"incomplete", interrupted}};
  if (stage.prompt.count > 0) {
    aggregate["requests"]["input_length"] = tokens(stage.prompt);
    aggregate["requests"]["output_length"] = tokens(stage.output);
  }
  struct Wanted {
    const char* key;
    Metric metric;
    const char* units;
  };
  Json latency = Json::object();
  for (const Wanted& w :
       {Wanted{"time_to_first_token", Metric::ttft, "s"},
        Wanted{"normalized_time_per_output_token", Metric::ntpot, "s/token"},
        Wanted{"time_per_output_token", Metric::tpot, "s/token"},
        Wanted{"inter_token_latency", Metric::itl, "s/token"}, Wanted{"request_latency", Metric::e2e, "s"}}) {
    if (stage[w.metric].count() > 0)
      latency[w.key] = statistics(stage[w.metric], summary_of(s, w.metric), w.units);
  }
  aggregate["latency"] = std::move(latency);
  aggregate["throughput"] = {
      {"input_token_rate", rate(static_cast<double>(stage.prompt.sum), "tokens/s")},
      {"output_token_rate", rate(static_cast<double>(stage.output.sum), "tokens/s")},
      {"total_token_rate", rate(static_cast<double>(stage.prompt.sum + stage.output.sum), "tokens/s")},
      {"request_rate", rate(static_cast<double>(s.completed), "queries/s")}};
  j["results"]["request_performance"]["aggregate"] = std::move(aggregate);
  return j.dump(2) + "\n";
}

}  // namespace dsbench::results
