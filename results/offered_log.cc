#include "results/offered_log.h"

#include <algorithm>

#include "results/second_cells.h"

namespace dsbench::results {

void OfferedLog::begin_stage(std::uint32_t stage, MeasuredWindow window) {
  const std::lock_guard lock{mutex_};
  if (stage >= stages_.size()) stages_.resize(stage + 1);
  stages_[stage].window = window;
}

void OfferedLog::offer(std::uint32_t stage, Nanos due) {
  const std::lock_guard lock{mutex_};
  if (stage >= stages_.size()) return;
  Stage& s = stages_[stage];
  if (s.ended) return;
  s.dues.push_back(due);
  if (s.window.contains(due)) ++s.measured;
  const auto second = static_cast<std::size_t>(second_of(due));
  if (second >= seconds_.size()) seconds_.resize(second + 1);
  ++seconds_[second];
  latest_ = std::max(latest_, due);
}

void OfferedLog::end_stage(std::uint32_t stage, MeasuredWindow window) {
  const std::lock_guard lock{mutex_};
  if (stage >= stages_.size() || stages_[stage].ended) return;
  Stage& s = stages_[stage];
  s.window = window;
  s.measured = 0;
  for (const Nanos due : s.dues) {
    if (due >= window.to)
      --seconds_[static_cast<std::size_t>(second_of(due))];
    else if (window.contains(due))
      ++s.measured;
  }
  s.ended = true;
  std::vector<Nanos>{}.swap(s.dues);
}

std::int64_t OfferedLog::measured(std::uint32_t stage) {
  const std::lock_guard lock{mutex_};
  return stage < stages_.size() ? stages_[stage].measured : 0;
}

Nanos OfferedLog::latest() {
  const std::lock_guard lock{mutex_};
  return latest_;
}

std::vector<std::int64_t> OfferedLog::per_second() {
  const std::lock_guard lock{mutex_};
  return seconds_;
}

}  // namespace dsbench::results
