#include "loadgen/traces/field_parsers.h"

#include <charconv>
#include <chrono>
#include <cmath>

namespace dsbench::loadgen {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

// Exactly `digits` digits from the front.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "", "Z", "+00:00", "-0730", "+02": minutes east of Greenwich.
std::optional<int> parse_offset(std::string_view text) {
  text = trim(text);
  if (text.empty() || text == "Z" || text == "z" || text == "UTC") return 0;
  const int sign = text.front() == '-' ? -1 : 1;
  if (text.front() != '+' && text.front() != '-') return std::nullopt;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (!hours || *hours > 23) return std::nullopt;
  if (text.empty()) return sign * *hours * 60;
  (void)take(text, ':');
  const auto minutes = take_digits(text, 2);
  if (!minutes || *minutes > 59 || !text.empty()) return std::nullopt;
  return sign * (*hours * 60 + *minutes);
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  text = trim(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

Result<std::int32_t> to_tokens(double value, std::string_view what) {
  if (!(value >= 0 && value <= static_cast<double>(most_trace_tokens)) || value != std::floor(value)) {
    return fail(ErrorKind::usage, "{} is {}; accepted: a whole number from 0 to {}", what, value,
                most_trace_tokens);
  }
  return static_cast<std::int32_t>(value);
}

Result<std::int32_t> parse_tokens(std::string_view text, std::string_view what) {
  const auto value = parse_number(text);
  if (!value) {
    return fail(ErrorKind::usage, "{} is '{}'; accepted: a whole number from 0 to {}", what,
                text.substr(0, 40), most_trace_tokens);
  }
  return to_tokens(*value, what);
}

std::optional<Nanos> parse_utc(std::string_view text) {
  text = trim(text);
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !(take(text, ' ') || take(text, 'T'))) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *year < 1970 || *year > 2200 || *hour > 23 || *minute > 59 || *second > 60)
    return std::nullopt;
  std::int64_t fraction = 0;
  if (take(text, '.')) {
    std::int64_t unit = 100'000'000;
    std::size_t digits = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9';
         text.remove_prefix(1), ++digits, unit /= 10)
      fraction += unit * (text.front() - '0');
    if (digits == 0) return std::nullopt;
  }
  const auto offset = parse_offset(text);
  if (!offset) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + *hour) * 60 + *minute - *offset) * 60 + *second;
  return Nanos{seconds * 1'000'000'000 + fraction};
}

Result<Nanos> to_instant(double value, double seconds_per_unit) {
  const double seconds = value * seconds_per_unit;
  if (!std::isfinite(seconds) || std::abs(seconds) > 9.2e9)
    return fail(ErrorKind::usage, "the timestamp {} is out of range", value);
  return Nanos{std::llround(seconds * 1e9)};
}

char delimiter_of(std::string_view line) {
  if (line.find(',') != std::string_view::npos) return ',';
  if (line.find(';') != std::string_view::npos) return ';';
  return line.find('\t') != std::string_view::npos ? '\t' : ',';
}

void split_csv(std::string_view line, std::vector<std::string_view>& fields, char delimiter) {
  fields.clear();
  for (;;) {
    std::size_t end = 0;
    bool quoted = false;
    for (; end < line.size() && (quoted || line[end] != delimiter); ++end) {
      if (line[end] == '"') quoted = !quoted;
    }
    std::string_view field = trim(line.substr(0, end));
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"')
      field = field.substr(1, field.size() - 2);
    fields.push_back(field);
    if (end >= line.size()) return;
    line.remove_prefix(end + 1);
  }
}

}  // namespace dsbench::loadgen
