#include "loadgen/multi_target.h"

#include <algorithm>

namespace dsbench::loadgen {

void MultiTarget::submit(const Attempt& attempt, Nanos now) {
  at_[{attempt.request, attempt.attempt}] = attempt.provider;
  targets_.at(attempt.provider)->submit(attempt, now);
}

void MultiTarget::cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) {
  const auto place = at_.find({request, attempt});
  if (place == at_.end()) return;
  targets_[place->second]->cancel(request, attempt, now);
  at_.erase(place);
}

std::optional<Nanos> MultiTarget::next_event() const {
  std::optional<Nanos> next;
  for (const VirtualTarget* target : targets_) {
    if (const auto event = target->next_event(); event && (!next || *event < *next)) next = event;
  }
  return next;
}

void MultiTarget::advance(Nanos now, std::vector<TargetEvent>& events) {
  const auto from = static_cast<std::ptrdiff_t>(events.size());
  for (VirtualTarget* target : targets_) {
    if (const auto event = target->next_event(); event && *event <= now) target->advance(now, events);
  }
  std::stable_sort(events.begin() + from, events.end(),
                   [](const TargetEvent& a, const TargetEvent& b) { return a.at < b.at; });
  for (auto e = events.begin() + from; e != events.end(); ++e) {
    if (e->kind == EventKind::done || e->kind == EventKind::failed) at_.erase({e->request, e->attempt});
  }
}

}  // namespace dsbench::loadgen
