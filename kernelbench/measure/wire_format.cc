#include "kernelbench/measure/wire_format.h"

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace dsbench::kernelbench {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<WorkerVerb, std::string_view>, 4> verb_words{{{WorkerVerb::hello, "hello"},
                                                                             {WorkerVerb::open, "open"},
                                                                             {WorkerVerb::sample, "sample"},
                                                                             {WorkerVerb::close, "close"}}};

// JSON has no NaN and no infinity: null.
json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}
double number_from(const json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

json from_check(const CheckResult& c) {
  json j{{"passed", c.passed},
         {"what", c.what},
         {"global_diff", number(c.global_diff)},
         {"worst_row_diff", number(c.worst_row_diff)},
         {"worst_element", number(c.worst_element)},
         {"rows_checked", c.rows_checked},
         {"rows", c.rows}};
  if (c.freivalds_sigma) j["freivalds_sigma"] = number(*c.freivalds_sigma);
  return j;
}

CheckResult to_check(const json& j) {
  CheckResult c;
  c.passed = j.at("passed").get<bool>();
  c.what = j.at("what").get<std::string>();
  c.global_diff = number_from(j.at("global_diff"));
  c.worst_row_diff = number_from(j.at("worst_row_diff"));
  c.worst_element = number_from(j.at("worst_element"));
  c.rows_checked = j.at("rows_checked").get<std::int64_t>();
  c.rows = j.at("rows").get<std::int64_t>();
  if (j.contains("freivalds_sigma")) c.freivalds_sigma = number_from(j.at("freivalds_sigma"));
  return c;
}

CellState to_state(std::string_view word) {
  for (const CellState state : {CellState::ok, CellState::incorrect, CellState::throttled,
                                CellState::unsupported, CellState::misbehaved, CellState::skipped}) {
    if (to_word(state) == word) return state;
  }
  return CellState::failed;
}

std::string line_of(const json& j) {
  return j.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// Parses an answer and hands it on; an error that the worker reports becomes ours.
template <class T, class F>
Result<T> read_answer(std::string_view line, F&& f) {
  try {
    const json j = json::parse(line);
    if (j.contains("error")) return fail(ErrorKind::internal, "{}", j.at("error").get<std::string>());
    return f(j);
  } catch (const json::exception& e) {
    return fail(ErrorKind::internal, "the plug-in's process sent what is no answer ({})", e.what());
  }
}

}  // namespace

std::string print_request(const WorkerRequest& request) {
  json j{{"cell", request.cell}, {"kernel", request.kernel}, {"problem", request.problem}};
  for (const auto& [verb, word] : verb_words) {
    if (verb == request.verb) j["verb"] = word;
  }
  return line_of(j);
}

Result<WorkerRequest> parse_request(std::string_view line) {
  try {
    const json j = json::parse(line);
    WorkerRequest request;
    const std::string word = j.at("verb").get<std::string>();
    bool known = false;
    for (const auto& [verb, name] : verb_words) {
      if (name != word) continue;
      request.verb = verb;
      known = true;
    }
    if (!known) return fail(ErrorKind::internal, "no verb '{}'", word);
    request.cell = j.at("cell").get<int>();
    request.kernel = j.at("kernel").get<std::size_t>();
    request.problem = j.at("problem").get<std::string>();
    return request;
  } catch (const json::exception& e) {
    return fail(ErrorKind::internal, "not a request: {}", e.what());
  }
}

std::string print_answer(const std::vector<KernelId>& kernels) {
  json j{{"kernels", json::array()}};
  for (const KernelId& k : kernels) {
    j["kernels"].push_back({{"name", k.name},
                            {"op", k.op},
                            {"author", k.author},
                            {"device", k.device},
                            {"baseline", k.baseline}});
  }
  return line_of(j);
}

std::string print_answer(const OpenReport& report) {
  json j{{"state", to_word(report.state)},     {"why", report.why},
         {"check", from_check(report.check)},  {"flops", number(report.work.flops)},
         {"bytes", number(report.work.bytes)}, {"unit", report.work.unit}};
  if (report.routing) {
    j["routing"] = {report.routing->experts, report.routing->active, report.routing->rows_median,
                    report.routing->rows_max};
  }
  return line_of(j);
}

std::string print_answer(const Stand::Taken& taken) {
  json j{{"state", to_word(taken.state)}, {"why", taken.why}, {"samples", json::array()}};
  for (const Sample& s : taken.samples) j["samples"].push_back({s.seconds, s.clock_hz});
  return line_of(j);
}

std::string print_answer(const Error& error) {
  return line_of(json{{"error", error.message}});
}

Result<std::vector<KernelId>> parse_kernels(std::string_view line) {
  return read_answer<std::vector<KernelId>>(line, [](const json& j) {
    std::vector<KernelId> kernels;
    for (const json& k : j.at("kernels")) {
      kernels.push_back({.name = k.at("name").get<std::string>(),
                         .op = k.at("op").get<std::string>(),
                         .author = k.at("author").get<std::string>(),
                         .device = k.at("device").get<std::string>(),
                         .baseline = k.at("baseline").get<bool>()});
    }
    return kernels;
  });
}

Result<OpenReport> parse_report(std::string_view line) {
  return read_answer<OpenReport>(line, [](const json& j) {
    OpenReport report;
    report.state = to_state(j.at("state").get<std::string>());
    report.why = j.at("why").get<std::string>();
    report.check = to_check(j.at("check"));
    report.work = {.flops = number_from(j.at("flops")),
                   .bytes = number_from(j.at("bytes")),
                   .unit = j.at("unit").get<std::string>()};
    if (j.contains("routing")) {
      const json& r = j.at("routing");
      report.routing =
          RoutingFacts{.experts = r.at(0), .active = r.at(1), .rows_median = r.at(2), .rows_max = r.at(3)};
    }
    return report;
  });
}

Result<Stand::Taken> parse_taken(std::string_view line) {
  return read_answer<Stand::Taken>(line, [](const json& j) {
    Stand::Taken taken;
    taken.state = to_state(j.at("state").get<std::string>());
    taken.why = j.at("why").get<std::string>();
    for (const json& s : j.at("samples")) taken.samples.push_back({.seconds = s.at(0), .clock_hz = s.at(1)});
    return taken;
  });
}

}  // namespace dsbench::kernelbench
