#include "results/report/curves.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace dsbench::results::report {
namespace {

double measured_seconds(const StageSummary& stage) {
  return to_seconds(stage.end - stage.measure_from);
}

bool is_way_down(StageKind kind) {
  return kind == StageKind::descent || kind == StageKind::recovery;
}

template <class T>
void keep_highest(std::optional<T>& kept, const std::optional<T>& seen) {
  if (seen && (!kept || *seen > *kept)) kept = seen;
}

std::optional<double> seconds_of(const std::optional<Nanos>& d) {
  if (!d) return std::nullopt;
  return to_seconds(*d);
}

}  // namespace

std::vector<const StageSummary*> rising(const RunSummary& run) {
  std::vector<const StageSummary*> stages;
  for (const StageSummary& s : run.stages) {
    if (s.kind == StageKind::probe || s.kind == StageKind::step || s.kind == StageKind::load)
      stages.push_back(&s);
  }
  std::stable_sort(stages.begin(), stages.end(),
                   [](const StageSummary* a, const StageSummary* b) { return a->offered < b->offered; });
  return stages;
}

std::vector<const StageSummary*> holds(const RunSummary& run) {
  std::vector<const StageSummary*> stages;
  for (const StageSummary& s : run.stages) {
    if (s.kind == StageKind::hold) stages.push_back(&s);
  }
  return stages;
}

std::vector<const StageSummary*> falling(const RunSummary& run) {
  std::vector<const StageSummary*> stages;
  bool any = false;
  for (const StageSummary& s : run.stages) {
    if (s.kind == StageKind::hold) stages.assign(1, &s);
    if (is_way_down(s.kind)) {
      stages.push_back(&s);
      any = true;
    }
  }
  if (!any) stages.clear();
  return stages;
}

std::vector<PooledStep> pool(const std::vector<const StageSummary*>& stages) {
  std::vector<PooledStep> steps;
  for (const StageSummary* s : stages) {
    const double planned = s->planned.per_second();
    const auto same = std::find_if(steps.begin(), steps.end(), [&](const PooledStep& p) {
      return std::abs(p.planned - planned) <= 1e-6 * std::max(1.0, std::abs(planned));
    });
    if (same == steps.end()) {
      steps.push_back({.planned = planned, .stages = {s}});
    } else {
      same->stages.push_back(s);
    }
  }
  for (PooledStep& p : steps) {
    double seconds = 0;
    for (const StageSummary* s : p.stages) {
      seconds += measured_seconds(*s);
      p.offered += static_cast<double>(s->requests);
      p.delivered += static_cast<double>(s->delivered);
      p.completed += static_cast<double>(s->completed);
      p.good += static_cast<double>(s->good);
    }
    if (seconds <= 0) seconds = 1;
    p.offered /= seconds;
    p.delivered /= seconds;
    p.completed /= seconds;
    p.good /= seconds;
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const PooledStep& a, const PooledStep& b) { return a.offered < b.offered; });
  return steps;
}

std::optional<RecoveryWindow> recovery_window(const RunSummary& run) {
  RecoveryWindow window;
  window.stages = falling(run);
  if (window.stages.empty() || run.timeline.empty()) return std::nullopt;
  const double hold_from = to_seconds(window.stages.front()->start);
  const double end = to_seconds(window.stages.back()->end);
  window.to = std::max(end, hold_from + 1);
  window.from = std::max(0.0, hold_from - std::min(10.0, (window.to - hold_from) * 0.1));
  // The trigger is gone when the offered rate is back at or below the knee.
  const StageSummary* back = nullptr;
  for (const StageSummary* s : window.stages) {
    if (back == nullptr && is_way_down(s->kind) && run.knee.offered &&
        s->planned.per_second() <= run.knee.offered->per_second() * (1 + 1e-6)) {
      back = s;
    }
  }
  if (back == nullptr) {
    const auto it = std::find_if(window.stages.begin(), window.stages.end(),
                                 [](const StageSummary* s) { return s->kind == StageKind::recovery; });
    back = it != window.stages.end() ? *it : window.stages.back();
  }
  window.trigger_end = to_seconds(back->start);
  if (run.recovery.time) window.recovered_at = window.trigger_end + to_seconds(*run.recovery.time);

  // Bins that hold about twenty requests each, so that a share means something, and no more than 240 of them.
  std::int64_t due = 0;
  for (const TimelinePoint& p : run.timeline) {
    const auto t = static_cast<double>(p.second);
    if (t >= window.from && t < window.to) due += p.offered;
  }
  const double length = window.to - window.from;
  const double wanted =
      std::max(length / 240, due > 0 ? std::min(20 * length / static_cast<double>(due), length / 20) : 1.0);
  static constexpr std::array<double, 12> sizes{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600};
  const auto size = std::find_if(sizes.begin(), sizes.end(), [&](double s) { return s >= wanted; });
  window.bin = size == sizes.end() ? sizes.back() : *size;

  std::int64_t current = std::numeric_limits<std::int64_t>::min();
  std::int64_t offered = 0;
  std::int64_t good = 0;
  const auto finish = [&] {
    if (!window.points.empty() && offered > 0) {
      window.points.back().good_share = static_cast<double>(good) / static_cast<double>(offered);
    }
    offered = good = 0;
  };
  for (const TimelinePoint& p : run.timeline) {
    const auto t = static_cast<double>(p.second);
    if (t < window.from || t >= window.to) continue;
    const auto bin = static_cast<std::int64_t>(std::floor(t / window.bin));
    if (bin != current) {
      finish();
      current = bin;
      window.points.push_back(
          {.seconds = (static_cast<double>(bin) + 0.5) * window.bin, .good_share = {}, .in_flight = 0});
    }
    offered += p.offered;
    good += p.good_of_due;
    window.points.back().in_flight =
        std::max(window.points.back().in_flight, static_cast<double>(p.in_flight));
  }
  finish();
  return window;
}

BinnedTimeline bin_timeline(const RunSummary& run, std::size_t at_most) {
  BinnedTimeline binned;
  if (run.timeline.empty()) return binned;
  const std::int64_t seconds = run.timeline.back().second - run.timeline.front().second + 1;
  const auto limit = static_cast<std::int64_t>(std::max<std::size_t>(1, at_most));
  while ((seconds + binned.bin - 1) / binned.bin + 1 > limit + 1) ++binned.bin;
  std::int64_t current = std::numeric_limits<std::int64_t>::min();
  for (const TimelinePoint& p : run.timeline) {
    const std::int64_t bin = (p.second - run.timeline.front().second) / binned.bin;
    if (bin != current) {
      current = bin;
      binned.bins.emplace_back();
      binned.bins.back().seconds = static_cast<double>(run.timeline.front().second + bin * binned.bin);
    }
    TimelineBin& b = binned.bins.back();
    b.offered += static_cast<double>(p.offered);
    b.sent += static_cast<double>(p.sent);
    b.completed += static_cast<double>(p.completed);
    b.good += static_cast<double>(p.good);
    b.failed += static_cast<double>(p.failed);
    b.in_flight = std::max(b.in_flight, static_cast<double>(p.in_flight));
    keep_highest(b.ttft_p50, seconds_of(p.ttft_p50));
    keep_highest(b.ttft_max, seconds_of(p.ttft_max));
    b.send_lag_max = std::max(b.send_lag_max, to_seconds(p.send_lag_max));
    keep_highest(b.engine_running, p.engine_running);
    keep_highest(b.engine_waiting, p.engine_waiting);
    keep_highest(b.engine_kv_used_share, p.engine_kv_used_share);
  }
  const std::int64_t end = run.timeline.back().second + 1;
  for (TimelineBin& b : binned.bins) {
    // The last bin may be shorter.
    const double width = std::min(static_cast<double>(binned.bin), static_cast<double>(end) - b.seconds);
    for (double* rate : {&b.offered, &b.sent, &b.completed, &b.good, &b.failed}) *rate /= width;
  }
  return binned;
}

}  // namespace dsbench::results::report
