#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "loadgen/stage_driver.h"
#include "profiles/traffic_event.h"
#include "results/run_summary.h"

namespace dsbench::cli {

// Where a target takes faults.
class FaultSite {
 public:
  virtual ~FaultSite() = default;
  // The fault begins at its start and lasts for its duration, if it has one. Where the target has a clock of
  // its own it begins now: nobody calls before `start`.
  virtual Result<std::int64_t> add(const profiles::Fault& fault) = 0;
  virtual Result<void> end(profiles::FaultKind kind, std::int64_t id, Nanos at) = 0;
};

// Makes the events of a run happen at its targets, at their times or with their stages, and keeps what was
// done. An event whose stage has no `until` ends with its stage, also when that is cut short.
class RunEvents {
 public:
  // `sites` by target. Events of all targets happen at each of them.
  RunEvents(std::vector<profiles::TrafficEvent> events, std::vector<FaultSite*> sites)
      : events_{std::move(events)}, sites_{std::move(sites)} {}
  virtual ~RunEvents() = default;
  RunEvents(const RunEvents&) = delete;
  RunEvents& operator=(const RunEvents&) = delete;

  // See StageDriver::on_stage(). The first stage begins the traffic.
  virtual void on_stage(const loadgen::StageSpan& span);
  // Nothing further is offered: what still lasts is over.
  virtual void finish(Nanos now);

  // What has happened so far, by time.
  [[nodiscard]] virtual std::vector<results::RunEvent> done() const;
  // What could not be done, in words.
  [[nodiscard]] virtual std::vector<std::string> problems() const;

 protected:
  // One event at one target.
  struct Deed {
    std::size_t event = 0, target = 0;
    Nanos start{0};
    std::optional<Nanos> end = std::nullopt;            // as planned; nothing: with the traffic
    std::optional<std::uint32_t> stage = std::nullopt;  // whose end is its own
    std::optional<std::int64_t> id = std::nullopt;      // it has been made
    std::optional<Nanos> made = std::nullopt, over = std::nullopt;
    bool dropped = false;
  };
  // Virtual time: at once, for its time. On the wire a thread does it when its time has come.
  virtual void planned(Deed& deed) { make(deed, deed.start, problems_); }
  // The end of one that was made has moved.
  virtual void moved(Deed& deed) { end(deed, *deed.end, problems_); }
  void make(Deed& deed, Nanos now, std::vector<std::string>& problems) const;
  void end(Deed& deed, Nanos now, std::vector<std::string>& problems) const;

  std::vector<profiles::TrafficEvent> events_;
  std::vector<FaultSite*> sites_;
  std::vector<Deed> deeds_;
  std::vector<std::string> problems_;

 private:
  void plan(std::size_t event, const loadgen::StageSpan& span);
  std::vector<bool> placed_;
};

// On the wire: a thread of its own, which lives until the destructor.
class TimedRunEvents final : public RunEvents {
 public:
  // `run_now`: the time since the start of the run at this call.
  TimedRunEvents(std::vector<profiles::TrafficEvent> events, std::vector<FaultSite*> sites, Nanos run_now);
  // What still lasts is taken away.
  ~TimedRunEvents() override;

  void on_stage(const loadgen::StageSpan& span) override;
  void finish(Nanos now) override;
  [[nodiscard]] std::vector<results::RunEvent> done() const override;
  [[nodiscard]] std::vector<std::string> problems() const override;

 protected:
  void planned(Deed&) override {}
  void moved(Deed&) override {}

 private:
  void run();
  void turn();
  [[nodiscard]] Nanos run_now() const { return clock_.now() - epoch_; }

  mutable SteadyClock clock_;
  Nanos epoch_;
  mutable std::mutex mutex_;  // all that is not the thread's
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// A dsbench serve --admin.
class AdminSite final : public FaultSite {
 public:
  // `url` is the server's, as in http://127.0.0.1:8000.
  explicit AdminSite(std::string url);
  // Whether it would take this fault: adds it for a far time and takes it away again. Errors: usage.
  [[nodiscard]] Result<void> would_take(const profiles::Fault& fault);
  Result<std::int64_t> add(const profiles::Fault& fault) override;
  Result<void> end(profiles::FaultKind kind, std::int64_t id, Nanos at) override;

 private:
  std::string url_;
};

class AfflictedTarget;
// A simulated fleet.
class SimulatedSite final : public FaultSite {
 public:
  explicit SimulatedSite(AfflictedTarget& target) : target_{target} {}
  Result<std::int64_t> add(const profiles::Fault& fault) override;
  Result<void> end(profiles::FaultKind kind, std::int64_t id, Nanos at) override;

 private:
  AfflictedTarget& target_;
};

// The events of a rehearsal must be of stages that it has, by their names or their kinds.
[[nodiscard]] Result<void> check_rehearsal_events(const std::vector<profiles::TrafficEvent>& events);

}  // namespace dsbench::cli
