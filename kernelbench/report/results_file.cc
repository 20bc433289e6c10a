#include "kernelbench/report/results_file.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace dsbench::kernelbench {
namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view kSchema = "dsbench.kernels/1";

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json from_cell(const CellResult& c) {
  json j;
  j["name"] = c.name;
  j["kernel"] = c.kernel.name;
  j["op"] = c.kernel.op;
  j["author"] = c.kernel.author;
  j["device"] = c.kernel.device;
  j["role"] = c.kernel.baseline ? "baseline" : "kernel";
  if (c.name != kControlName) {
    j["label"] = c.problem.label;
    j["problem"] = json::parse(to_json(c.problem));
  }
  j["state"] = to_word(c.state);
  if (!c.why.empty()) j["why"] = c.why;
  j["flops"] = c.work.flops;
  j["bytes"] = c.work.bytes;
  j["unit"] = c.work.unit;
  if (c.timed()) {
    const double t = c.seconds();
    j["time_s"] = t;
    j["p10_s"] = c.stats.p10;
    j["p90_s"] = c.stats.p90;
    j["mad_s"] = c.stats.mad;
    j["samples"] = c.stats.samples;
    j["dropped"] = c.stats.dropped;
    j["repetitions_s"] = c.repetitions_s;
    j["clock_hz"] = c.stats.clock_hz;
    j["cycles"] = t * c.stats.clock_hz;
    if (t > 0) {
      j["tflops"] = c.work.flops / t / 1e12;
      j["gb_per_s"] = c.work.bytes / t / 1e9;
    }
    if (c.roofline) {
      j["roofline"] = {{"seconds", c.roofline->seconds},
                       {"bound", c.roofline->bound},
                       {"percent", c.percent_of_roofline()}};
    }
    if (c.baseline_s)
      j["baseline"] = {{"kernel", c.baseline}, {"time_s", *c.baseline_s}, {"speedup", *c.baseline_s / t}};
  }
  if (c.routing) {
    j["routing"] = {{"experts", c.routing->experts},
                    {"active", c.routing->active},
                    {"rows_median", c.routing->rows_median},
                    {"rows_max", c.routing->rows_max}};
  }
  if (c.check.rows > 0 || !c.check.what.empty()) {
    json check{{"passed", c.check.passed},
               {"again_after_timing", c.checked_again},
               {"global_diff", number(c.check.global_diff)},
               {"worst_row_diff", number(c.check.worst_row_diff)},
               {"worst_element", number(c.check.worst_element)},
               {"rows_checked", c.check.rows_checked},
               {"rows", c.check.rows}};
    if (c.check.freivalds_sigma) check["freivalds_sigma"] = number(*c.check.freivalds_sigma);
    j["check"] = std::move(check);
  }
  return j;
}

CellState state_from(std::string_view word) {
  for (const CellState s : {CellState::ok, CellState::incorrect, CellState::throttled, CellState::unsupported,
                            CellState::misbehaved, CellState::skipped}) {
    if (to_word(s) == word) return s;
  }
  return CellState::failed;
}

Result<CellResult> to_cell(const json& j) {
  CellResult c;
  c.name = j.at("name").get<std::string>();
  c.kernel = {.name = j.at("kernel").get<std::string>(),
              .op = j.at("op").get<std::string>(),
              .author = j.value("author", ""),
              .device = j.at("device").get<std::string>(),
              .baseline = j.at("role") == "baseline"};
  if (j.contains("problem")) {
    DSBENCH_TRY(c.problem, problem_from_json(j.at("problem").dump()));
    c.problem.label = j.value("label", "");
  }
  c.state = state_from(j.at("state").get<std::string>());
  c.why = j.value("why", "");
  c.work = {.flops = j.at("flops").get<double>(),
            .bytes = j.at("bytes").get<double>(),
            .unit = j.at("unit").get<std::string>()};
  if (j.contains("repetitions_s")) {
    c.repetitions_s = j.at("repetitions_s").get<std::vector<double>>();
    c.stats.median = j.at("time_s").get<double>();
    c.stats.p10 = j.at("p10_s").get<double>();
    c.stats.p90 = j.at("p90_s").get<double>();
    c.stats.mad = j.at("mad_s").get<double>();
    c.stats.samples = j.at("samples").get<std::int64_t>();
    c.stats.dropped = j.at("dropped").get<std::int64_t>();
    c.stats.clock_hz = j.at("clock_hz").get<double>();
  }
  if (j.contains("roofline")) {
    c.roofline = Roofline{.seconds = j["roofline"].at("seconds").get<double>(),
                          .bound = j["roofline"].at("bound").get<std::string>()};
  }
  if (j.contains("baseline")) {
    c.baseline = j["baseline"].at("kernel").get<std::string>();
    c.baseline_s = j["baseline"].at("time_s").get<double>();
  }
  if (j.contains("routing")) {
    const json& r = j["routing"];
    c.routing = RoutingFacts{.experts = r.at("experts"),
                             .active = r.at("active"),
                             .rows_median = r.at("rows_median"),
                             .rows_max = r.at("rows_max")};
  }
  if (j.contains("check")) {
    const json& k = j["check"];
    c.check.passed = k.at("passed").get<bool>();
    c.checked_again = k.at("again_after_timing").get<bool>();
    c.check.rows = k.at("rows").get<std::int64_t>();
    c.check.rows_checked = k.at("rows_checked").get<std::int64_t>();
    const auto read = [&k](const char* key) {
      return k.at(key).is_number() ? k.at(key).get<double>() : std::nan("");
    };
    c.check.global_diff = read("global_diff");
    c.check.worst_row_diff = read("worst_row_diff");
    c.check.worst_element = read("worst_element");
    if (k.contains("freivalds_sigma")) c.check.freivalds_sigma = read("freivalds_sigma");
  }
  return c;
}

// Google Benchmark writes the aggregates of what was never timed as NaN, which is not JSON.
json parse_google(std::string_view text) {
  std::string clean{text};
  for (const std::string_view word : {": -NaN", ": NaN", ": -Infinity", ": Infinity"}) {
    for (std::size_t at = clean.find(word); at != std::string::npos; at = clean.find(word, at))
      clean.replace(at, word.size(), ": null");
  }
  return json::parse(clean);
}

}  // namespace

std::string print_results(const KernelRun& run, std::string_view google_json) {
  json document;
  if (google_json.empty()) {
    document["context"] = json::object();
    document["benchmarks"] = json::array();
  } else {
    document = parse_google(google_json);
  }
  // No host name in a result; compare.py does not need one.
  document["context"].erase("host_name");
  document["context"]["executable"] = "dsbench";
  document["context"]["dsbench_schema"] = kSchema;
  json& d = document["dsbench"];
  d["schema"] = kSchema;
  d["interrupted"] = run.interrupted;
  for (const auto& [key, value] : run.facts) d["facts"][key] = value;
  json& c = d["ceilings"];
  c["copy_bytes_per_s"] = run.ceilings.copy_bytes_per_s;
  c["read_bytes_per_s"] = run.ceilings.read_bytes_per_s;
  c["launch_floor_s"] = run.ceilings.launch_floor_s;
  c["peaks"] = json::array();
  for (const Ceilings::Peak& p : run.ceilings.peaks)
    c["peaks"].push_back({{"unit", p.unit}, {"flops_per_s", p.flops_per_s}, {"measured_by", p.measured_by}});
  d["cells"] = json::array();
  for (const CellResult& cell : run.cells) d["cells"].push_back(from_cell(cell));
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<KernelRun> parse_results(std::string_view text, std::string_view source) {
  try {
    const json document = json::parse(text);
    if (!document.contains("dsbench"))
      return fail(ErrorKind::usage, "{} is no result of dsbench kernels: it has no \"dsbench\" (schema {})",
                  source, kSchema);
    const json& d = document.at("dsbench");
    if (d.at("schema") != kSchema)
      return fail(ErrorKind::usage, "{} has schema {}; accepted: {}", source, d.at("schema").dump(), kSchema);
    KernelRun run;
    run.interrupted = d.at("interrupted").get<bool>();
    if (d.contains("facts")) {
      for (const auto& [key, value] : d.at("facts").items())
        run.facts.emplace_back(key, value.get<std::string>());
    }
    const json& c = d.at("ceilings");
    run.ceilings.copy_bytes_per_s = c.at("copy_bytes_per_s").get<double>();
    run.ceilings.read_bytes_per_s = c.at("read_bytes_per_s").get<double>();
    run.ceilings.launch_floor_s = c.at("launch_floor_s").get<double>();
    for (const json& p : c.at("peaks"))
      run.ceilings.peaks.push_back({p.at("unit").get<std::string>(), p.at("flops_per_s").get<double>(),
                                    p.at("measured_by").get<std::string>()});
    for (const json& cell : d.at("cells")) {
      DSBENCH_TRY(CellResult result, to_cell(cell));
      run.cells.push_back(std::move(result));
    }
    return run;
  } catch (const json::exception& e) {
    return fail(ErrorKind::usage, "{} cannot be read as a result of dsbench kernels: {}", source, e.what());
  }
}

}  // namespace dsbench::kernelbench
