// Google Benchmark's JSON as evidence: one process, one number per benchmark.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "results/gate/evidence.h"
#include "results/gate/evidence_readers.h"
#include "results/gate/rank_test.h"

namespace dsbench::results::gate {
namespace {

using Json = nlohmann::json;

// Facts of one process, or of what is being compared: they differ between runs that may be compared.
constexpr std::array<std::string_view, 17> of_this_process{
    "date",   "host_name",  "executable",     "load_avg",        "mhz_per_cpu", "library_version",
    "commit", "version",    "dsbench_commit", "dsbench_version", "command",     "started_at",
    "sm_mhz", "memory_mhz", "power_w",        "temperature_c",   "aslr_enabled"};

std::optional<double> seconds_per(std::string_view unit) {
  if (unit == "ns") return 1e-9;
  if (unit == "us") return 1e-6;
  if (unit == "ms") return 1e-3;
  if (unit == "s") return 1.0;
  return std::nullopt;
}

struct Series {
  std::string name;
  std::vector<double> repetitions;
  std::optional<double> median;  // of the file, where it has only aggregates
  std::string error;
};

Series& series_of(std::vector<Series>& all, const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Series& s) { return s.name == name; });
  if (found != all.end()) return *found;
  all.push_back({name, {}, std::nullopt, ""});
  return all.back();
}

std::string text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// What `dsbench kernels` keeps beside Google Benchmark's list: every cell, also one that was found incorrect
// and not timed, with the clock it ran at. A baseline's time (cuBLAS) and the control's are told and not
// gated.
Result<Evidence> add_cells(Evidence e, const Json& own) {
  if (const auto stopped = own.find("interrupted"); stopped != own.end() && stopped->is_boolean() && *stopped)
    e.invalid.emplace_back("not a whole run: interrupted");
  for (const Json& cell : own["cells"]) {
    if (!cell.is_object()) continue;
    Measured m;
    const std::string name = text(cell, "name"), kernel = text(cell, "kernel");
    m.metric.name = kernel.empty() ? name : fmt::format("{}/{}", name, kernel);
    m.by_default = text(cell, "role") != "baseline" && !name.starts_with("control/");
    const std::string state = text(cell, "state");
    const auto time = cell.find("time_s"), clock = cell.find("clock_hz");
    if (state != "ok") {
      m.missing = state + (cell.contains("why") ? ": " + text(cell, "why") : "");
    } else if (time == cell.end() || !time->is_number()) {
      m.missing = "not timed";
    } else {
      m.value = time->get<double>();
      if (clock != cell.end() && clock->is_number() && *clock > 0) m.clock_hz = clock->get<double>();
    }
    e.metrics.push_back(std::move(m));
  }
  if (e.metrics.empty()) return fail(ErrorKind::usage, "{}: it has no kernel in it", e.source);
  return e;
}

}  // namespace

bool is_kernel_result(std::string_view content) {
  const Json json = Json::parse(content, nullptr, false);
  return json.is_object() && json.contains("benchmarks") && json["benchmarks"].is_array();
}

Result<Evidence> parse_kernel_evidence(std::string_view content, std::string source) {
  const Json json = Json::parse(content, nullptr, false);
  if (!json.is_object() || !json.contains("benchmarks") || !json["benchmarks"].is_array()) {
    return fail(ErrorKind::usage, "{}: not a result of Google Benchmark: no list of benchmarks in it",
                source);
  }
  Evidence e;
  e.source = std::move(source);
  e.kind = "kernels";
  e.key.emplace_back("kind", "kernels");
  if (const auto context = json.find("context"); context != json.end() && context->is_object()) {
    for (const auto& [name, value] : context->items()) {
      if (std::find(of_this_process.begin(), of_this_process.end(), name) != of_this_process.end()) continue;
      e.key.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  std::vector<Series> all;
  for (const Json& b : json["benchmarks"]) {
    if (!b.is_object()) continue;
    const std::string name = b.contains("run_name") ? text(b, "run_name") : text(b, "name");
    if (name.empty()) continue;
    Series& series = series_of(all, name);
    if (const auto failed = b.find("error_occurred"); failed != b.end() && failed->is_boolean() && *failed) {
      series.error = text(b, "error_message");
      if (series.error.empty()) series.error = "it failed";
      continue;
    }
    const auto time = b.find("real_time");
    if (time == b.end() || !time->is_number()) continue;
    const std::string unit = text(b, "time_unit");
    const auto scale = seconds_per(unit.empty() ? "ns" : unit);
    if (!scale) {
      return fail(ErrorKind::usage, "{}: benchmark {}: time unit '{}'; accepted: ns, us, ms, s", e.source,
                  name, unit);
    }
    const double seconds = time->get<double>() * *scale;
    if (text(b, "run_type") == "aggregate") {
      if (text(b, "aggregate_name") == "median") series.median = seconds;
    } else {
      series.repetitions.push_back(seconds);
    }
  }
  if (const auto own = json.find("dsbench"); own != json.end() && own->is_object() && own->contains("cells"))
    return add_cells(std::move(e), *own);
  if (all.empty()) return fail(ErrorKind::usage, "{}: it has no benchmark in it", e.source);
  for (const Series& s : all) {
    Measured m;
    m.metric = {s.name, Better::lower, Unit::seconds};
    m.by_default = true;
    if (!s.error.empty()) {
      m.missing = s.error;
    } else if (!s.repetitions.empty()) {
      m.value = median_of(s.repetitions);
    } else if (s.median) {
      m.value = s.median;
    } else {
      m.missing = "no repetition and no median";
    }
    e.metrics.push_back(std::move(m));
  }
  return e;
}

}  // namespace dsbench::results::gate
