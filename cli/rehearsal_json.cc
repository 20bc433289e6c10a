#include "cli/rehearsal_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace dsbench::cli {

std::string rehearsal_json(const loadgen::RehearsalConfig& c) {
  return fmt::format(
      R"("rehearsal":{{"budget_ns":{},"resolution":{},"warm_up_ns":{},"step_min_ns":{},"step_max_ns":{},"hold_factor":{},)"
      R"("hold_min_ns":{},"hold_max_ns":{},"descent_step_ns":{},"descent_steps":{},"recovery_min_ns":{},"recovery_max_ns":{},)"
      R"("recovery_objective_ns":{},"arrivals":"poisson","forecast_rps":{}}},)"
      R"("rehearsal_rules":{{"min_steps":{},"drain_max_ns":{},"client_patience_ns":{}}})",
      c.budget.count(), c.resolution, c.warm_up.count(), c.step_min.count(), c.step_max.count(),
      c.hold_factor, c.hold_min.count(), c.hold_max.count(), c.descent_step.count(), c.descent_steps,
      c.recovery_min.count(), c.recovery_max.count(), c.recovery_objective.count(),
      c.forecast ? fmt::format("{}", c.forecast->per_second()) : "null", c.min_steps, c.drain_max.count(),
      c.client_patience ? fmt::format("{}", c.client_patience->count()) : "null");
}

std::optional<loadgen::RehearsalConfig> rehearsal_in(const std::string& profile_json) {
  const auto json = nlohmann::json::parse(profile_json, nullptr, false);
  if (!json.is_object() || !json.contains("rehearsal") || !json.contains("rehearsal_rules"))
    return std::nullopt;
  const auto &plan = json["rehearsal"], &rules = json["rehearsal_rules"];
  loadgen::RehearsalConfig c;
  try {
    const auto time = [](const auto& from, const char* key) {
      return Nanos{from.at(key).template get<std::int64_t>()};
    };
    c.budget = time(plan, "budget_ns");
    c.resolution = plan.at("resolution").get<double>();
    c.warm_up = time(plan, "warm_up_ns");
    c.step_min = time(plan, "step_min_ns");
    c.step_max = time(plan, "step_max_ns");
    c.hold_factor = plan.at("hold_factor").get<double>();
    c.hold_min = time(plan, "hold_min_ns");
    c.hold_max = time(plan, "hold_max_ns");
    c.descent_step = time(plan, "descent_step_ns");
    c.descent_steps = plan.at("descent_steps").get<std::int32_t>();
    c.recovery_min = time(plan, "recovery_min_ns");
    c.recovery_max = time(plan, "recovery_max_ns");
    c.recovery_objective = time(plan, "recovery_objective_ns");
    if (!plan.at("forecast_rps").is_null()) c.forecast = Rate::per_second(plan["forecast_rps"].get<double>());
    c.min_steps = rules.at("min_steps").get<std::int32_t>();
    c.drain_max = time(rules, "drain_max_ns");
    if (!rules.at("client_patience_ns").is_null()) c.client_patience = time(rules, "client_patience_ns");
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // of another version
  }
  return c;
}

}  // namespace dsbench::cli
