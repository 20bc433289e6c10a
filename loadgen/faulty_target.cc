#include "loadgen/faulty_target.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string>

#include "core/text.h"

namespace dsbench::loadgen {
namespace {

using results::Fault;
using results::FaultKind;

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream stream{std::string{text}};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

}  // namespace

Result<Fault> parse_fault(std::string_view text, std::size_t providers) {
  const auto refuse = [&] {
    return fail(
        ErrorKind::usage,
        "the fault '{}' cannot be read; accepted: 'kill N at TIME', 'stall N at TIME', either with 'heal "
        "TIME' behind it, where N is a target from 0 to {} and TIME is since the start of the run: "
        "'kill 0 at 20s heal 40s'",
        text, providers - 1);
  };
  const auto words = words_of(text);
  if (words.size() != 4 && words.size() != 6) return refuse();
  Fault fault;
  if (words[0] == "stall") {
    fault.kind = FaultKind::stall;
  } else if (words[0] != "kill") {
    return refuse();
  }
  const char* const end = words[1].data() + words[1].size();
  const auto number = std::from_chars(words[1].data(), end, fault.provider);
  if (number.ec != std::errc{} || number.ptr != end || fault.provider >= providers || words[2] != "at") {
    return refuse();
  }
  DSBENCH_TRY(fault.at, parse_duration(words[3]));
  if (words.size() == 6) {
    if (words[4] != "heal") return refuse();
    DSBENCH_TRY(const Nanos heal, parse_duration(words[5]));
    if (heal <= fault.at) {
      return fail(ErrorKind::usage,
                  "the fault '{}' is healed before it begins; both times are since the start "
                  "of the run",
                  text);
    }
    fault.heal = heal;
  }
  return fault;
}

Result<std::vector<Fault>> parse_faults(const std::vector<std::string>& texts, std::size_t providers) {
  std::vector<Fault> faults;
  for (const std::string& text : texts) {
    DSBENCH_TRY(const Fault fault, parse_fault(text, providers));
    faults.push_back(fault);
  }
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) { return a.at < b.at; });
  for (std::size_t i = 0; i < faults.size(); ++i) {
    for (std::size_t k = i + 1; k < faults.size(); ++k) {
      if (faults[k].provider != faults[i].provider) continue;
      if (!faults[i].heal || faults[k].at < *faults[i].heal) {
        return fail(ErrorKind::usage,
                    "the faults '{}' and '{}' overlap; heal the first before the second begins",
                    print_fault(faults[i]), print_fault(faults[k]));
      }
    }
  }
  return faults;
}

std::string print_fault(const Fault& fault) {
  std::string text =
      fmt::format("{} {} at {}", to_word(fault.kind), fault.provider, print_duration(fault.at));
  if (fault.heal) text += " heal " + print_duration(*fault.heal);
  return text;
}

FaultyTarget::FaultyTarget(VirtualTarget& inner, std::vector<Fault> faults) : inner_{inner} {
  for (const Fault& fault : faults) {
    edges_.push_back({fault.at, true, fault.kind});
    if (fault.heal) edges_.push_back({*fault.heal, false, fault.kind});
  }
}

void FaultyTarget::fail_at(const Key& key, Nanos at, results::Reason reason) {
  TargetEvent event;
  event.request = key.first;
  event.attempt = key.second;
  event.kind = EventKind::failed;
  event.at = at;
  event.reason = reason;
  told_.push_back(event);
}

void FaultyTarget::pass(const Edge& edge) {
  if (edge.kind == FaultKind::kill) {
    killed_ = edge.begins;
    if (!killed_) return;
    for (const auto& [key, began] : live_) {
      inner_.cancel(key.first, key.second, edge.at - lag_);
      fail_at(key, edge.at, began ? results::Reason::closed_early : results::Reason::send_failed);
    }
    live_.clear();
    return;
  }
  stalled_ = edge.begins;
  if (stalled_) {
    stalled_at_ = edge.at;
    return;
  }
  lag_ += edge.at - stalled_at_;
  for (const Key& key : left_) inner_.cancel(key.first, key.second, edge.at - lag_);
  left_.clear();
  for (const Attempt& attempt : waiting_) inner_.submit(attempt, edge.at - lag_);
  waiting_.clear();
}

void FaultyTarget::pass_edges(Nanos now) {
  while (next_edge_ < edges_.size() && edges_[next_edge_].at <= now) pass(edges_[next_edge_++]);
}

void FaultyTarget::submit(const Attempt& attempt, Nanos now) {
  pass_edges(now);
  const Key key{attempt.request, attempt.attempt};
  if (killed_) {
    fail_at(key, now, results::Reason::connect_failed);
    return;
  }
  live_[key] = false;
  if (stalled_) {
    waiting_.push_back(attempt);
  } else {
    inner_.submit(attempt, now - lag_);
  }
}

void FaultyTarget::cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) {
  pass_edges(now);
  const Key key{request, attempt};
  std::erase_if(told_, [&](const TargetEvent& e) { return e.request == request && e.attempt == attempt; });
  if (live_.erase(key) == 0) return;
  if (!stalled_) {
    inner_.cancel(request, attempt, now - lag_);
    return;
  }
  const auto same = [&](const Attempt& a) { return a.request == request && a.attempt == attempt; };
  if (std::erase_if(waiting_, same) == 0) left_.push_back(key);
}

std::optional<Nanos> FaultyTarget::next_event() const {
  if (!told_.empty()) return told_.front().at;
  std::optional<Nanos> next;
  if (!stalled_) {
    next = inner_.next_event();
    if (next) *next += lag_;
  }
  if (next_edge_ < edges_.size() && (!next || edges_[next_edge_].at < *next)) next = edges_[next_edge_].at;
  return next;
}

void FaultyTarget::advance(Nanos now, std::vector<TargetEvent>& events) {
  // What the target itself says at the instant of a fault comes before it.
  if (!stalled_) {
    inner_told_.clear();
    if (const auto next = inner_.next_event(); next && *next <= now - lag_) {
      inner_.advance(now - lag_, inner_told_);
    }
    for (TargetEvent& event : inner_told_) {
      const auto live = live_.find({event.request, event.attempt});
      if (live == live_.end()) continue;
      live->second = true;
      if (event.kind == EventKind::done || event.kind == EventKind::failed) live_.erase(live);
      event.at += lag_;
      events.push_back(event);
    }
  }
  pass_edges(now);
  events.insert(events.end(), told_.begin(), told_.end());
  told_.clear();
}

}  // namespace dsbench::loadgen
