#include "kernelbench/report/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernelbench/report/table.h"
#include "results/gate/judge.h"
#include "results/gate/rank_test.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::size_t kRepetitions = 9;  // below that a rank test over repetitions is not trusted

// What two runs must share. A fact that either run does not know is not compared.
constexpr std::array<std::string_view, 14> key_facts{
    "gpu",      "cpu_model", "kernels", "threads",      "driver",     "cuda_driver",   "cuda_toolkit",
    "compiler", "mode",      "l2",      "cpu_governor", "sm_max_mhz", "power_limit_w", "cgroup_cpu_max"};

std::optional<std::string> fact(const KernelRun& run, std::string_view name) {
  for (const auto& [key, value] : run.facts) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Result<void> check_comparable(const KernelRun& baseline, const KernelRun& candidate,
                              const CompareOptions& options) {
  std::string differing;
  for (const std::string_view key : key_facts) {
    const auto a = fact(baseline, key), b = fact(candidate, key);
    if (!a || !b || *a == *b) continue;
    if (std::find(options.allowed.begin(), options.allowed.end(), key) != options.allowed.end()) continue;
    differing += fmt::format("\n  {}: baseline {}, candidate {}", key, *a, *b);
  }
  if (!differing.empty())
    return fail(ErrorKind::usage,
                "the two results are not comparable; what differs (allow by name with --allow-mismatch):{}",
                differing);
  return {};
}

const CellResult* find_cell(const KernelRun& run, const CellResult& like) {
  for (const CellResult& cell : run.cells) {
    if (cell.name == like.name && cell.kernel.name == like.kernel.name &&
        cell.kernel.device == like.kernel.device)
      return &cell;
  }
  return nullptr;
}

// Whether the candidate, slower by `ratio` > 1 than the other, is so with all the evidence; else what is
// missing.
std::string missing_evidence(const CellResult& faster, const CellResult& slower, double p,
                             const CompareOptions& options) {
  if (faster.stats.p90 >= slower.stats.p10) return "the intervals from p10 to p90 overlap";
  const double a = faster.stats.clock_hz, b = slower.stats.clock_hz;
  if (a > 0 && b > 0 && std::abs(b / a - 1) > 0.005) {
    const double cycles = slower.seconds() * b / (faster.seconds() * a);
    if (cycles < 1 + options.margin)
      return fmt::format("not confirmed in cycles: {:+.1f} %, with the clock {:+.1f} % apart",
                         100 * (cycles - 1), 100 * (b / a - 1));
  }
  if (faster.repetitions_s.size() < kRepetitions || slower.repetitions_s.size() < kRepetitions)
    return fmt::format("{} and {} repetitions; {} of each are needed", faster.repetitions_s.size(),
                       slower.repetitions_s.size(), kRepetitions);
  if (p >= options.alpha) return fmt::format("ranks do not tell them apart: p = {:.3f}", p);
  return {};
}

ChangeRow judge(const CellResult* base, const CellResult& cand, const CompareOptions& options) {
  ChangeRow row{.name = cand.name, .kernel = cand.kernel.name, .why = {}};
  row.cand_s = cand.seconds();
  const auto set = [&row](Change change, std::string why) {
    row.change = change;
    row.why = std::move(why);
    return row;
  };
  if (cand.state == CellState::incorrect) return set(Change::incorrect, cand.why);
  if (cand.state == CellState::throttled) return set(Change::throttled, cand.why);
  if (cand.state != CellState::ok || !cand.timed()) return set(Change::unsupported, cand.why);
  if (base == nullptr) return set(Change::no_baseline, "the baseline does not have this cell");
  if (base->state == CellState::throttled)
    return set(Change::throttled, fmt::format("in the baseline: {}", base->why));
  if (base->state != CellState::ok || !base->timed())
    return set(Change::no_baseline, fmt::format("the baseline has no time for it: {}", to_word(base->state)));
  row.base_s = base->seconds();
  row.ratio = row.base_s > 0 ? row.cand_s / row.base_s : 0;
  row.p = results::gate::mann_whitney(base->repetitions_s, cand.repetitions_s).p;
  const double allowed = std::max({options.margin * row.base_s, 3 * base->stats.mad, options.floor_s});
  const double difference = row.cand_s - row.base_s;
  if (std::abs(difference) <= allowed) return row;
  const bool slower = difference > 0;
  const std::string missing =
      slower ? missing_evidence(*base, cand, row.p, options) : missing_evidence(cand, *base, row.p, options);
  if (!missing.empty()) return set(Change::ambiguous, missing);
  row.change = slower ? Change::slow : Change::fast;
  return row;
}

}  // namespace

std::string_view to_word(Change change) {
  switch (change) {
    case Change::same:
      return "SAME";
    case Change::fast:
      return "FAST";
    case Change::slow:
      return "SLOW";
    case Change::ambiguous:
      return "AMBIGUOUS";
    case Change::throttled:
      return "THROTTLED";
    case Change::incorrect:
      return "INCORRECT";
    case Change::unsupported:
      return "UNSUPPORTED";
    case Change::no_baseline:
      return "NO-BASELINE";
  }
  return "AMBIGUOUS";
}

Result<Comparison> compare(const KernelRun& baseline, const KernelRun& candidate,
                           const CompareOptions& options) {
  DSBENCH_CHECK(check_comparable(baseline, candidate, options));
  Comparison comparison;
  for (const CellResult& cell : candidate.cells) {
    const CellResult* base = find_cell(baseline, cell);
    if (cell.name == kControlName) {
      if (base != nullptr && base->timed() && cell.timed())
        comparison.control = cell.seconds() / base->seconds();
      continue;
    }
    comparison.rows.push_back(judge(base, cell, options));
  }
  if (!comparison.control) {
    comparison.valid = false;
    comparison.why =
        fmt::format("there is no {} in both results to tell whether the machine was the same", kControlName);
  } else if (std::abs(*comparison.control - 1) > options.control_limit) {
    comparison.valid = false;
    comparison.why = fmt::format(
        "{} differs by {:+.1f} %, more than the {:.1f} % that are allowed: the machine was not the same",
        kControlName, 100 * (*comparison.control - 1), 100 * options.control_limit);
  }
  return comparison;
}

std::string render_comparison(const Comparison& comparison) {
  std::string text;
  std::size_t widest = 4, kernel = 6;
  for (const ChangeRow& row : comparison.rows) {
    widest = std::max(widest, row.name.size());
    kernel = std::max(kernel, row.kernel.size());
  }
  text += fmt::format("{:<11}  {:<{}}  {:<{}}  {:>10}  {:>10}  {:>7}\n", "state", "case", widest, "kernel",
                      kernel, "baseline", "candidate", "change");
  for (const ChangeRow& row : comparison.rows) {
    text += fmt::format("{:<11}  {:<{}}  {:<{}}  {:>10}  {:>10}  {:>7}{}{}\n", to_word(row.change), row.name,
                        widest, row.kernel, kernel, row.base_s > 0 ? format_seconds(row.base_s) : "-",
                        row.cand_s > 0 ? format_seconds(row.cand_s) : "-",
                        row.ratio > 0 ? fmt::format("{:+.1f} %", 100 * (row.ratio - 1)) : "-",
                        row.why.empty() ? "" : "  ", row.why);
  }
  if (comparison.control) text += fmt::format("\ncontrol/copy: {:+.2f} %\n", 100 * (*comparison.control - 1));
  if (!comparison.valid) text += fmt::format("INVALID: {}\n", comparison.why);
  return text;
}

std::string print_comparison(const Comparison& comparison) {
  nlohmann::ordered_json j;
  j["schema"] = "dsbench.kernel-comparison/1";
  j["valid"] = comparison.valid;
  if (!comparison.valid) j["why"] = comparison.why;
  if (comparison.control) j["control_ratio"] = *comparison.control;
  j["cells"] = nlohmann::ordered_json::array();
  for (const ChangeRow& row : comparison.rows) {
    nlohmann::ordered_json r{{"name", row.name}, {"kernel", row.kernel}, {"state", to_word(row.change)}};
    if (row.ratio > 0) {
      r["baseline_s"] = row.base_s;
      r["candidate_s"] = row.cand_s;
      r["ratio"] = row.ratio;
      r["p"] = row.p;
    }
    if (!row.why.empty()) r["why"] = row.why;
    j["cells"].push_back(std::move(r));
  }
  return j.dump(2) + "\n";
}

Result<std::vector<RooflineLimit>> parse_min_roofline(std::string_view text, std::string_view source) {
  try {
    const auto j = nlohmann::json::parse(text);
    if (j.value("schema", "") != "dsbench.min-roofline/1")
      return fail(ErrorKind::usage, "{} has no schema \"dsbench.min-roofline/1\"", source);
    std::vector<RooflineLimit> limits;
    for (const auto& entry : j.at("limits")) {
      for (const auto& [key, value] : entry.items()) {
        if (key != "cell" && key != "kernel" && key != "percent")
          return fail(ErrorKind::usage, "{}: unknown key '{}' in a limit; accepted: cell, kernel, percent",
                      source, key);
      }
      RooflineLimit limit{.cell = entry.at("cell").get<std::string>(),
                          .kernel = entry.value("kernel", "*"),
                          .percent = entry.at("percent").get<double>()};
      if (!(limit.percent > 0 && limit.percent <= 100))
        return fail(ErrorKind::usage, "{}: the limit of '{}' is {} percent; accepted: above 0, up to 100",
                    source, limit.cell, limit.percent);
      limits.push_back(std::move(limit));
    }
    return limits;
  } catch (const nlohmann::json::exception& e) {
    return fail(ErrorKind::usage, "{} cannot be read: {}", source, e.what());
  }
}

Result<std::vector<BelowRoofline>> check_min_roofline(const KernelRun& run,
                                                      const std::vector<RooflineLimit>& limits,
                                                      std::string_view source) {
  std::vector<BelowRoofline> below;
  std::vector<bool> used(limits.size(), false);
  for (const CellResult& cell : run.cells) {
    const RooflineLimit* limit = nullptr;
    for (std::size_t i = 0; i < limits.size(); ++i) {
      if (!results::gate::matches(limits[i].cell, cell.name) ||
          !results::gate::matches(limits[i].kernel, cell.kernel.name))
        continue;
      limit = &limits[i];
      used[i] = true;
    }
    // A cell without a time is said elsewhere; a launch-bound one has no roof to be held against.
    if (limit == nullptr || !cell.timed() || !cell.roofline || cell.roofline->bound == "launch") continue;
    const double percent = cell.percent_of_roofline();
    if (percent < limit->percent) below.push_back({cell.name, cell.kernel.name, percent, limit->percent});
  }
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (!used[i])
      return fail(ErrorKind::usage, "{}: the limit for cell '{}', kernel '{}' names nothing in this run",
                  source, limits[i].cell, limits[i].kernel);
  }
  return below;
}

}  // namespace dsbench::kernelbench
