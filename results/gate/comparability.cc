#include "results/gate/comparability.h"

#include <algorithm>
#include <string_view>

#include "core/text.h"

namespace dsbench::results::gate {
namespace {

constexpr std::string_view absent = "not told";
constexpr std::size_t longest_shown = 160;

std::string value_of(const Evidence& run, const std::string& key) {
  const auto found =
      std::find_if(run.key.begin(), run.key.end(), [&](const auto& entry) { return entry.first == key; });
  return found == run.key.end() ? std::string{absent} : found->second;
}

std::vector<std::string> values_of(std::span<const Evidence> runs, const std::string& key, bool all) {
  std::vector<std::string> values;
  for (const Evidence& run : runs) values.push_back(value_of(run, key));
  std::sort(values.begin(), values.end());
  if (!all) values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

void add_keys(std::vector<std::string>& keys, std::span<const Evidence> runs) {
  for (const Evidence& run : runs) {
    for (const auto& [key, value] : run.key) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
  }
}

// Two long texts that begin the same: from a little before the first difference.
std::string shortened(const std::string& value, std::size_t common) {
  const std::size_t from = common > 40 ? common - 40 : 0;
  if (from == 0 && value.size() <= longest_shown) return value;
  return (from > 0 ? "…" : "") + value.substr(from, longest_shown) +
         (value.size() > from + longest_shown ? "…" : "");
}

std::string side(const std::vector<std::string>& values, std::size_t common) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i == 12) return text + fmt::format(" and {} more", values.size() - i);
    text += (i > 0 ? ", " : "") + shortened(values[i], common);
  }
  return text;
}

}  // namespace

Result<std::vector<Mismatch>> compare_keys(std::span<const Evidence> baseline,
                                           std::span<const Evidence> candidate,
                                           const std::vector<std::string>& allowed) {
  std::vector<std::string> keys;
  add_keys(keys, baseline);
  add_keys(keys, candidate);
  for (const std::string& key : allowed) {
    const bool is_there = std::find(keys.begin(), keys.end(), key) != keys.end();
    if (is_there && key != "kind" && key != "schema") continue;
    std::vector<std::string_view> accepted;
    for (const std::string& k : keys) {
      if (k != "kind" && k != "schema") accepted.push_back(k);
    }
    return fail(ErrorKind::usage, "--allow-mismatch {}: {}; accepted: {}", key,
                is_there ? "what differs in it cannot be compared at all" : "these runs have no such key",
                join(accepted));
  }
  std::vector<Mismatch> mismatches;
  for (const std::string& key : keys) {
    Mismatch m{key, values_of(baseline, key, key == "seed"), values_of(candidate, key, key == "seed"),
               std::find(allowed.begin(), allowed.end(), key) != allowed.end()};
    const bool equal = m.baseline == m.candidate && (key == "seed" || m.baseline.size() == 1);
    if (!equal) mismatches.push_back(std::move(m));
  }
  return mismatches;
}

std::string describe(const Mismatch& m) {
  std::size_t common = 0;
  if (m.key != "seed" && !m.baseline.empty() && !m.candidate.empty()) {
    const std::string &a = m.baseline.front(), &b = m.candidate.back();
    while (common < std::min(a.size(), b.size()) && a[common] == b[common]) ++common;
    // Not within a character of several bytes.
    while (common > 0 && common < a.size() && (static_cast<unsigned char>(a[common]) & 0xC0U) == 0x80U)
      --common;
    if (a == b) common = 0;
  }
  return fmt::format("{}: baseline {}; candidate {}", m.key, side(m.baseline, common),
                     side(m.candidate, common));
}

std::string describe_refused(const std::vector<Mismatch>& mismatches) {
  std::string text;
  for (const Mismatch& m : mismatches) {
    if (!m.allowed) text += (text.empty() ? "" : "\n") + describe(m);
  }
  return text;
}

}  // namespace dsbench::results::gate
