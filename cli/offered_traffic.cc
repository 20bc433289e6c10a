#include "cli/offered_traffic.h"

#include <algorithm>

#include "core/text.h"

namespace dsbench::cli {

OfferedTraffic::OfferedTraffic(const profiles::TrafficProfile& profile, std::uint64_t seed,
                               const Worker& worker)
    : worker_{worker}, description_{profiles::print_traffic_text(profile)} {
  stream_.emplace(profile, seed);
  const profiles::TrafficPlan plan = profiles::plan_of(profile);
  length_ = plan.length;
  requests_ = plan.requests;
  for (const auto& s : plan.stages) {
    loadgen::StagePlan stage;
    stage.name = s.name;
    stage.planned = s.planned / worker.count;
    stage.mix = s.mix;
    stage.warm_up = s.measure_from - s.start;
    stage.length = s.end - s.start;
    stages_.push_back(std::move(stage));
  }
}

OfferedTraffic::OfferedTraffic(std::shared_ptr<const loadgen::Trace> trace, Nanos stage_length,
                               const Worker& worker)
    : worker_{worker}, trace_{std::move(trace)}, trace_due_{trace_->due()} {
  length_ = trace_->length;
  requests_ = static_cast<double>(trace_due_.size());
  stage_length_ = stage_length > Nanos{0} ? stage_length : length_;
  description_ = fmt::format("the {} requests of {}", trace_due_.size(), trace_->name);
  for (Nanos from{0}; from < length_; from += stage_length_) {
    const Nanos to = std::min(from + stage_length_, length_);
    loadgen::StagePlan stage;
    stage.name = stage_length_ < length_ ? "trace +" + format_duration(from) : "trace";
    stage.length = to - from;
    const auto first = std::lower_bound(trace_due_.begin(), trace_due_.end(), from);
    const auto last = std::lower_bound(first, trace_due_.end(), to);
    stage.planned =
        Rate::per_second(static_cast<double>(last - first) / to_seconds(to - from) / worker.count);
    stages_.push_back(std::move(stage));
  }
}

double OfferedTraffic::requests() const {
  return requests_;
}

std::optional<loadgen::DueRequest> OfferedTraffic::next_of_all(Nanos limit) {
  if (trace_) {
    if (next_ == trace_due_.size() || trace_due_[next_] >= limit) return std::nullopt;
    const Nanos due = trace_due_[next_];
    return loadgen::DueRequest{due, static_cast<std::uint32_t>(due / stage_length_), next_++};
  }
  const auto point = stream_->next_before(limit);
  if (!point) return std::nullopt;
  return loadgen::DueRequest{point->due, point->stage, next_++};
}

std::optional<loadgen::DueRequest> OfferedTraffic::next_before(Nanos limit) {
  const std::lock_guard lock{mutex_};
  handed_ = std::max(handed_, limit);
  while (const auto next = next_of_all(limit)) {
    digest_.add(static_cast<std::uint64_t>(next->due.count())).add(std::uint64_t{next->plan});
    if (next->number % worker_.count == worker_.index) return next;
  }
  return std::nullopt;
}

Result<Nanos> OfferedTraffic::scale(double factor) {
  if (!(factor >= 0 && factor <= 1000))
    return fail(ErrorKind::usage, "a factor of {} is not accepted; give a number from 0 to 1000", factor);
  const std::lock_guard lock{mutex_};
  if (!stream_)
    return fail(ErrorKind::usage, "a trace is replayed at its own times; its rate cannot be changed");
  stream_->scale_from(handed_, factor);
  changes_.push_back({handed_, factor});
  return handed_;
}

std::int64_t OfferedTraffic::scheduled() const {
  const std::lock_guard lock{mutex_};
  return static_cast<std::int64_t>(next_);
}

std::string OfferedTraffic::schedule_digest() const {
  const std::lock_guard lock{mutex_};
  return digest_.text();
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
