#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/content_map.h"
#include "loadgen/observer.h"
#include "loadgen/runner.h"
#include "results/recorder.h"

namespace dsbench::loadgen {

// What a person who waits wants to know, once a second.
struct StageStatus {
  std::string name;
  Rate planned;
  Nanos elapsed{0}, length{0};
  std::size_t in_flight = 0;
  std::optional<Observation> target;
};

// When the requests of several stages are due, since the start of the first, in order. `plan` is the index of
// the stage.
struct DueRequest {
  Nanos due{0};
  std::uint32_t plan = 0;
  std::uint64_t number = 0;  // of the request in its schedule; grows, and may leave some out (another host's)
};
class DueStream {
 public:
  virtual ~DueStream() = default;
  // The next one if it is due before `limit`. Limits do not go back.
  [[nodiscard]] virtual std::optional<DueRequest> next_before(Nanos limit) = 0;
};

// A stage as the driver offers it. `due` is relative to the stage's start, sorted, complete; not looked at
// where a DueStream tells.
struct StagePlan {
  std::string name;
  results::StageKind kind = results::StageKind::load;
  Rate planned;
  Nanos warm_up{0};  // requests due in it are sent and recorded, not measured
  Nanos length{0};   // with the warm-up
  std::vector<Nanos> due;
  std::uint64_t first_content = 0;  // see ContentMap
  std::uint32_t mix = 0;            // of tenants, see ContentMap
};

// A stage as it is going to be, in the time of the run.
struct StageSpan {
  std::uint32_t stage = 0;
  std::string name;
  results::StageKind kind = results::StageKind::load;
  Nanos start{0}, end{0};
};

// Offers stages through a Runner, second by second, so that somebody can watch, stop early, and read the
// target's own account meanwhile. Arrivals are handed over at least one second before they are due, so that
// nothing here can make them late.
class StageDriver {
 public:
  // Everything must outlive the driver. `observer` may be null.
  StageDriver(Runner& runner, results::Recorder& recorder, ContentMap& contents, Observer* observer,
              std::function<void(const StageStatus&)> on_second);

  // Somebody else who wants to know of every arrival that is handed over.
  void on_offered(std::function<void(Nanos due)> listener) { on_offered_ = std::move(listener); }

  // Somebody who wants to know of every stage: before its first arrival, and again when its end has moved.
  void on_stage(std::function<void(const StageSpan&)> listener) { on_stage_ = std::move(listener); }

  // The first stage begins at this instant of the run, even if it has passed: what was due since then is sent
  // at once, and its lag tells. Without it the first stage begins at the next whole second.
  void begin_at(Nanos start) { begin_at_ = start; }

  // Offers the stage from now on; what is in flight afterwards goes on. `enough`, asked after every second
  // with the time since the stage's start, may end it early (the second that is under way is finished).
  // Returns the recorder's stage index. Errors: interrupted; the stage is then closed at the present instant.
  Result<std::uint32_t> run(const StagePlan& plan,
                            const std::function<bool(std::uint32_t stage, Nanos elapsed)>& enough = {});

  // Several stages of one schedule, consecutive: one after the other. Contents are numbered through all of
  // them, from the first plan's first_content. The stream is asked as time goes on, about two seconds ahead.
  Result<std::vector<std::uint32_t>> run_all(std::span<const StagePlan> plans, DueStream& stream);

  // Waits until nothing is in flight, at most so long; what is left then is given up and recorded as
  // interrupted.
  Result<void> drain(Nanos at_most);

  // What is known of a stage now, with the target's ledger over it and the causes that make it invalid.
  [[nodiscard]] results::StageSummary summarize(std::uint32_t stage, const results::Slo& slo);

  // The recorder's timeline with the target's gauges in it.
  [[nodiscard]] std::vector<results::TimelinePoint> timeline();
  // Over the whole run, where the target tells.
  [[nodiscard]] std::optional<results::Ledger> ledger() const;

 private:
  using Enough = std::function<bool(std::uint32_t stage, Nanos elapsed)>;
  struct StageNotes {
    std::string name;
    results::StageKind kind = results::StageKind::load;
    Rate planned;
    Nanos start{0}, end{0};
    std::optional<results::Ledger> before, after;
    GeneratorHealth health;
  };
  struct Gauges {
    std::int64_t second = 0;
    Observation observation;
  };
  Result<std::vector<std::uint32_t>> offer(std::span<const StagePlan> plans, DueStream& stream,
                                           const Enough& enough);
  StageNotes& notes_of(std::uint32_t stage);
  void tell_of(std::uint32_t stage);
  // Asks the target how it is, notes it under the present second.
  std::optional<Observation> observe();

  Runner& runner_;
  results::Recorder& recorder_;
  ContentMap& contents_;
  Observer* observer_;
  std::function<void(const StageStatus&)> on_second_;
  std::function<void(Nanos due)> on_offered_;
  std::function<void(const StageSpan&)> on_stage_;
  std::optional<Nanos> begin_at_ = std::nullopt;
  std::uint64_t next_request_ = 0;
  std::vector<StageNotes> notes_;  // by stage index, from the first stage of this driver
  std::uint32_t first_stage_ = 0;
  std::vector<Gauges> gauges_;
  std::optional<results::Ledger> first_ledger_, last_ledger_;
};

}  // namespace dsbench::loadgen
