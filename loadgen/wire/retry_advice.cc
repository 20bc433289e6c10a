#include "loadgen/wire/retry_advice.h"
#include "loadgen/wire/curl_library.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace dsbench::loadgen {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view s) {
  const std::size_t from = s.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return s.substr(from, s.find_last_not_of(" \t\r\n") - from + 1);
}

// A whole number or fraction of `unit`s; up to about a century, so that it fits.
std::optional<Nanos> parse_amount(std::string_view text, double seconds_per_unit) {
  double v = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), v, std::chars_format::fixed);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(v)) return std::nullopt;
  const double seconds = v * seconds_per_unit;
  if (seconds < 0 || seconds > 3e9) return std::nullopt;
  return from_seconds(seconds);
}

}  // namespace

void RetryHeaders::read(std::string_view line, Nanos wall_now) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string_view name = trim(line.substr(0, colon));
  const std::string_view value = trim(line.substr(colon + 1));
  if (same_word(name, "retry-after-ms")) {
    if (const auto wait = parse_amount(value, 1e-3)) {
      advice_.retry_after = wait;
      in_millis_ = true;
    }
  } else if (same_word(name, "retry-after") && !in_millis_) {
    if (const auto wait = parse_amount(value, 1)) {
      advice_.retry_after = wait;
    } else if (const time_t date = curl().getdate(std::string{value}.c_str(), nullptr); date != -1) {
      advice_.retry_after = std::max(Nanos{0}, Nanos{std::int64_t{date} * 1'000'000'000} - wall_now);
    }
  } else if (same_word(name, "x-should-retry")) {
    if (same_word(value, "true")) advice_.should_retry = true;
    if (same_word(value, "false")) advice_.should_retry = false;
  }
}

}  // namespace dsbench::loadgen
