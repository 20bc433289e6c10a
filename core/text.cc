#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <numeric>
#include <vector>

namespace dsbench {
namespace {

struct Unit {
  std::string_view name;
  double scale;
};

// Reads one decimal number from the front of `text` and drops it. No sign, no exponent: they are typos in a
// flag.
bool take_number(std::string_view& text, double& value) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  if (end == 0) return false;
  const auto [ptr, ec] = std::from_chars(text.data(), text.data() + end, value, std::chars_format::fixed);
  if (ec != std::errc{} || ptr != text.data() + end) return false;
  text.remove_prefix(end);
  return true;
}

std::string_view take_word(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of("0123456789."), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

const Unit* find_unit(std::span<const Unit> units, std::string_view name) {
  const auto it = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == name; });
  return it == units.end() ? nullptr : &*it;
}

// About three significant digits without an exponent.
std::string three_digits(double v) {
  const double a = std::abs(v);
  if (a >= 99.95) return fmt::format("{:.0f}", v);
  if (a >= 9.995) return fmt::format("{:.1f}", v);
  return fmt::format("{:.2f}", v);
}

}  // namespace

Result<Nanos> parse_duration(std::string_view text) {
  static constexpr std::array<Unit, 7> units{
      {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"min", 60e9}, {"h", 3600e9}}};
  const auto refuse = [&] {
    return fail(ErrorKind::usage,
                "'{}' is not a duration; write a number with its unit, as in 500ms, 30s, 4m or 1h30m", text);
  };
  std::string_view rest = text;
  double total_ns = 0;
  if (rest.empty()) return refuse();
  while (!rest.empty()) {
    double value = 0;
    if (!take_number(rest, value)) return refuse();
    const Unit* unit = find_unit(units, take_word(rest));
    if (unit == nullptr) return refuse();
    total_ns += value * unit->scale;
  }
  if (!(total_ns <= 9.2e18)) return fail(ErrorKind::usage, "'{}' is longer than 292 years", text);
  return Nanos{static_cast<std::int64_t>(std::llround(total_ns))};
}

Result<Rate> parse_rate(std::string_view text) {
  static constexpr std::array<Unit, 4> units{
      {{"/s", 1.0}, {"/m", 1.0 / 60}, {"/min", 1.0 / 60}, {"/h", 1.0 / 3600}}};
  std::string_view rest = text;
  double value = 0;
  if (take_number(rest, value)) {
    if (const Unit* unit = find_unit(units, rest)) return Rate::per_second(value * unit->scale);
  }
  return fail(ErrorKind::usage,
              "'{}' is not a rate; write a number with its unit, as in 12.5/s, 300/m or 40/h", text);
}

Result<Bytes> parse_bytes(std::string_view text) {
  static constexpr std::array<Unit, 9> units{{{"B", 1},
                                              {"kB", 1e3},
                                              {"KB", 1e3},
                                              {"MB", 1e6},
                                              {"GB", 1e9},
                                              {"KiB", 0x1p10},
                                              {"MiB", 0x1p20},
                                              {"GiB", 0x1p30},
                                              {"TiB", 0x1p40}}};
  std::string_view rest = text;
  double value = 0;
  if (take_number(rest, value)) {
    if (const Unit* unit = find_unit(units, rest)) {
      return Bytes{static_cast<std::int64_t>(std::llround(value * unit->scale))};
    }
  }
  return fail(ErrorKind::usage, "'{}' is not a size; write a number with its unit, as in 512B, 64KiB or 2GiB",
              text);
}

std::string format_duration(Nanos d) {
  const double s = to_seconds(d);
  const double a = std::abs(s);
  if (d.count() == 0) return "0 s";
  if (a < 0.9995e-6) return fmt::format("{} ns", d.count());
  if (a < 0.9995e-3) return three_digits(s * 1e6) + " µs";
  if (a < 0.9995) return three_digits(s * 1e3) + " ms";
  if (a < 119.5) return three_digits(s) + " s";
  const auto minutes = std::llround(a / 60);
  const char* sign = s < 0 ? "-" : "";
  if (minutes < 120) {
    const auto seconds = std::llround(a);
    return fmt::format("{}{} min {:02d} s", sign, seconds / 60, seconds % 60);
  }
  return fmt::format("{}{} h {:02d} min", sign, minutes / 60, minutes % 60);
}

std::string format_rate(Rate r) {
  // A request now and then: "0.00/s" would say that there is none.
  if (const double hourly = r.per_second() * 3600; hourly > 0 && r.per_second() < 0.00995)
    return hourly < 0.00995 ? fmt::format("{:.2g}/h", hourly) : three_digits(hourly) + "/h";
  return three_digits(r.per_second()) + "/s";
}

std::string print_rate(Rate r) {
  std::array<char, 400> digits{};
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), r.per_second(), std::chars_format::fixed);
  return std::string{digits.data(), end.ptr} + "/s";
}

std::string format_bytes(Bytes b) {
  static constexpr std::array<const char*, 6> names{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto v = static_cast<double>(b.count());
  std::size_t i = 0;
  while (std::abs(v) >= 1024 && i + 1 < names.size()) {
    v /= 1024;
    ++i;
  }
  return i == 0 ? fmt::format("{} B", b.count()) : fmt::format("{} {}", three_digits(v), names[i]);
}

std::string print_duration(Nanos d) {
  const std::int64_t n = d.count();
  if (n % 1'000'000'000 == 0) return fmt::format("{}s", n / 1'000'000'000);
  if (n % 1'000'000 == 0) return fmt::format("{}ms", n / 1'000'000);
  if (n % 1'000 == 0) return fmt::format("{}us", n / 1'000);
  return fmt::format("{}ns", n);
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> accepted) {
  std::string_view best;
  std::size_t best_distance = 1 + word.size() / 3;
  for (const std::string_view candidate : accepted) {
    std::vector<std::size_t> row(candidate.size() + 1);  // Levenshtein distance, one row at a time
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i + 1;
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        const std::size_t replace = diagonal + (word[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replace, row[j] + 1, row[j + 1] + 1});
      }
    }
    if (row.back() <= best_distance && (best.empty() || row.back() < best_distance)) {
      best = candidate;
      best_distance = row.back();
    }
  }
  return best;
}

std::string join(std::span<const std::string_view> words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words.begin(), words.end(), separator));
}

std::string format_utc(Nanos since_unix_epoch) {
  const auto seconds = static_cast<time_t>(since_unix_epoch.count() / 1'000'000'000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

Result<Nanos> parse_utc(std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorKind::usage, "'{}' is no instant; write it in UTC, as in 2026-11-22T11:36:48Z", text);
  };
  // Digits at fixed places: 2026-11-22T11:36:48
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  if (text.size() < form.size() + 1 || text.back() != 'Z') return wrong();
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == 'd' ? !digit : text[i] != form[i]) return wrong();
  }
  const auto number = [&](std::size_t at, std::size_t digits) {
    int n = 0;
    for (std::size_t i = at; i < at + digits; ++i) n = n * 10 + (text[i] - '0');
    return n;
  };
  const std::chrono::year_month_day day{std::chrono::year{number(0, 4)},
                                        std::chrono::month{static_cast<unsigned>(number(5, 2))},
                                        std::chrono::day{static_cast<unsigned>(number(8, 2))}};
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 59) return wrong();
  Nanos at = std::chrono::sys_days{day}.time_since_epoch() + std::chrono::hours{hour} +
             std::chrono::minutes{minute} + std::chrono::seconds{second};
  std::string_view fraction = text.substr(form.size(), text.size() - form.size() - 1);
  if (fraction.empty()) return at;
  if (fraction.front() != '.' || fraction.size() < 2 || fraction.size() > 10) return wrong();
  fraction.remove_prefix(1);
  std::int64_t scale = 100'000'000;
  for (const char c : fraction) {
    if (c < '0' || c > '9') return wrong();
    at += Nanos{(c - '0') * scale};
    scale /= 10;
  }
  return at;
}

}  // namespace dsbench
