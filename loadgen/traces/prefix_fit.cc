#include "loadgen/traces/prefix_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {
namespace {

// The ranks of a Zipf law: one by one at the head, by geometric stretches behind. Powers are costly, and a
// fit asks for the ranks of many counts at one exponent: they are kept.
class ZipfRanks {
 public:
  explicit ZipfRanks(double zipf) : zipf_{zipf} {}

  // Calls f(probability, how many) for each stretch of the ranks 1 to count.
  template <class F>
  void each(std::int64_t count, F f) {
    while (end_ < count) {
      const std::int64_t n = length_at(end_ + 1);
      stretches_.push_back(stretch(end_ + 1, n));
      sums_.push_back((sums_.empty() ? 0 : sums_.back()) +
                      stretches_.back().weight * stretches_.back().ranks);
      end_ += n;
      ends_.push_back(end_);
    }
    const auto whole =
        static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), count) - ends_.begin());
    double sum = whole == 0 ? 0 : sums_[whole - 1];
    const std::int64_t left = count - (whole == 0 ? 0 : ends_[whole - 1]);
    Stretch last;
    if (left > 0) {
      last = stretch(count - left + 1, left);
      sum += last.weight * last.ranks;
    }
    for (std::size_t i = 0; i < whole; ++i) f(stretches_[i].weight / sum, stretches_[i].ranks);
    if (left > 0) f(last.weight / sum, last.ranks);
  }

 private:
  struct Stretch {
    double weight = 0, ranks = 0;  // of one rank; how many
  };
  [[nodiscard]] static std::int64_t length_at(std::int64_t rank) {
    return rank < 256 ? 1 : std::max<std::int64_t>(rank / 64, 1);
  }
  [[nodiscard]] Stretch stretch(std::int64_t first, std::int64_t n) const {
    const auto ranks = static_cast<double>(n);
    return {std::pow(static_cast<double>(first) + (ranks - 1) / 2, -zipf_), ranks};
  }
  double zipf_;
  std::vector<Stretch> stretches_;
  std::vector<double> sums_;        // of the weights of all ranks, up to each stretch's end
  std::vector<std::int64_t> ends_;  // the last rank of each
  std::int64_t end_ = 0;
};

double distinct_among(double draws, std::int64_t count, ZipfRanks& ranks) {
  double distinct = 0;
  ranks.each(count, [&](double p, double n) {
    distinct += -std::expm1(draws * std::log1p(-std::min(p, 1 - 1e-12))) * n;
  });
  return distinct;
}

double pairs_among(double draws, std::int64_t count, ZipfRanks& ranks) {
  double squares = 0;
  ranks.each(count, [&](double p, double n) { squares += p * p * n; });
  return draws * (draws - 1) * squares;
}

class Groups {
 public:
  explicit Groups(std::size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), 0U); }
  [[nodiscard]] std::uint32_t root(std::uint32_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(std::uint32_t a, std::uint32_t b) { parent_[root(a)] = root(b); }

 private:
  std::vector<std::uint32_t> parent_;
};

// What is found in a conversation is more than one prefix of one length can hold: each turn finds the turn
// before. For what is missing, requests that share nothing are paired, neighbours by length, as many as it
// takes and spread over all lengths; the longer one finds the shorter one. Takes them out of `rows`.
std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs_for(const Trace& trace, std::int32_t system_tokens,
                                                               double missing,
                                                               std::vector<std::uint32_t>& rows) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  std::sort(rows.begin(), rows.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair{-trace.rows[a].input_tokens, a} < std::pair{-trace.rows[b].input_tokens, b};
  });
  const auto room = [&](std::size_t i) {
    return std::max(0.0, static_cast<double>(trace.rows[rows[i + 1]].input_tokens - system_tokens - 1));
  };
  double all = 0;
  for (std::size_t i = 0; i + 1 < rows.size(); i += 2) all += room(i);
  if (all <= 0 || missing < 0.001 * all) return pairs;
  const double share = std::min(1.0, missing / all);
  std::vector<std::uint32_t> left;
  double given = 0, passed = 0;
  for (std::size_t i = 0; i < rows.size(); i += 2) {
    const bool both = i + 1 < rows.size();
    if (both) passed += room(i);
    if (both && room(i) >= 1 && given + room(i) / 2 <= share * passed) {
      pairs.emplace_back(rows[i], rows[i + 1]);
      given += room(i);
      continue;
    }
    left.push_back(rows[i]);
    if (both) left.push_back(rows[i + 1]);
  }
  rows = std::move(left);
  return pairs;
}

}  // namespace

std::int32_t common_beginning(const Trace& trace, std::span<const std::uint32_t> rows) {
  const double enough = 0.9 * static_cast<double>(rows.size());
  std::vector<std::uint64_t> beginning;
  // A last block that the prompt does not fill is no part of what others could share.
  const auto next_of = [&](std::uint32_t row) -> const std::uint64_t* {
    const auto all = trace.hashes_of(row);
    const auto hashes = all.first(
        std::min<std::size_t>(all.size(), static_cast<std::size_t>(trace.rows[row].input_tokens) /
                                              static_cast<std::size_t>(std::max(trace.block_tokens, 1))));
    const bool begins =
        hashes.size() > beginning.size() && std::equal(beginning.begin(), beginning.end(), hashes.begin());
    return begins ? &hashes[beginning.size()] : nullptr;
  };
  for (;;) {
    // Only one hash can be of nine in ten: the one that is left when unlike ones are struck out in pairs.
    std::uint64_t candidate = 0;
    std::size_t unpaired = 0, n = 0;
    for (const std::uint32_t row : rows) {
      const std::uint64_t* next = next_of(row);
      if (next == nullptr) continue;
      if (unpaired == 0) candidate = *next;
      unpaired += *next == candidate ? 1 : std::size_t{0} - 1;
    }
    for (const std::uint32_t row : rows) {
      const std::uint64_t* next = next_of(row);
      n += next != nullptr && *next == candidate ? 1 : 0;
    }
    if (n == 0 || static_cast<double>(n) < enough) break;
    beginning.push_back(candidate);
  }
  return static_cast<std::int32_t>(beginning.size()) * trace.block_tokens;
}

double expected_distinct(double draws, std::int64_t count, double zipf) {
  ZipfRanks ranks{zipf};
  return distinct_among(draws, count, ranks);
}

PoolFit fit_pool(double draws, double distinct, double pairs) {
  PoolFit best;
  double best_error = HUGE_VAL;
  for (int step = 0; step <= 30; ++step) {
    const double zipf = step * 0.1;
    ZipfRanks ranks{zipf};
    std::int64_t low = std::max<std::int64_t>(1, static_cast<std::int64_t>(distinct)), high = low;
    while (high < 100'000'000 && distinct_among(draws, high, ranks) < distinct) high *= 2;
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      (distinct_among(draws, middle, ranks) < distinct ? low = middle + 1 : high = middle);
    }
    const double error = std::abs(distinct_among(draws, low, ranks) - distinct) / distinct +
                         0.1 * std::abs(std::log(pairs_among(draws, low, ranks) / std::max(pairs, 1.0)));
    if (error < best_error) best_error = error, best = {low, zipf};
  }
  return best;
}

PrefixFit fit_prefixes(const Trace& trace, const PromptIndex& index, std::span<const std::uint32_t> rows,
                       std::size_t most_classes, double own_class_share) {
  PrefixFit fit;
  fit.prefix_tokens.assign(trace.size(), 0);
  fit.system_tokens = common_beginning(trace, rows);
  Groups groups(trace.size());
  std::vector<std::int64_t> found(trace.size());  // tokens beyond the system prompt
  std::vector<std::uint32_t> last(index.numbers(), no_parent);
  for (const std::uint32_t i : rows) {
    const auto numbers = index.of(i);
    std::size_t shared = 0;
    while (shared < numbers.size() && last[numbers[shared]] != no_parent) ++shared;
    const std::int64_t tokens = std::min(static_cast<std::int64_t>(shared) * trace.block_tokens,
                                         std::int64_t{trace.rows[i].input_tokens});
    const std::uint32_t from = tokens > fit.system_tokens ? last[numbers[shared - 1]] : i;
    for (const std::uint32_t number : numbers) last[number] = i;
    if (from == i) continue;
    found[i] = tokens - fit.system_tokens;
    groups.join(i, from);
  }
  struct Group {
    std::vector<std::uint32_t> rows;
    double found = 0;
    double tokens = 0;
  };
  std::vector<std::uint32_t> group_of(trace.size(), no_parent);  // of a root
  std::vector<Group> all;
  for (const std::uint32_t i : rows) {
    std::uint32_t& group = group_of[groups.root(i)];
    if (group == no_parent) {
      group = static_cast<std::uint32_t>(all.size());
      all.emplace_back();
    }
    all[group].rows.push_back(i);
    all[group].found += static_cast<double>(found[i]);
  }
  PrefixFit::Class alone;
  std::vector<std::size_t> order;
  double total = 0, missing = 0;  // tokens that are found; those for which no group has room
  for (std::size_t g = 0; g < all.size(); ++g) {
    if (all[g].rows.size() < 2) {
      alone.rows.push_back(all[g].rows.front());
      continue;
    }
    Group& group = all[g];
    missing += group.found;
    // A conversation's first turns are shorter than what its later ones share; they have no prefix of the
    // group's, or they would become as long. What is left of the group shares as much as makes up for them,
    // if it can.
    std::vector<std::uint32_t> sharers = group.rows;
    std::sort(sharers.begin(), sharers.end(), [&](std::uint32_t a, std::uint32_t b) {
      return std::pair{-trace.rows[a].input_tokens, a} < std::pair{-trace.rows[b].input_tokens, b};
    });
    std::size_t kept = 0;
    double most = 0;
    for (std::size_t m = 2; m <= sharers.size(); ++m) {
      // A request has at least one token of its own.
      const double room = trace.rows[sharers[m - 1]].input_tokens - fit.system_tokens - 1;
      const double shared = std::min(room, group.found / static_cast<double>(m - 1));
      // As many members as the most that can be shared allows: among equals, but for rounding, the larger
      // group.
      if (const double in_all = shared * static_cast<double>(m - 1); in_all >= most * (1 - 1e-9)) {
        most = std::max(most, in_all);
        kept = m;
        group.tokens = shared;
      }
    }
    if (kept < 2 || group.tokens < 1) {
      alone.rows.insert(alone.rows.end(), sharers.begin(), sharers.end());
      continue;
    }
    alone.rows.insert(alone.rows.end(), sharers.begin() + static_cast<std::ptrdiff_t>(kept), sharers.end());
    sharers.resize(kept);
    std::sort(sharers.begin(), sharers.end());
    group.rows = std::move(sharers);
    group.found = group.tokens * static_cast<double>(kept - 1);
    missing -= group.found;
    total += group.found;
    order.push_back(g);
    for (const std::uint32_t row : all[g].rows)
      fit.prefix_tokens[row] = static_cast<std::int32_t>(std::max(1.0, std::round(all[g].tokens)));
  }
  for (const auto& [a, b] : pairs_for(trace, fit.system_tokens, missing, alone.rows)) {
    const double tokens = trace.rows[b].input_tokens - fit.system_tokens - 1;
    order.push_back(all.size());
    all.push_back({{a, b}, tokens, tokens});
    total += tokens;
    for (const std::uint32_t row : {a, b}) fit.prefix_tokens[row] = static_cast<std::int32_t>(tokens);
  }
  std::sort(alone.rows.begin(), alone.rows.end());
  if (!alone.rows.empty()) fit.classes.push_back(std::move(alone));
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return all[a].tokens < all[b].tokens; });
  const auto add_class = [&](std::span<const std::size_t> members) {
    PrefixFit::Class cls;
    std::vector<double> tokens;  // of each request's prefix
    double pairs = 0;
    for (const std::size_t g : members) {
      const Group& group = all[g];
      const auto k = static_cast<double>(group.rows.size());
      pairs += k * (k - 1);
      cls.rows.insert(cls.rows.end(), group.rows.begin(), group.rows.end());
      tokens.insert(tokens.end(), group.rows.size(), std::max(1.0, std::round(group.tokens)));
    }
    const PoolFit pool =
        fit_pool(static_cast<double>(cls.rows.size()), static_cast<double>(members.size()), pairs);
    cls.count = pool.count;
    cls.zipf = pool.zipf;
    std::sort(cls.rows.begin(), cls.rows.end());
    std::sort(tokens.begin(), tokens.end());
    constexpr int quantiles = 10;
    double others = 0, mean = 0;
    for (const double t : tokens) mean += t / static_cast<double>(tokens.size());
    for (int q = 0; q <= quantiles; ++q) {
      cls.token_quantiles.push_back(std::round(quantile_of(tokens, static_cast<double>(q) / quantiles)));
      if (q < quantiles) others += cls.token_quantiles.back() * (q == 0 ? 0.5 : 1.0);
    }
    cls.token_quantiles.back() = std::clamp(std::round(2 * (quantiles * mean - others)),
                                            cls.token_quantiles[quantiles - 1], cls.token_quantiles.back());
    fit.classes.push_back(std::move(cls));
  };
  const auto large = std::stable_partition(order.begin(), order.end(), [&](std::size_t g) {
    return static_cast<double>(all[g].rows.size()) >= own_class_share * static_cast<double>(rows.size());
  });
  std::span<const std::size_t> left{order};
  const auto own = static_cast<std::size_t>(large - order.begin());
  std::size_t classes_left = most_classes;
  for (std::size_t k = 0; k < own && classes_left > 1; ++k, --classes_left) {
    add_class(left.first(1));
    total -= all[left.front()].found;
    left = left.subspan(1);
  }
  double sum = 0;
  for (std::size_t made = 0; !left.empty(); ++made) {
    const double until = total * static_cast<double>(made + 1) / static_cast<double>(classes_left);
    std::size_t taken = 0;
    do sum += all[left[taken++]].found;
    while (taken < left.size() && sum < until);
    add_class(left.first(taken));
    left = left.subspan(taken);
  }
  return fit;
}

}  // namespace dsbench::loadgen
