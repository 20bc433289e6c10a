#include "loadgen/traces/session_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {
namespace {

constexpr std::size_t most_quantiles = 40;
constexpr std::size_t enough_turns = 30;
constexpr std::size_t most_turns = 1000;
// Of the tail: a conversation ends at last, however few were seen to.
constexpr double most_likely_to_go_on = 0.99;

// Turns by the place in their conversation: how many had a successor; of how many it would have been seen, if
// all had one; and how many they were.
struct GoingOn {
  std::vector<double> seen, could, turns;
  void add(std::size_t place, bool has_next, double visible) {
    if (seen.size() <= place) {
      seen.resize(place + 1);
      could.resize(place + 1);
      turns.resize(place + 1);
    }
    if (has_next) seen[place] += 1;
    could[place] += visible;
    turns[place] += 1;
  }
};

// The probability of going on after a turn is its place's, as long as enough were seen, then that of all
// later ones together.
TurnLaw turn_law(const GoingOn& on) {
  TurnLaw law;
  double left = 1;
  double last = 0;
  bool tail = false;
  for (std::size_t place = 0; place < most_turns; ++place) {
    if (!tail) {
      double seen = 0, could = 0;
      const bool enough = place < on.could.size() && on.turns[place] >= static_cast<double>(enough_turns);
      const std::size_t end = enough ? place + 1 : on.could.size();
      for (std::size_t k = place; k < end; ++k) seen += on.seen[k], could += on.could[k];
      last = could > 0 ? std::min(enough ? 1.0 : most_likely_to_go_on, seen / could) : 0;
      tail = !enough;
    }
    law.weights.push_back(left * (1 - last));
    left *= last;
    if (left < 1e-4) break;
  }
  law.weights.back() += left;
  return law;
}

}  // namespace

std::vector<double> quantiles_with_mean(std::vector<double> values, std::size_t n) {
  std::sort(values.begin(), values.end());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  std::vector<double> quantiles;
  double others = 0;
  for (std::size_t q = 0; q <= n; ++q) {
    quantiles.push_back(quantile_of(values, static_cast<double>(q) / static_cast<double>(n)));
    if (q < n) others += quantiles.back() * (q == 0 ? 0.5 : 1.0);
  }
  quantiles.back() =
      std::clamp(2 * (static_cast<double>(n) * mean - others), quantiles[n - 1], quantiles.back());
  return quantiles;
}

GapLaw::GapLaw(std::span<const Gap> gaps) {
  std::vector<double> watched;
  for (const Gap& gap : gaps) {
    gap_s_.push_back(gap.seconds);
    watched.push_back(gap.watched_s);
  }
  std::sort(gap_s_.begin(), gap_s_.end());
  std::sort(watched.begin(), watched.end());
  // From the longest gap down: of those no longer than it that were watched so long, one is it.
  cumulated_.assign(gap_s_.size(), 1);
  std::size_t longer = watched.size();  // of those watched at least as long as the gap
  for (std::size_t i = gap_s_.size(); i-- > 1;) {
    while (longer > 0 && watched[longer - 1] >= gap_s_[i]) --longer;
    const auto at_risk = static_cast<double>(std::max<std::size_t>(i + 1 - longer, 2));
    cumulated_[i - 1] = cumulated_[i] * (1 - 1 / at_risk);
  }
}

double GapLaw::within(double seconds) const {
  const auto at = std::upper_bound(gap_s_.begin(), gap_s_.end(), seconds) - gap_s_.begin();
  return at == 0 ? 0 : cumulated_[static_cast<std::size_t>(at - 1)];
}

std::vector<double> GapLaw::quantiles(std::size_t n) const {
  // As many equally probable values as give the same law: then the mean is kept as that of any others.
  std::vector<double> values;
  const std::size_t m = std::max<std::size_t>(gap_s_.size() * 4, 4 * n);
  std::size_t at = 0;
  for (std::size_t i = 0; i < m; ++i) {
    const double u = (static_cast<double>(i) + 0.5) / static_cast<double>(m);
    while (at + 1 < gap_s_.size() && cumulated_[at] < u) ++at;
    values.push_back(gap_s_[at]);
  }
  return quantiles_with_mean(std::move(values), n);
}

GapLaw gap_law(const Trace& trace, const SessionForest& forest, std::span<const std::uint32_t> firsts) {
  std::vector<bool> ours(trace.size());
  for (const std::uint32_t row : firsts) ours[row] = true;
  std::vector<GapLaw::Gap> gaps;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const std::uint32_t from = forest.parent[i];
    if (from == no_parent || !ours[forest.first[i]]) continue;
    const Nanos before = trace.rows[from].due;
    gaps.push_back({to_seconds(trace.rows[i].due - before), to_seconds(trace.length - before)});
  }
  return GapLaw{gaps};
}

double TurnLaw::mean() const {
  double mean = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) mean += weights[k] * static_cast<double>(k + 1);
  return mean;
}

SessionLaws fit_session_laws(const Trace& trace, const SessionForest& forest,
                             std::span<const std::uint32_t> firsts, const SessionLaws* of_all) {
  std::vector<bool> ours(trace.size());
  for (const std::uint32_t row : firsts) ours[row] = true;
  const bool timed = trace.notes.timed && !trace.notes.at_once;
  std::vector<double> users, outputs;
  std::vector<bool> in_fork(trace.size());
  std::size_t forks = 0;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!ours[forest.first[i]]) continue;
    const std::uint32_t from = forest.parent[i];
    if (from != no_parent) {
      if (forest.is_fork(i)) ++forks;
      in_fork[i] = forest.is_fork(i) || in_fork[from];
      const TraceRow &row = trace.rows[i], &before = trace.rows[from];
      const std::int32_t answer = forest.keeps_answers ? before.output_tokens : 0;
      users.push_back(std::max(1, row.input_tokens - before.input_tokens - answer));
      outputs.push_back(std::max(1, row.output_tokens));
    }
  }
  SessionLaws laws;
  const GapLaw gap = timed ? gap_law(trace, forest, firsts) : GapLaw{{}};
  GoingOn main, fork;
  double could_fork = 0;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!ours[forest.first[i]]) continue;
    const double visible = timed ? gap.within(to_seconds(trace.length - trace.rows[i].due)) : 1;
    (in_fork[i] ? fork : main).add(forest.place[i], forest.next[i] != no_parent, visible);
    if (forest.next[i] != no_parent) could_fork += visible;
  }
  const bool enough = users.size() >= enough_turns || of_all == nullptr;
  laws.turns = turn_law(main);
  if (forks > 0) {
    laws.fork_turns = turn_law(fork);
    laws.fork_share = static_cast<double>(forks) / std::max(could_fork, 1.0);
  }
  if (!enough) {
    laws.gap_quantiles = of_all->gap_quantiles;
    laws.user_quantiles = of_all->user_quantiles;
    laws.output_quantiles = of_all->output_quantiles;
    return laws;
  }
  if (users.empty()) return laws;
  const std::size_t n = std::clamp<std::size_t>(users.size() / 10, 2, most_quantiles);
  if (timed) laws.gap_quantiles = gap.quantiles(n);
  laws.user_quantiles = quantiles_with_mean(std::move(users), n);
  laws.output_quantiles = quantiles_with_mean(std::move(outputs), n);
  return laws;
}

}  // namespace dsbench::loadgen
