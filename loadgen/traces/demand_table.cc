#include "loadgen/traces/demand_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "profiles/traffic_profile.h"

namespace dsbench::loadgen {
namespace {

constexpr Nanos minute = std::chrono::minutes{1};
constexpr std::int32_t day_minutes = 24 * 60;

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = std::min(text.find(by), text.size());
    std::string_view part = text.substr(0, end);
    while (part.ends_with('\r') || part.ends_with(' ')) part.remove_suffix(1);
    while (part.starts_with(' ')) part.remove_prefix(1);
    parts.push_back(part);
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number n{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// "07:30" as minutes; 24:00 is the end of the day.
std::optional<std::int32_t> clock_time(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto h = number<std::int32_t>(text.substr(0, colon));
  const auto m = number<std::int32_t>(text.substr(colon + 1));
  if (!h || !m || *h < 0 || *m < 0 || *m > 59 || *h * 60 + *m > day_minutes) return std::nullopt;
  return *h * 60 + *m;
}

FitLine line(std::string what, std::optional<double> source, double fitted, double off, double good,
             std::string when) {
  FitLine l;
  l.what = std::move(what);
  l.source = source;
  l.fitted = fitted;
  l.verdict = off <= good       ? FitLine::Verdict::good
              : off <= 3 * good ? FitLine::Verdict::fair
                                : FitLine::Verdict::poor;
  l.good_when = std::move(when);
  return l;
}

}  // namespace

Result<std::optional<DemandTable>> parse_demand_table(std::string_view text, std::string_view column) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const auto lines = split(text, '\n');
  const auto header = split(lines.front(), ',');
  const bool hourly = header.size() >= 2 && header[0].starts_with("hour");
  const bool spans = header.size() >= 3 && header[0].starts_with("from") && header[1].starts_with("to");
  if (!hourly && !spans) return std::optional<DemandTable>{};
  DemandTable table;
  const std::size_t keys = hourly ? 1 : 2;
  std::size_t value_at = header.size() - 1;
  if (!column.empty()) {
    const auto found = std::find(header.begin() + static_cast<std::ptrdiff_t>(keys), header.end(), column);
    if (found == header.end()) {
      return fail(ErrorKind::usage, "the table has no column '{}'; accepted: {}", column,
                  join(std::span{header}.subspan(keys)));
    }
    value_at = static_cast<std::size_t>(found - header.begin());
  }
  table.column = header[value_at];
  Nanos at{0};
  std::int32_t expected = -1;  // minute of the day at which the next row begins
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const auto wrong = [&](std::string_view why) {
      return fail(ErrorKind::usage, "line {}: '{}': {}; accepted: {}", i + 1, lines[i], why,
                  hourly ? "an hour from 0 to 23, each once and one after the other, and figures"
                         : "two times of the day, as in 01:15,02:00, one row after the other, and figures");
    };
    const auto cells = split(lines[i], ',');
    if (cells.size() != header.size())
      return wrong(fmt::format("{} columns, where the header has {}", cells.size(), header.size()));
    std::optional<std::int32_t> from, to;
    if (hourly) {
      const auto hour = number<std::int32_t>(cells[0]);
      if (!hour || *hour < 0 || *hour > 23) return wrong("no hour");
      from = *hour * 60;
      to = *from + 60;
    } else {
      from = clock_time(cells[0]);
      to = clock_time(cells[1]);
      if (!from || !to || *from >= *to) return wrong("no times");
    }
    const auto value = number<double>(cells[value_at]);
    if (!value || !(*value >= 0)) return wrong(fmt::format("'{}' is no figure", cells[value_at]));
    if (expected >= 0 && *from != expected % day_minutes)
      return wrong("it does not begin where the row before ends");
    if (table.intervals.empty()) table.first_minute = *from;
    expected = *to;
    table.intervals.push_back({at, at + (*to - *from) * minute, *value});
    at = table.intervals.back().to;
  }
  if (table.intervals.empty()) return fail(ErrorKind::usage, "the table has no rows");
  if (at != std::chrono::hours{24})
    return fail(ErrorKind::usage, "the table's rows last {} together; accepted: a day, 24h",
                print_duration(at));
  for (const auto& i : table.intervals) table.mean += i.value * to_seconds(i.to - i.from) / to_seconds(at);
  if (!(table.mean > 0)) return fail(ErrorKind::usage, "the column '{}' is nought throughout", table.column);
  return std::optional<DemandTable>{std::move(table)};
}

Result<DemandFit> fit_demand(const DemandTable& table, std::string_view source) {
  // From midnight on.
  std::vector<DemandTable::Interval> day = table.intervals;
  const Nanos length = table.length();
  for (auto& i : day) {
    const Nanos shift = table.first_minute * minute;
    const Nanos duration = i.to - i.from;
    i.from = (i.from + shift) % length;
    i.to = i.from + duration;
  }
  std::sort(day.begin(), day.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
  const bool equal = std::all_of(day.begin(), day.end(), [&](const auto& i) {
    return i.to - i.from == day.front().to - day.front().from;
  });
  using nlohmann::ordered_json;
  ordered_json points = ordered_json::array();
  const auto point = [&](Nanos at, double value) {
    points.push_back({print_duration(at), fmt::format("{:.5g}x", value / table.mean)});
  };
  if (equal) {
    const double at_midnight = (day.front().value + day.back().value) / 2;
    point(Nanos{0}, at_midnight);
    for (const auto& i : day) point((i.from + i.to) / 2, i.value);
    point(length, at_midnight);
  } else {
    for (const auto& i : day) {
      point(i.from, i.value);
      point(i.to, i.value);
    }
  }
  ordered_json root;
  root["schema"] = "dsbench.traffic/1";
  root["description"] = source;
  root["arrivals"] = {{"process", "poisson"}};
  root["base_rate"] = "1/s";
  root["pieces"].push_back(
      {{"shape", "curve"}, {"stage", "day"}, {"stage_length", "2h"}, {"points", points}});
  DemandFit fit;
  fit.traffic_json = root.dump(2) + "\n";

  DSBENCH_TRY(const auto profile, profiles::parse_traffic(fit.traffic_json, "the fitted profile"));
  const profiles::TrafficPlan plan = profiles::plan_of(profile);
  double squares = 0, source_peak = 0, fitted_peak = 0;
  for (const auto& i : day) {
    const double wanted = i.value / table.mean;
    const double found = profiles::mean_rate(plan, i.from, i.to).per_second();
    squares += (found - wanted) * (found - wanted) * to_seconds(i.to - i.from) / to_seconds(length);
    source_peak = std::max(source_peak, wanted);
    fitted_peak = std::max(fitted_peak, found);
  }
  const double rms = std::sqrt(squares);
  const double mean = plan.requests / to_seconds(length);
  fit.lines.push_back(line("mean, in base rates", 1, mean, std::abs(mean - 1), 0.01, "within 1 %"));
  fit.lines.push_back(line("means of the intervals, RMS error ÷ mean", {}, rms, rms, 0.05, "at most 0.05"));
  fit.lines.push_back(line("peak interval ÷ mean", source_peak, fitted_peak,
                           std::abs(fitted_peak / source_peak - 1), 0.05, "within a factor of 1.05"));
  return fit;
}

}  // namespace dsbench::loadgen
