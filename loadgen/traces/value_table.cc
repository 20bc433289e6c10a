#include "loadgen/traces/value_table.h"

#include <algorithm>
#include <cstddef>

#include "loadgen/traces/field_parsers.h"

namespace dsbench::loadgen {

Result<ValueTable> ValueTable::parse(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorKind::usage, "no Python dict of numbers: '{}'", text.substr(0, 40));
  };
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') return refuse();
  std::string_view rest = text.substr(1, text.size() - 2);
  std::vector<std::pair<double, double>> entries;
  while (rest.find_first_not_of(' ') != std::string_view::npos) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view pair = rest.substr(0, end);
    const std::size_t colon = pair.find(':');
    if (colon == std::string_view::npos) return refuse();
    std::string_view key = pair.substr(0, colon);
    while (!key.empty() && std::string_view{" '\""}.find(key.front()) != std::string_view::npos)
      key.remove_prefix(1);
    while (!key.empty() && std::string_view{" '\""}.find(key.back()) != std::string_view::npos)
      key.remove_suffix(1);
    const auto value = parse_number(key);
    const auto weight = parse_number(pair.substr(colon + 1));
    if (!value || !weight || *value < 0 || *weight < 0) return refuse();
    entries.emplace_back(*value, *weight);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return of(std::move(entries));
}

ValueTable ValueTable::of(std::vector<std::pair<double, double>> weighted) {
  ValueTable table;
  std::sort(weighted.begin(), weighted.end());
  double sum = 0;
  for (const auto& [value, weight] : weighted) {
    if (!(weight > 0)) continue;
    table.values_.push_back(value);
    table.cumulative_.push_back(sum += weight);
  }
  for (double& c : table.cumulative_) c /= sum;
  return table;
}

double ValueTable::at(double u) const {
  const auto it = std::upper_bound(cumulative_.begin(), cumulative_.end(), u);
  return it == cumulative_.end() ? values_.back()
                                 : values_[static_cast<std::size_t>(it - cumulative_.begin())];
}

double ValueTable::mean() const {
  double sum = 0, before = 0;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    sum += values_[i] * (cumulative_[i] - before);
    before = cumulative_[i];
  }
  return sum;
}

}  // namespace dsbench::loadgen
