#include "profiles/status_list.h"

#include <charconv>
#include <optional>

namespace dsbench::profiles {
namespace {

std::optional<StatusRange> parse_status(std::string_view word) {
  if (word.size() == 3 && word.ends_with("xx") && word[0] >= '1' && word[0] <= '9') {
    const std::int32_t hundreds = (word[0] - '0') * 100;
    return StatusRange{hundreds, hundreds + 99};
  }
  StatusRange range;
  const char* const end = word.data() + word.size();
  auto [at, error] = std::from_chars(word.data(), end, range.low);
  range.high = range.low;
  if (error == std::errc{} && at != end && *at == '-') {
    const auto upper = std::from_chars(at + 1, end, range.high);
    at = upper.ptr;
    error = upper.ec;
  }
  if (error != std::errc{} || at != end || range.low < 100 || range.high > 999 || range.low > range.high) {
    return std::nullopt;
  }
  return range;
}

}  // namespace

Result<std::vector<StatusRange>> parse_statuses(std::string_view text) {
  std::vector<StatusRange> statuses;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string_view word = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    const auto range = parse_status(word);
    if (!range) {
      return fail(ErrorKind::usage,
                  "'{}' in '{}' is no HTTP status; accepted is a list such as '408, 429, 5xx, 520-527'", word,
                  text);
    }
    statuses.push_back(*range);
  }
  return statuses;
}

std::string print_statuses(const std::vector<StatusRange>& statuses) {
  std::string text;
  for (const StatusRange& r : statuses) {
    if (!text.empty()) text += ", ";
    if (r.low % 100 == 0 && r.high == r.low + 99) {
      text += fmt::format("{}xx", r.low / 100);
    } else if (r.low == r.high) {
      text += fmt::format("{}", r.low);
    } else {
      text += fmt::format("{}-{}", r.low, r.high);
    }
  }
  return text;
}

}  // namespace dsbench::profiles
