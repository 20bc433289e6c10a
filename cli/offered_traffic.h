#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/schedule.h"
#include "loadgen/stage_driver.h"
#include "profiles/traffic_profile.h"

namespace dsbench::cli {

// A hand's change to the traffic of a run that is under way.
struct TrafficChange {
  Nanos at{0};  // since the traffic's start: from when it holds
  double factor = 1;
};

// The traffic of one run: its stages, and when each request is due. The rate may be changed while it runs,
// from another thread; a change holds from the first instant that has not been handed out yet, about two
// seconds ahead, and is kept for the run file.
class OfferedTraffic final : public loadgen::DueStream {
 public:
  OfferedTraffic(const profiles::TrafficProfile& profile, std::uint64_t seed);

  [[nodiscard]] const std::vector<loadgen::StagePlan>& stages() const { return stages_; }
  [[nodiscard]] const profiles::TrafficPlan& plan() const { return plan_; }

  [[nodiscard]] std::optional<loadgen::DueRequest> next_before(Nanos limit) override;

  // The profile's rates times `factor`, instead of the former factor. Returns from when on.
  Nanos scale(double factor);
  [[nodiscard]] double factor() const;
  [[nodiscard]] std::vector<TrafficChange> changes() const;

 private:
  const profiles::TrafficPlan plan_;
  std::vector<loadgen::StagePlan> stages_;
  mutable std::mutex mutex_;  // the ones below
  loadgen::ScheduleStream stream_;
  Nanos handed_{0};  // everything before it has been handed out
  std::vector<TrafficChange> changes_;
};

}  // namespace dsbench::cli
