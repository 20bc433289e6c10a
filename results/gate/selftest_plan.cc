#include "results/gate/selftest_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <vector>

#include "core/text.h"
#include "results/gate/noise.h"
#include "results/gate/rank_test.h"

namespace dsbench::results::gate {
namespace {

// The Hodges-Lehmann estimate of two samples is as good as the difference of means of π ÷ 3 as many normal
// values.
double standard_error(std::size_t runs, double spread) {
  return spread * std::sqrt(2 / static_cast<double>(std::max<std::size_t>(1, runs))) / std::sqrt(3 / M_PI);
}

double quantile(double q) {
  return boost::math::quantile(boost::math::normal{}, q);
}

double plain_spread(std::span<const double> values) {
  double mean = 0, squares = 0, n = 0;
  for (const double v : values) {
    if (!(v > 0) || !std::isfinite(v)) continue;
    mean += std::log(v);
    n += 1;
  }
  if (n < 2) return 0;
  mean /= n;
  for (const double v : values) {
    if (v > 0 && std::isfinite(v)) squares += (std::log(v) - mean) * (std::log(v) - mean);
  }
  return std::sqrt(squares / (n - 1));
}

bool is_a_rate(std::string_view name) {
  return name.ends_with("good_rate") || name.ends_with("_share");
}

// Whole percents, upwards.
double in_percents(double share) {
  return std::ceil(100 * share - 1e-9) / 100;
}

}  // namespace

double cautious_spread(std::span<const double> a, std::span<const double> b) {
  const double of_a = plain_spread(a), of_b = plain_spread(b);
  const double plain = std::sqrt((of_a * of_a + of_b * of_b) / 2);
  return 1.5 * std::max(plain, relative_spread(a, b));
}

double margin_to_be_same(std::size_t runs, double spread, double alpha) {
  return std::expm1((quantile(1 - alpha / 2) + quantile(0.975)) * standard_error(runs, spread));
}

SelftestPlan plan_selftest(const std::vector<std::pair<std::string, double>>& spreads, Nanos round,
                           const JudgeSettings& settings, std::string_view kind,
                           const SelftestLimits& limits) {
  SelftestPlan plan;
  plan.slow_by = limits.least_slowdown;
  if (spreads.empty()) {
    plan.blocker = "no metric is known of the pilot's runs";
    return plan;
  }
  const auto affordable = static_cast<std::size_t>(
      std::max<std::int64_t>(0, limits.budget.count() / std::max<std::int64_t>(1, round.count())));
  const std::size_t least = std::max(limits.least_runs, runs_needed(settings.alpha / 2, spreads.size()));
  if (affordable < least) {
    plan.blocker = fmt::format(
        "one round of three runs takes {}, and {} rounds at least are needed: {}, and the budget is {}; "
        "accepted: "
        "--budget {}, or shorter runs",
        format_duration(round), least, format_duration(round * static_cast<std::int64_t>(least)),
        format_duration(limits.budget), format_duration(round * static_cast<std::int64_t>(least + 1)));
    return plan;
  }
  const std::size_t most = std::min(affordable, std::max(least, limits.most_runs));
  // A first look when half of it is measured, so that a quiet machine is not kept busy.
  const std::size_t first = std::max(least, (most + 1) / 2);
  const auto sequence = plan_sequence(first, most, settings.alpha, Spending::pocock, 0);
  if (!sequence) {
    plan.blocker = sequence.error().message;
    return plan;
  }
  plan.sequence = *sequence;
  const Look& last = plan.sequence.looks.back();

  // Margins: what was given, or what the last look can show to be the same.
  const std::string* best = nullptr;
  double sees = HUGE_VAL, best_spread = 0, best_margin = 0;
  for (const auto& [name, spread] : spreads) {
    const double wanted = margin_of(settings, name, kind);
    const bool given = settings.margin.has_value() || settings.margins.contains(name);
    const double margin =
        given ? wanted : std::max(wanted, in_percents(margin_to_be_same(last.runs, spread, last.alpha)));
    if (!given) plan.margins[name] = margin;
    const double needed = margin_to_be_same(last.runs, spread, last.alpha);
    if (given && needed > wanted && plan.blocker.empty()) {
      const double se = std::log1p(wanted) / (quantile(1 - last.alpha / 2) + quantile(0.975));
      const double runs = 2 * spread * spread / (se * se * 3 / M_PI);
      plan.blocker = fmt::format(
          "{} spreads by {:.1f} % from run to run: {} runs a side show it to be the same within {:.0f} %, "
          "and the margin is "
          "{:g} %. It would take {:.0f} runs a side ({}), longer runs, a quieter machine, or a margin of "
          "{:.0f} %",
          name, 100 * spread, last.runs, 100 * needed, 100 * wanted, std::ceil(runs),
          format_duration(
              Nanos{static_cast<std::int64_t>(static_cast<double>(round.count()) * std::min(runs, 1e6))}),
          100 * in_percents(needed));
    }
    // A slowdown moves latencies; a rate stays what was offered until nothing is good any more.
    if (is_a_rate(name)) continue;
    const double visible =
        detectable_effect(last.runs, spread, margin, last.alpha / static_cast<double>(spreads.size()));
    if (visible < sees) {
      best = &name;
      sees = visible;
      best_spread = spread;
      best_margin = margin;
    }
  }
  if (!plan.blocker.empty()) return plan;
  if (best == nullptr) {
    plan.blocker =
        "none of the gated metrics is a latency, and the slowdown that is injected moves latencies; "
        "accepted: a "
        "--metric such as 'p50 tpot'";
    return plan;
  }
  // Half as much again as is seen 4 times in 5: seen nearly always.
  const double wanted = in_percents(1.5 * sees);
  if (!limits.slowdown_is_given) plan.slow_by = std::max(limits.least_slowdown, wanted);
  if (plan.slow_by < sees || plan.slow_by > limits.most_slowdown) {
    const double se = std::log1p(0.05) / (quantile(1 - last.alpha / 2) + quantile(0.975));
    const double runs = 2 * best_spread * best_spread / (se * se * 3 / M_PI);
    plan.blocker = fmt::format(
        "the noise is too large for a gate: {}, the quietest latency, spreads by {:.0f} % from run to run, "
        "so that {} runs a "
        "side see a change of {:.0f} % at the least (margin {:.0f} %){}. A margin of 5 % would take {:.0f} "
        "runs a side ({}), "
        "longer runs, or a quieter machine",
        *best, 100 * best_spread, last.runs, 100 * sees, 100 * best_margin,
        limits.slowdown_is_given && plan.slow_by < sees
            ? fmt::format(", and {:.0f} % is what --slow-by injects", 100 * plan.slow_by)
            : "",
        std::ceil(runs),
        format_duration(
            Nanos{static_cast<std::int64_t>(static_cast<double>(round.count()) * std::min(runs, 1e6))}));
  }
  return plan;
}

}  // namespace dsbench::results::gate
