#include "loadgen/traces/fit_classes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "loadgen/traces/session_fit.h"

namespace dsbench::loadgen {
namespace {

std::string length_text(double tokens) {
  return tokens >= 10'000 ? fmt::format("{:.0f}k", tokens / 1000) : fmt::format("{:.0f}", tokens);
}

constexpr std::size_t fewest_firsts = 50;  // of a class by tenant and length

// Classes of about equally many requests, turns included, by the length of the first.
void split_by_length(const Trace& trace, const std::vector<std::size_t>& turns, const std::string& tenant,
                     std::vector<std::uint32_t> rows, std::size_t most, std::vector<FitClass>& classes) {
  std::stable_sort(rows.begin(), rows.end(), [&](std::uint32_t a, std::uint32_t b) {
    return trace.rows[a].input_tokens < trace.rows[b].input_tokens;
  });
  const std::size_t parts = std::clamp<std::size_t>(rows.size() / fewest_firsts, 1, most);
  std::size_t all = 0, passed = 0;
  for (const std::uint32_t row : rows) all += turns[row];
  std::size_t part = 0, begin = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    passed += turns[rows[i]];
    const bool last = i + 1 == rows.size();
    if (!last && (passed * parts < all * (part + 1) || i + 1 - begin < fewest_firsts ||
                  rows.size() - (i + 1) < fewest_firsts))
      continue;
    while (part < parts && passed * parts >= all * (part + 1)) ++part;
    FitClass cls;
    cls.name = fmt::format("{}{}begins with {} to {}", tenant, tenant.empty() ? "" : ": ",
                           length_text(trace.rows[rows[begin]].input_tokens),
                           length_text(trace.rows[rows[i]].input_tokens));
    cls.rows.assign(rows.begin() + static_cast<std::ptrdiff_t>(begin),
                    rows.begin() + static_cast<std::ptrdiff_t>(i + 1));
    std::sort(cls.rows.begin(), cls.rows.end());
    classes.push_back(std::move(cls));
    name_apart(classes);
    begin = i + 1;
  }
}

}  // namespace

std::vector<FitClass> classes_by_client(const Trace& trace, const ClientSkew& skew, std::size_t most) {
  std::vector<FitClass> classes(std::min(skew.clients, most));
  const bool others = skew.clients > most;
  std::vector<std::size_t> class_of(trace.tenants.size(), classes.size() - 1);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const bool rest = others && c + 1 == classes.size();
    const std::string& name = trace.tenants[skew.by_size[c]];
    classes[c].name = rest ? "others" : name.empty() ? "unnamed" : name;
    if (!rest) class_of[skew.by_size[c]] = c;
  }
  for (std::uint32_t i = 0; i < trace.size(); ++i) classes[class_of[trace.rows[i].tenant]].rows.push_back(i);
  return classes;
}

void name_apart(std::vector<FitClass>& classes) {
  const std::string name = classes.back().name;
  const auto taken = [&](const std::string& wanted) {
    return std::any_of(classes.begin(), classes.end() - 1,
                       [&](const FitClass& c) { return c.name == wanted; });
  };
  for (std::size_t same = 2; taken(classes.back().name); ++same)
    classes.back().name = fmt::format("{} ({})", name, same);
}

std::string pool_name(const PrefixFit::Class& cls) {
  return fmt::format("prefix {} to {}", length_text(cls.token_quantiles.front()),
                     length_text(cls.token_quantiles.back()));
}

void split_by_tenant(const Trace& trace, const std::vector<std::size_t>& turns,
                     std::vector<std::uint32_t> rows, std::size_t most, std::vector<FitClass>& classes) {
  std::map<std::uint32_t, std::vector<std::uint32_t>> of_tenant;
  for (const std::uint32_t row : rows) of_tenant[trace.rows[row].tenant].push_back(row);
  std::vector<std::pair<std::string, std::vector<std::uint32_t>>> parts;
  std::vector<std::uint32_t> others;
  for (auto& [tenant, own] : of_tenant) {
    const bool matters =
        own.size() >= fewest_firsts &&
        static_cast<double>(own.size()) >= own_class_share * static_cast<double>(rows.size());
    if (of_tenant.size() > 1 && matters && parts.size() + 1 < most)
      parts.emplace_back(trace.tenants[tenant].empty() ? "unnamed" : trace.tenants[tenant], std::move(own));
    else
      others.insert(others.end(), own.begin(), own.end());
  }
  if (!others.empty()) parts.emplace_back(parts.empty() ? "" : "others", std::move(others));
  double left_turns = 0;
  const auto turns_in = [&](const std::vector<std::uint32_t>& own) {
    double sum = 0;
    for (const std::uint32_t row : own) sum += static_cast<double>(turns[row]);
    return sum;
  };
  for (const auto& part : parts) left_turns += turns_in(part.second);
  std::size_t left = std::max(most, parts.size());
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const double own = turns_in(parts[k].second);
    const std::size_t for_others = parts.size() - k - 1;
    const auto fair = static_cast<std::size_t>(std::llround(static_cast<double>(left) * own / left_turns));
    const std::size_t share = std::clamp<std::size_t>(fair, 1, left - for_others);
    left -= share;
    left_turns -= own;
    split_by_length(trace, turns, parts[k].first, std::move(parts[k].second), share, classes);
  }
}

void split_by_growth(const Trace& trace, const SessionForest& forest, const std::vector<std::size_t>& turns,
                     const std::vector<std::uint32_t>& rows, std::size_t most,
                     std::vector<FitClass>& classes) {
  const auto added = [&](std::uint32_t row) {
    const TraceRow &before = trace.rows[row], &next = trace.rows[forest.next[row]];
    return next.input_tokens - before.input_tokens - (forest.keeps_answers ? before.output_tokens : 0);
  };
  std::vector<std::uint32_t> kinds[3];  // alone, little, much
  double sum = 0, count = 0;
  for (const std::uint32_t row : rows) {
    if (forest.next[row] != no_parent) sum += added(row), count += 1;
  }
  for (const std::uint32_t row : rows)
    kinds[forest.next[row] == no_parent ? 0 : added(row) * count <= sum ? 1 : 2].push_back(row);
  const GapLaw gap = gap_law(trace, forest, rows);
  const char* const names[] = {"one request", "adds little", "adds much"};
  double unseen = 0;
  const std::size_t first = classes.size();
  for (const std::size_t k : {1U, 2U, 0U}) {
    if (kinds[k].empty()) continue;
    const std::size_t from = classes.size();
    const std::size_t share =
        k == 0 ? std::max<std::size_t>(most - (classes.size() - first), 1) : (most - 1) / 2;
    split_by_length(trace, turns, names[k], std::move(kinds[k]), std::max<std::size_t>(share, 1), classes);
    if (k == 0) {
      double alone = 0;
      for (std::size_t c = from; c < classes.size(); ++c) alone += classes[c].arrivals();
      for (std::size_t c = from; c < classes.size(); ++c)
        classes[c].weight = std::max(classes[c].arrivals() * (1 - std::min(unseen / alone, 0.99)), 1.0);
      continue;
    }
    for (std::size_t c = from; c < classes.size(); ++c) {
      double all = 0;
      for (const std::uint32_t row : classes[c].rows)
        all += 1 / std::max(gap.within(to_seconds(trace.length - trace.rows[row].due)), 0.2);
      if (!trace.notes.timed || trace.notes.at_once) all = static_cast<double>(classes[c].rows.size());
      unseen += all - static_cast<double>(classes[c].rows.size());
      classes[c].weight = all;
    }
  }
}

}  // namespace dsbench::loadgen
