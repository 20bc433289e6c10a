#include "cli/guard_flags.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <variant>

#include "results/verdicts/overall_verdict.h"
#include "results/verdicts/windowed_threshold.h"

namespace dsbench::cli {
namespace {

void add_price(CLI::App& verb, const char* flag, double& value, const char* help) {
  verb.add_option(flag, value, help)
      ->check(CLI::NonNegativeNumber)
      ->type_name("MONEY")
      ->capture_default_str();
}

// What a rehearsal does on purpose, or guards against by itself.
bool makes_sense_in_rehearsals(const loadgen::GuardRule& rule) {
  return std::holds_alternative<loadgen::RefusedRule>(rule) ||
         std::holds_alternative<loadgen::TokensRule>(rule) || std::holds_alternative<loadgen::CostRule>(rule);
}

}  // namespace

void add_guard_flags(CLI::App& verb, GuardFlags& flags, GuardedVerb which) {
  const bool load = which == GuardedVerb::load;
  const std::string group = "Guards and requirements";
  verb.add_option("--stop", flags.stop_rules,
                  load ? "end early when one of these trips: burn(14.4,60s,5s) collapse(10s) failed(10%,10s) "
                         "refused(20) tokens(5000000) cost(10) generator(10s)"
                       : "end early when one of these trips: refused(20) tokens(5000000) cost(10); the "
                         "others would end "
                         "it at the overload that it makes on purpose")
      ->type_name("RULES")
      ->default_str("none")
      ->group(group);
  if (load) {
    verb.add_option("--objective", flags.objective,
                    "share of good requests that is promised; the rest is burn's error budget")
        ->check(CLI::Range(0.5, 0.99999))
        ->type_name("SHARE")
        ->capture_default_str()
        ->group(group);
  }
  verb.add_option(
          "--require", flags.requirements,
          load ? "what each stage must meet, as in 'p95 ttft < 2s', 'good_share >= 99%', 'climb: good_rate > "
                 "40/s' or, in every window, 'p99 ttft < 500ms over 60s'; no data is a failure; may be "
                 "repeated"
               : "what a stage must meet, as in 'recovery: p95 ttft < 2s' or 'recovery: good_share >= 99% "
                 "over "
                 "5s'; no data is a failure; may be repeated")
      ->type_name("REQUIREMENT")
      ->default_str("none")
      ->group(group);
  add_price(verb, "--price-input", flags.prices.input, "for a million input tokens");
  add_price(verb, "--price-cached", flags.prices.cached_input,
            "for a million input tokens that the server had cached");
  add_price(verb, "--price-output", flags.prices.output, "for a million output tokens");
}

Result<loadgen::GuardConfig> guards_of(const GuardFlags& flags, GuardedVerb which) {
  loadgen::GuardConfig config;
  config.objective = flags.objective;
  config.prices = flags.prices;
  for (const std::string& text : flags.stop_rules) {
    DSBENCH_TRY(const auto rules, loadgen::parse_guards(text));
    for (const loadgen::GuardRule& rule : rules) {
      if (which == GuardedVerb::rehearse && !makes_sense_in_rehearsals(rule)) {
        return fail(ErrorKind::usage,
                    "--stop '{}' makes no sense in a rehearsal, which overloads the target on purpose and "
                    "watches its generator by itself; accepted: refused, tokens, cost",
                    loadgen::print_guard(rule));
      }
      config.rules.push_back(rule);
    }
  }
  return config;
}

Result<std::vector<results::Threshold>> requirements_of(const GuardFlags& flags, GuardedVerb which) {
  std::vector<results::Threshold> thresholds;
  for (const std::string& text : flags.requirements) {
    DSBENCH_TRY(auto threshold, results::parse_threshold(text));
    if (which == GuardedVerb::rehearse && threshold.stage.empty()) {
      return fail(ErrorKind::usage,
                  "requirement '{}' names no stage, and a rehearsal overloads the target in some on purpose; "
                  "write which, as in 'recovery: {}' (probe, step, hold, down, recovery)",
                  text, text);
    }
    thresholds.push_back(std::move(threshold));
  }
  return thresholds;
}

Result<void> judge_requirements(const std::vector<results::Threshold>& thresholds,
                                const std::filesystem::path& records, results::RunSummary& summary) {
  if (thresholds.empty()) return {};
  for (const results::Threshold& threshold : thresholds) {
    std::vector<results::Criterion> criteria;
    if (threshold.window > Nanos{0}) {
      DSBENCH_TRY(criteria, results::judge_windows(threshold, records, summary.stages));
    } else {
      criteria = results::judge_threshold(threshold, summary.stages);
    }
    summary.criteria.insert(summary.criteria.end(), criteria.begin(), criteria.end());
  }
  const auto judged = results::judge_run(summary.validity, summary.invalid_causes, summary.criteria);
  // A run that did not come to its end stays undecided, unless what it showed is enough to fail.
  const bool missed =
      std::any_of(summary.criteria.begin(), summary.criteria.end(),
                  [](const results::Criterion& c) { return c.verdict == results::StepVerdict::bad; });
  if (summary.verdict == results::Verdict::inconclusive &&
      (judged.verdict == results::Verdict::ready ||
       (summary.validity == results::Validity::unknown && !missed)))
    return {};
  summary.verdict = judged.verdict;
  summary.sentence = judged.sentence;
  return {};
}

Result<std::vector<results::Threshold>> requirements_in(const std::string& profile_json) {
  GuardFlags flags;
  const auto json = nlohmann::json::parse(profile_json, nullptr, false);
  if (json.is_object() && json.contains("requirements") && json["requirements"].is_array()) {
    for (const auto& text : json["requirements"]) {
      if (text.is_string()) flags.requirements.push_back(text.get<std::string>());
    }
  }
  return requirements_of(flags, GuardedVerb::load);
}

std::string texts_json(const std::vector<std::string>& texts) {
  return nlohmann::json(texts).dump();
}

std::string rules_json(const loadgen::GuardConfig& config) {
  nlohmann::json rules = nlohmann::json::array();
  for (const loadgen::GuardRule& rule : config.rules) rules.push_back(loadgen::print_guard(rule));
  return rules.dump();
}

}  // namespace dsbench::cli
