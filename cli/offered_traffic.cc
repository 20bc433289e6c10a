#include "cli/offered_traffic.h"

#include <algorithm>

namespace dsbench::cli {

OfferedTraffic::OfferedTraffic(const profiles::TrafficProfile& profile, std::uint64_t seed)
    : plan_{profiles::plan_of(profile)}, stream_{profile, seed} {
  for (const auto& s : plan_.stages) {
    loadgen::StagePlan stage;
    stage.name = s.name;
    stage.planned = s.planned;
    stage.warm_up = s.measure_from - s.start;
    stage.length = s.end - s.start;
    stages_.push_back(std::move(stage));
  }
}

std::optional<loadgen::DueRequest> OfferedTraffic::next_before(Nanos limit) {
  const std::lock_guard lock{mutex_};
  handed_ = std::max(handed_, limit);
  const auto point = stream_.next_before(limit);
  if (!point) return std::nullopt;
  return loadgen::DueRequest{point->due, point->stage};
}

Nanos OfferedTraffic::scale(double factor) {
  const std::lock_guard lock{mutex_};
  stream_.scale_from(handed_, factor);
  changes_.push_back({handed_, factor});
  return handed_;
}

double OfferedTraffic::factor() const {
  const std::lock_guard lock{mutex_};
  return changes_.empty() ? 1 : changes_.back().factor;
}

std::vector<TrafficChange> OfferedTraffic::changes() const {
  const std::lock_guard lock{mutex_};
  return changes_;
}

}  // namespace dsbench::cli
