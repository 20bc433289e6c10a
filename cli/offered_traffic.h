#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cli/worker_identity.h"
#include "core/digest.h"
#include "core/result.h"
#include "loadgen/schedule.h"
#include "loadgen/stage_driver.h"
#include "loadgen/traces/trace.h"
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
  OfferedTraffic(const profiles::TrafficProfile& profile, std::uint64_t seed, const Worker& worker = {});
  // A trace's own times, in stages of `stage_length` (nought: one). Its rate cannot be changed while it runs.
  OfferedTraffic(std::shared_ptr<const loadgen::Trace> trace, Nanos stage_length, const Worker& worker = {});

  [[nodiscard]] const std::vector<loadgen::StagePlan>& stages() const { return stages_; }

  [[nodiscard]] std::optional<loadgen::DueRequest> next_before(Nanos limit) override;

  // The profile's rates times `factor`, instead of the former factor. Returns from when on. Errors: usage,
  // for a trace, and for a factor that is no number from 0 to 1,000.
  [[nodiscard]] Result<Nanos> scale(double factor);
  // Expected (of a profile) or known (of a trace).
  [[nodiscard]] double requests() const;
  [[nodiscard]] Nanos length() const { return length_; }
  // In the words of a command line.
  [[nodiscard]] const std::string& description() const { return description_; }
  [[nodiscard]] double factor() const;
  [[nodiscard]] std::vector<TrafficChange> changes() const;
  // Of the whole schedule, all workers together, as far as it has been drawn: how many requests, and a digest
  // of when each is due. Two workers that have drawn the same have the same.
  [[nodiscard]] std::int64_t scheduled() const;
  [[nodiscard]] std::string schedule_digest() const;

 private:
  [[nodiscard]] std::optional<loadgen::DueRequest> next_of_all(Nanos limit);

  const Worker worker_;
  std::string description_;
  std::vector<loadgen::StagePlan> stages_;
  Nanos length_{0};
  double requests_ = 0;
  mutable std::mutex mutex_;  // the ones below
  std::optional<loadgen::ScheduleStream> stream_;
  std::shared_ptr<const loadgen::Trace> trace_;
  std::vector<Nanos> trace_due_;
  Nanos stage_length_{0};
  std::uint64_t next_ = 0;  // number
  Nanos handed_{0};         // everything before it has been handed out
  std::vector<TrafficChange> changes_;
  Digest digest_;
};

}  // namespace dsbench::cli
