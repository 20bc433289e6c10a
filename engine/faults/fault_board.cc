#include "engine/faults/fault_board.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/rng.h"

namespace dsbench::engine {
namespace {

Nanos end_of(const Fault& fault) {
  return fault.duration && *fault.duration < Nanos::max() - fault.start ? fault.start + *fault.duration
                                                                        : Nanos::max();
}

}  // namespace

std::int64_t FaultBoard::add(Fault fault, Nanos now) {
  fault.start += now;
  entries_.push_back({++last_id_, std::move(fault)});
  return last_id_;
}

bool FaultBoard::end(std::int64_t id, Nanos at) {
  const auto entry =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.id == id; });
  if (entry == entries_.end()) return false;
  if (at <= entry->fault.start) {
    entries_.erase(entry);  // it never was
  } else {
    const Nanos left = at - entry->fault.start;
    entry->fault.duration = std::min(entry->fault.duration.value_or(left), left);
  }
  return true;
}

std::optional<Nanos> FaultBoard::next_change(Nanos now) const {
  std::optional<Nanos> next;
  for (const Entry& entry : entries_) {
    for (const Nanos at : {entry.fault.start, end_of(entry.fault)}) {
      if (at > now && at < Nanos::max() && (!next || at < *next)) next = at;
    }
  }
  return next;
}

std::size_t FaultBoard::clear(std::optional<FaultKind> kind) {
  return std::erase_if(entries_, [&](const Entry& entry) { return !kind || entry.fault.kind == *kind; });
}

void FaultBoard::expire(Nanos now) {
  std::erase_if(entries_, [&](const Entry& entry) { return now >= end_of(entry.fault); });
}

const Fault* FaultBoard::active(FaultKind kind, Nanos now) const {
  const Fault* found = nullptr;
  for (const Entry& entry : entries_) {
    if (entry.fault.kind == kind && now >= entry.fault.start && now < end_of(entry.fault))
      found = &entry.fault;
  }
  return found;
}

const Fault* FaultBoard::hits(FaultKind kind, std::uint64_t request, Nanos now) const {
  const Fault* fault = active(kind, now);
  if (fault == nullptr) return nullptr;
  Rng rng{fault->seed, to_word(kind), request};
  return rng.uniform() < fault->share ? fault : nullptr;
}

RequestFaults FaultBoard::draw(std::uint64_t request, Nanos now) const {
  RequestFaults faults;
  if (entries_.empty()) return faults;
  if (const Fault* f = hits(FaultKind::latency, request, now)) {
    Rng rng{f->seed, "latency.jitter", request};
    const double jitter = (2 * rng.uniform() - 1) * static_cast<double>(f->jitter.count());
    faults.delay = std::max(Nanos{0}, f->delay + Nanos{std::llround(jitter)});
  }
  if (const Fault* f = hits(FaultKind::stall, request, now)) {
    faults.stall_after = f->after;
    faults.stall = f->hold;
  }
  for (const FaultKind kind : {FaultKind::close, FaultKind::error_frame, FaultKind::truncate}) {
    const Fault* f = hits(kind, request, now);
    if (f == nullptr) continue;
    faults.breaks = kind;
    faults.break_after = f->after;
    break;
  }
  if (const Fault* f = hits(FaultKind::refuse, request, now)) faults.refuse = f->status;
  faults.flood = hits(FaultKind::keep_alive_flood, request, now) != nullptr;
  return faults;
}

std::optional<std::int64_t> FaultBoard::read_rate(std::uint64_t request, Nanos now) const {
  const Fault* f = hits(FaultKind::slow_reader, request, now);
  if (f == nullptr) return std::nullopt;
  return f->rate;
}

EngineCondition FaultBoard::condition(Nanos now) const {
  EngineCondition condition;
  if (entries_.empty()) return condition;
  condition.down = active(FaultKind::crash, now) != nullptr;
  if (const Fault* f = active(FaultKind::cores, now)) condition.slowdown /= f->left;
  if (const Fault* f = active(FaultKind::hot_experts, now)) {
    condition.slowdown *= f->factor;
    condition.expert_skew = f->factor;
  }
  if (const Fault* f = active(FaultKind::kv, now)) condition.kv_left = f->left;
  return condition;
}

}  // namespace dsbench::engine
