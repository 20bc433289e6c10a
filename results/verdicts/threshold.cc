#include "results/verdicts/threshold.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/text.h"

namespace dsbench::results {
namespace {

constexpr std::array<std::string_view, 8> latencies{"ttft", "ttft_service", "tpot",  "itl",
                                                    "e2e",  "e2e_service",  "ntpot", "send_lag"};
constexpr std::array<std::string_view, 3> shares{"good_share", "completed_share", "failed_share"};
constexpr std::array<std::string_view, 4> rates{"offered_rate", "delivered_rate", "completed_rate",
                                                "good_rate"};
constexpr std::array<double, 5> quantiles{0.5, 0.9, 0.95, 0.99, 0.999};
constexpr std::string_view forms =
    "'p95 ttft < 2s', 'mean tpot <= 50ms', 'good_share >= 99%', 'good_rate > 40/s', 'STAGE: p50 e2e < 5s' "
    "(p50, p90, p95, p99, p99.9, mean or max of ttft, ttft_service, tpot, itl, e2e, e2e_service, ntpot or "
    "send_lag; good_share, completed_share, failed_share; offered_rate, delivered_rate, completed_rate, "
    "good_rate); any of them with a window, as in 'p99 ttft < 500ms over 60s'";

template <class List>
bool has(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

const LatencySummary& latency_of(const StageSummary& s, std::string_view metric) {
  if (metric == "ttft") return s.ttft;
  if (metric == "ttft_service") return s.ttft_service;
  if (metric == "tpot") return s.tpot;
  if (metric == "itl") return s.itl;
  if (metric == "e2e") return s.e2e;
  if (metric == "e2e_service") return s.e2e_service;
  if (metric == "ntpot") return s.ntpot;
  return s.send_lag;
}

struct Found {
  std::optional<double> value;
  std::string text;
};

Found latency(const Threshold& t, const StageSummary& stage) {
  const LatencySummary& l = latency_of(stage, t.metric);
  if (l.count + l.infinite == 0) return {std::nullopt, "no data"};
  if (t.quantile < 0) {
    if (l.infinite > 0) return {HUGE_VAL, fmt::format("infinite ({} failed)", l.infinite)};
    const Nanos value = t.quantile == -1 ? l.mean : l.max;
    return {to_seconds(value), format_duration(value)};
  }
  for (const auto& p : l.percentiles) {
    if (std::abs(p.q - t.quantile) > 1e-9) continue;
    if (p.infinite) return {HUGE_VAL, fmt::format("infinite ({} failed)", l.infinite)};
    if (!p.value) return {std::nullopt, fmt::format("n/a (needs {}, has {})", p.needs, l.count + l.infinite)};
    return {to_seconds(*p.value), format_duration(*p.value)};
  }
  return {std::nullopt, "no data"};
}

Found measure(const Threshold& t, const StageSummary& s) {
  if (has(latencies, t.metric)) return latency(t, s);
  if (s.requests == 0) return {std::nullopt, "no data"};
  if (has(rates, t.metric)) {
    const Rate rate = t.metric == "offered_rate"     ? s.offered
                      : t.metric == "delivered_rate" ? s.delivered_rate
                      : t.metric == "completed_rate" ? s.completed_rate
                                                     : s.good_rate;
    return {rate.per_second(), format_rate(rate)};
  }
  const std::int64_t part = t.metric == "good_share"        ? s.good
                            : t.metric == "completed_share" ? s.completed
                                                            : s.requests - s.completed;
  const double share = static_cast<double>(part) / static_cast<double>(s.requests);
  return {share, fmt::format("{:.2f} %", share * 100)};
}

bool holds(Threshold::Op op, double found, double bound) {
  switch (op) {
    case Threshold::Op::less:
      return found < bound;
    case Threshold::Op::at_most:
      return found <= bound;
    case Threshold::Op::more:
      return found > bound;
    case Threshold::Op::at_least:
      break;
  }
  return found >= bound;
}

}  // namespace

Result<Threshold> parse_threshold(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorKind::usage, "requirement '{}': {}; accepted: {}", text, why, forms);
  };
  Threshold t;
  t.text = text;
  std::string_view rest = trim(text);
  const std::size_t op = rest.find_first_of("<>");
  if (op == std::string_view::npos) return wrong("no <, <=, > or >=");
  const bool equal = op + 1 < rest.size() && rest[op + 1] == '=';
  t.op = rest[op] == '<' ? (equal ? Threshold::Op::at_most : Threshold::Op::less)
                         : (equal ? Threshold::Op::at_least : Threshold::Op::more);
  std::string_view bound = trim(rest.substr(op + (equal ? 2 : 1)));
  if (const std::size_t over = bound.find(" over "); over != std::string_view::npos) {
    const auto window = parse_duration(trim(bound.substr(over + 6)));
    if (!window) return wrong(window.error().message);
    if (*window < Nanos{1'000'000'000} || *window > Nanos{86'400'000'000'000})
      return wrong(fmt::format("a window of {} is not between 1s and 24h", format_duration(*window)));
    t.window = *window;
    bound = trim(bound.substr(0, over));
  }
  rest = trim(rest.substr(0, op));
  if (const std::size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    t.stage = trim(rest.substr(0, colon));
    rest = trim(rest.substr(colon + 1));
  }
  std::string_view statistic;
  if (const std::size_t space = rest.find(' '); space != std::string_view::npos) {
    statistic = rest.substr(0, space);
    rest = trim(rest.substr(space));
  }
  t.metric = rest;
  const auto number = [&](std::string_view digits) -> std::optional<double> {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  if (t.window > Nanos{0} && (t.metric == "itl" || t.metric == "send_lag"))
    return wrong(fmt::format("{} is of chunks or attempts and has no windows", t.metric));
  if (has(latencies, t.metric)) {
    if (statistic == "mean") {
      t.quantile = -1;
    } else if (statistic == "max") {
      t.quantile = -2;
    } else {
      const auto q = statistic.starts_with('p') ? number(statistic.substr(1)) : std::nullopt;
      t.quantile = q.value_or(-1) / 100;
      if (!q || std::none_of(quantiles.begin(), quantiles.end(),
                             [&](double k) { return std::abs(k - t.quantile) < 1e-9; }))
        return wrong(fmt::format("'{}' is no statistic of a latency", statistic));
    }
    const auto d = parse_duration(bound);
    if (!d) return wrong(d.error().message);
    t.value = to_seconds(*d);
    return t;
  }
  if (!has(shares, t.metric) && !has(rates, t.metric))
    return wrong(fmt::format("'{}' is not measured", t.metric));
  if (!statistic.empty()) return wrong(fmt::format("{} has no {}", t.metric, statistic));
  if (has(rates, t.metric)) {
    const auto r = parse_rate(bound);
    if (!r) return wrong(r.error().message);
    t.value = r->per_second();
    return t;
  }
  const bool percent = bound.ends_with('%');
  const auto share = number(percent ? trim(bound.substr(0, bound.size() - 1)) : bound);
  if (!share) return wrong(fmt::format("'{}' is no share; write it as in 99% or 0.99", bound));
  t.value = percent ? *share / 100 : *share;
  if (!(t.value >= 0 && t.value <= 1))
    return wrong(fmt::format("a share of {} is not between 0 and 1", t.value));
  return t;
}

Finding judge_stage(const Threshold& t, const StageSummary& stage) {
  const Found found = measure(t, stage);
  return {found.text, found.value && holds(t.op, *found.value, t.value)};
}

std::vector<Criterion> judge_threshold(const Threshold& t, const std::vector<StageSummary>& stages) {
  std::vector<Criterion> criteria;
  for (const StageSummary& stage : stages) {
    if (!std::string_view{stage.name}.starts_with(t.stage)) continue;
    const Finding found = judge_stage(t, stage);
    criteria.push_back(
        {t.stage.empty() && stages.size() > 1 ? fmt::format("{}: {}", stage.name, t.text) : t.text,
         found.text, found.met ? StepVerdict::good : StepVerdict::bad});
  }
  if (criteria.empty()) criteria.push_back({t.text, "no such stage", StepVerdict::bad});
  return criteria;
}

}  // namespace dsbench::results
