#include "results/verdicts/failover.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/text.h"

namespace dsbench::results {
namespace {

constexpr Nanos look_back{10'000'000'000};
constexpr std::int64_t window_requests = 20, least_requests = 5;
constexpr std::int64_t steady_cells = 10;  // a second
constexpr double share_needed = 0.95;

std::string name_of(const FailoverEvidence& e, std::uint16_t provider) {
  return provider < e.names.size() ? fmt::format("target {} ({})", provider, e.names[provider])
                                   : fmt::format("target {}", provider);
}

std::optional<double> share_before(const FailoverEvidence& e, Nanos start) {
  std::int64_t all = 0, good = 0;
  for (const OutcomeCell& c : e.by_done) {
    const Nanos from = outcome_cell * c.cell;
    if (from < start - look_back || from + outcome_cell > start) continue;
    all += c.all;
    good += c.good;
  }
  if (all == 0) return std::nullopt;
  return static_cast<double>(good) / static_cast<double>(all);
}

// Cells one after the other, those without requests included.
class Cells {
 public:
  explicit Cells(const std::vector<OutcomeCell>& cells) {
    if (cells.empty()) return;
    sums_.resize(static_cast<std::size_t>(cells.back().cell) + 2);
    for (const OutcomeCell& c : cells) {
      if (c.cell >= 0) sums_[static_cast<std::size_t>(c.cell) + 1] = {c.all, c.good};
    }
    for (std::size_t i = 1; i < sums_.size(); ++i) {
      sums_[i].all += sums_[i - 1].all;
      sums_[i].good += sums_[i - 1].good;
    }
  }
  struct Sum {
    std::int64_t all = 0, good = 0;
  };
  [[nodiscard]] std::int64_t size() const {
    return sums_.empty() ? 0 : static_cast<std::int64_t>(sums_.size()) - 1;
  }
  [[nodiscard]] Sum between(std::int64_t from, std::int64_t to) const {
    const Sum &a = sums_[static_cast<std::size_t>(from)], &b = sums_[static_cast<std::size_t>(to)];
    return {b.all - a.all, b.good - a.good};
  }
  // From a cell on, as many cells as have 20 requests; fewer at the end.
  [[nodiscard]] Sum window(std::int64_t from) const {
    const std::int64_t wanted = sums_[static_cast<std::size_t>(from)].all + window_requests;
    const auto end = std::lower_bound(sums_.begin() + from, sums_.end(), wanted,
                                      [](const Sum& s, std::int64_t n) { return s.all < n; });
    return between(from, end == sums_.end() ? size() : end - sums_.begin());
  }

 private:
  std::vector<Sum> sums_;
};

std::optional<Nanos> back_at(const Cells& cells, Nanos start, double share) {
  const auto has = [share](const Cells::Sum& s) {
    return static_cast<double>(s.good) >= share * static_cast<double>(s.all) - 1e-9;
  };
  for (std::int64_t c = start / outcome_cell; c < cells.size(); ++c) {
    if (cells.between(c, cells.size()).all < least_requests) return std::nullopt;
    const Cells::Sum own = cells.between(c, c + 1);
    bool stays = own.all == 0 || has(own);
    for (std::int64_t k = c; stays && k < std::min(cells.size(), c + steady_cells); ++k) {
      stays = has(cells.window(k));
    }
    if (stays) return std::max(Nanos{0}, outcome_cell * c - start);
  }
  return std::nullopt;
}

// Of each worker, the first decision of a kind about a provider in [from, to).
std::map<std::uint32_t, Nanos> firsts(const FailoverEvidence& e, std::uint16_t provider,
                                      ProviderChange change, Nanos from, Nanos to) {
  std::map<std::uint32_t, Nanos> at;
  for (const ProviderDecision& d : e.decisions) {
    if (d.provider == provider && d.change == change && d.at >= from && d.at < to)
      at.try_emplace(d.worker, d.at);
  }
  return at;
}

Nanos latest(const std::map<std::uint32_t, Nanos>& at) {
  Nanos last{0};
  for (const auto& [worker, t] : at) last = std::max(last, t);
  return last;
}
Nanos earliest(const std::map<std::uint32_t, Nanos>& at) {
  Nanos first = Nanos::max();
  for (const auto& [worker, t] : at) first = std::min(first, t);
  return first;
}

class Judge {
 public:
  explicit Judge(const FailoverEvidence& e) : e_{e}, cells_{e.by_due} {}

  Incident of_fault(const Fault& fault) {
    Incident incident;
    incident.provider = fault.provider;
    incident.cause = std::string{to_word(fault.kind)};
    incident.start = fault.at;
    incident.end = fault.heal;
    Nanos until = Nanos::max();
    for (const Fault& next : e_.faults) {
      if (next.provider == fault.provider && next.at > fault.at) until = std::min(until, next.at);
    }
    const auto found = firsts(e_, fault.provider, ProviderChange::ejected, fault.at, until);
    for (const auto& [worker, at] : found) explained_.insert({fault.provider, worker, at});
    finish(incident, found, until);
    return incident;
  }

  // Ejections that no fault explains.
  void find(std::vector<Incident>& incidents) {
    std::map<std::uint16_t, Nanos> over;  // until when the last incident of a provider lasts
    for (const ProviderDecision& d : e_.decisions) {
      if (d.change != ProviderChange::ejected || explained_.contains({d.provider, d.worker, d.at})) continue;
      if (const auto last = over.find(d.provider); last != over.end() && d.at < last->second) continue;
      Incident incident;
      incident.provider = d.provider;
      incident.cause = "found by the clients";
      incident.start = std::min(d.at, e_.first_failure ? e_.first_failure(d.provider, d.at) : d.at);
      const auto closed = firsts(e_, d.provider, ProviderChange::closed, d.at, Nanos::max());
      if (!closed.empty()) incident.end = earliest(closed);
      over[d.provider] = incident.end.value_or(Nanos::max());
      finish(incident, firsts(e_, d.provider, ProviderChange::ejected, d.at, over[d.provider]), Nanos::max());
      incidents.push_back(std::move(incident));
    }
  }

  // What was lost in any of the incidents. When both providers are down at once, each request is lost once.
  [[nodiscard]] std::int64_t lost_in_all(const std::vector<Incident>& incidents) {
    std::int64_t lost = 0;
    for (const Incident& i : incidents) lost += i.requests_lost;
    std::sort(lost_in_.begin(), lost_in_.end());
    std::vector<std::pair<Nanos, Nanos>> apart;
    for (const auto& [from, to] : lost_in_) {
      if (apart.empty() || from >= apart.back().second) {
        apart.emplace_back(from, to);
      } else {
        apart.back().second = std::max(apart.back().second, to);
      }
    }
    if (apart.size() == lost_in_.size()) return lost;
    lost = 0;
    for (const auto& [from, to] : apart) lost += e_.losses(from, to).lost;
    return lost;
  }

 private:
  void finish(Incident& incident, const std::map<std::uint32_t, Nanos>& found, Nanos until) {
    if (!found.empty()) {
      incident.detection = earliest(found) - incident.start;
      incident.detection_last = latest(found) - incident.start;
    }
    incident.good_share_before = share_before(e_, incident.start);
    incident.failover =
        back_at(cells_, incident.start, share_needed * incident.good_share_before.value_or(1.0));
    const Nanos back = incident.failover ? incident.start + *incident.failover : e_.end;
    // The requests of the tenth in which it began are the incident's in any case.
    const Nanos lost_until = std::max(back, incident.start + outcome_cell);
    if (e_.losses) {
      lost_in_.emplace_back(incident.start, lost_until);
      const auto losses = e_.losses(incident.start, lost_until);
      incident.requests_lost = losses.lost;
      incident.requests_late = losses.late;
    }
    std::set<std::uint64_t> sessions;
    const Nanos over = std::min(until, incident.end.value_or(e_.end));
    for (const SessionMove& move : e_.moves) {
      if (move.due < incident.start || move.due >= over || move.to == incident.provider) continue;
      sessions.insert(move.session);
      incident.reprefilled_tokens += move.prompt_tokens;
    }
    incident.sessions_moved = static_cast<std::int64_t>(sessions.size());
    if (incident.end && !found.empty()) {
      const auto returned = firsts(e_, incident.provider, ProviderChange::readmitted, *incident.end, until);
      const bool all =
          std::all_of(found.begin(), found.end(), [&](const auto& f) { return returned.contains(f.first); });
      if (all) incident.failback = latest(returned) - *incident.end;
    }
  }

  const FailoverEvidence& e_;
  Cells cells_;
  std::set<std::tuple<std::uint16_t, std::uint32_t, Nanos>> explained_;
  std::vector<std::pair<Nanos, Nanos>> lost_in_;  // the stretches that incidents counted their losses in
};

std::string sentence_of(const FailoverEvidence& e, const Incident& i) {
  std::string text = fmt::format("{}: {} at {}", name_of(e, i.provider), i.cause, format_duration(i.start));
  text += i.detection ? fmt::format(", detected after {}", format_duration(*i.detection))
                      : std::string{", not detected: no breaker opened"};
  text += i.failover ? fmt::format(", good rate back after {}", format_duration(*i.failover))
                     : std::string{", the good rate did not come back"};
  text += fmt::format(", {} request{} lost", i.requests_lost, i.requests_lost == 1 ? "" : "s");
  if (i.reprefilled_tokens > 0) {
    text += fmt::format(", {} session{} moved with {} tokens of history", i.sessions_moved,
                        i.sessions_moved == 1 ? "" : "s", i.reprefilled_tokens);
  }
  if (i.failback) text += fmt::format(", used again {} after it was whole", format_duration(*i.failback));
  return text + ".";
}

}  // namespace

Failover judge_failover(const FailoverEvidence& e, Nanos objective) {
  Failover failover;
  failover.objective = objective;
  Judge judge{e};
  for (const Fault& fault : e.faults) failover.incidents.push_back(judge.of_fault(fault));
  judge.find(failover.incidents);
  failover.requests_lost = judge.lost_in_all(failover.incidents);
  std::stable_sort(failover.incidents.begin(), failover.incidents.end(),
                   [](const Incident& a, const Incident& b) { return a.start < b.start; });
  for (const ProviderDecision& d : e.decisions) {
    if (d.change == ProviderChange::ejected || d.change == ProviderChange::readmitted) ++failover.changes;
  }
  const double minutes = to_seconds(e.end) / 60;
  if (minutes > 0) {
    failover.changes_per_minute = static_cast<double>(failover.changes) / minutes / std::max(1U, e.workers);
  }
  std::set<std::uint64_t> sessions;
  for (const SessionMove& move : e.moves) {
    sessions.insert(move.session);
    failover.reprefilled_tokens += move.prompt_tokens;
  }
  failover.sessions_moved = static_cast<std::int64_t>(sessions.size());
  if (failover.incidents.empty()) {
    failover.sentence = "No provider failed, and none was taken out.";
  }
  constexpr std::size_t most_sentences = 6;
  for (std::size_t i = 0; i < failover.incidents.size() && i < most_sentences; ++i) {
    failover.sentence += (i > 0 ? " " : "") + sentence_of(e, failover.incidents[i]);
  }
  if (failover.incidents.size() > most_sentences) {
    failover.sentence += fmt::format(" And {} more.", failover.incidents.size() - most_sentences);
  }
  return failover;
}

std::optional<Criterion> failover_criterion(const Failover& failover, Nanos run_end) {
  if (failover.incidents.empty()) return std::nullopt;
  Criterion criterion;
  criterion.name = fmt::format("failover ≤ {}", format_duration(failover.objective));
  criterion.verdict = StepVerdict::good;
  Nanos worst{0};
  const std::int64_t lost = failover.requests_lost;
  std::size_t open = 0;
  for (const Incident& i : failover.incidents) {
    if (i.failover) {
      worst = std::max(worst, *i.failover);
      if (*i.failover > failover.objective) criterion.verdict = StepVerdict::bad;
      continue;
    }
    ++open;
    if (run_end >= i.start + failover.objective) {
      criterion.verdict = StepVerdict::bad;
    } else if (criterion.verdict == StepVerdict::good) {
      criterion.verdict = StepVerdict::unclear;
    }
  }
  criterion.measured = open == failover.incidents.size()
                           ? std::string{"the good rate did not come back"}
                           : fmt::format("{}{}", format_duration(worst),
                                         open > 0 ? fmt::format("; {} of {} incidents did not end", open,
                                                                failover.incidents.size())
                                                  : "");
  criterion.measured += fmt::format(", {} request{} lost", lost, lost == 1 ? "" : "s");
  return criterion;
}

}  // namespace dsbench::results
