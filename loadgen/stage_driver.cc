#include "loadgen/stage_driver.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "loadgen/validity.h"

namespace dsbench::loadgen {
namespace {

constexpr Nanos one_second{1'000'000'000};
// From "we decided" to the first instant that may be due: time enough to hand over the first arrivals.
constexpr Nanos lead{10'000'000};

results::Ledger difference(const results::Ledger& after, const results::Ledger& before) {
  results::Ledger d;
  d.computed_tokens = after.computed_tokens - before.computed_tokens;
  d.recomputed_tokens = after.recomputed_tokens - before.recomputed_tokens;
  d.abandoned_tokens = after.abandoned_tokens - before.abandoned_tokens;
  d.generated_tokens = after.generated_tokens - before.generated_tokens;
  d.preemptions = after.preemptions - before.preemptions;
  return d;
}

// The worse of two stretches: what a stage that was watched in several is judged by.
GeneratorHealth worse(const GeneratorHealth& a, const GeneratorHealth& b) {
  GeneratorHealth w = b;
  w.cpu_share = std::max(a.cpu_share, b.cpu_share);
  w.busiest_worker_share = std::max(a.busiest_worker_share, b.busiest_worker_share);
  w.platform_jitter_p99 = std::max(a.platform_jitter_p99, b.platform_jitter_p99);
  w.unsent = a.unsent + b.unsent;
  w.descriptors_used = std::max(a.descriptors_used, b.descriptors_used);
  w.ports_used = std::max(a.ports_used, b.ports_used);
  return w;
}

class DueList final : public DueStream {
 public:
  explicit DueList(std::span<const Nanos> due) : due_{due} {}
  std::optional<DueRequest> next_before(Nanos limit) override {
    if (next_ == due_.size() || due_[next_] >= limit) return std::nullopt;
    const std::size_t i = next_++;
    return DueRequest{due_[i], 0, i};
  }

 private:
  std::span<const Nanos> due_;
  std::size_t next_ = 0;
};

}  // namespace

StageDriver::StageDriver(Runner& runner, results::Recorder& recorder, ContentMap& contents,
                         Observer* observer, std::function<void(const StageStatus&)> on_second)
    : runner_{runner},
      recorder_{recorder},
      contents_{contents},
      observer_{observer},
      on_second_{std::move(on_second)} {}

std::optional<Observation> StageDriver::observe() {
  if (observer_ == nullptr) return std::nullopt;
  const std::int64_t second = runner_.now() / one_second;
  std::optional<Observation> seen = observer_->observe();
  if (!seen) return std::nullopt;
  if (seen->ledger) {
    if (!first_ledger_) first_ledger_ = seen->ledger;
    last_ledger_ = seen->ledger;
  }
  gauges_.push_back({second, *seen});
  return seen;
}

StageDriver::StageNotes& StageDriver::notes_of(std::uint32_t stage) {
  return notes_[stage - first_stage_];
}

void StageDriver::tell_of(std::uint32_t stage) {
  if (!on_stage_) return;
  const StageNotes& notes = notes_of(stage);
  on_stage_({stage, notes.name, notes.kind, notes.start, notes.end});
}

Result<std::uint32_t> StageDriver::run(const StagePlan& plan, const Enough& enough) {
  DueList list{plan.due};
  DSBENCH_TRY(const std::vector<std::uint32_t> stages, offer({&plan, 1}, list, enough));
  return stages.front();
}

Result<std::vector<std::uint32_t>> StageDriver::run_all(std::span<const StagePlan> plans, DueStream& stream) {
  return offer(plans, stream, {});
}

Result<std::vector<std::uint32_t>> StageDriver::offer(std::span<const StagePlan> plans, DueStream& stream,
                                                      const Enough& enough) {
  assert(!plans.empty());
  const auto target_before = observe();
  (void)runner_.health();  // the stretch begins here
  // On a whole second, so that the per-second counts of a stage are whole; a stage that follows another
  // without a pause goes on at once.
  Nanos start = runner_.now() + lead;
  if (begin_at_) {
    start = *std::exchange(begin_at_, std::nullopt);
  } else if (runner_.in_flight() == 0) {
    start = Nanos{(start.count() + one_second.count() - 1) / one_second.count() * one_second.count()};
  }

  std::vector<std::uint32_t> stages;
  Nanos at = start;
  for (const StagePlan& plan : plans) {
    const std::uint32_t stage =
        recorder_.begin_stage({plan.name, plan.kind, plan.planned, at, at + plan.warm_up, at + plan.length});
    if (notes_.empty()) first_stage_ = stage;
    notes_.push_back(
        {plan.name, plan.kind, plan.planned, at, at + plan.length, std::nullopt, std::nullopt, {}});
    stages.push_back(stage);
    at += plan.length;
  }
  for (const std::uint32_t stage : stages) tell_of(stage);
  Nanos end = at;
  if (target_before) notes_of(stages.front()).before = target_before->ledger;

  // Every arrival is handed over at least a second early; what `enough` cuts off was never handed over.
  const std::uint64_t first_request = next_request_;
  contents_.begin(first_request, plans.front().first_content, plans.front().mix);
  std::uint32_t mix = plans.front().mix;
  std::size_t current = 0;
  std::vector<Arrival> slice;
  const auto hand_until = [&](Nanos limit) {
    slice.clear();
    while (const auto next = stream.next_before(limit - start)) {
      const std::uint64_t request = first_request + next->number;
      if (plans[next->plan].mix != mix) {
        mix = plans[next->plan].mix;
        contents_.begin(request, plans.front().first_content + next->number, mix);
      }
      next_request_ = request + 1;
      slice.push_back({request, start + next->due, stages[next->plan]});
      recorder_.offered(slice.back().stage, slice.back().request, slice.back().due);
      if (on_offered_) on_offered_(slice.back().due);
    }
  };
  Nanos slice_end = start;
  bool last = false;
  while (slice_end < end) {
    slice_end = std::min(slice_end + one_second, end);
    hand_until(last ? slice_end : slice_end + one_second);
    const auto offered = runner_.offer(slice, slice_end);
    while (current + 1 < stages.size() && notes_of(stages[current]).end <= slice_end) {
      const auto seen = observe();
      notes_of(stages[current]).after = notes_of(stages[current + 1]).before =
          seen ? seen->ledger : std::optional<results::Ledger>{};
      notes_of(stages[current]).health = worse(notes_of(stages[current]).health, runner_.health());
      ++current;
    }
    StageNotes& notes = notes_of(stages[current]);
    if (!offered) {  // interrupted: what was not due is not offered
      const Nanos now = runner_.now();
      for (const std::uint32_t stage : stages) {
        if (notes_of(stage).end > now) recorder_.end_stage(stage, std::max(now, notes_of(stage).start));
      }
      notes.health = worse(notes.health, runner_.health());
      return tl::unexpected(offered.error());
    }
    const auto seen = observe();
    if (on_second_) {
      on_second_({notes.name, notes.planned, slice_end - notes.start, notes.end - notes.start,
                  runner_.in_flight(), seen});
    }
    if (!last && enough && slice_end < end && enough(stages[current], slice_end - notes.start)) {
      end = std::min(slice_end + one_second, end);  // the second that was handed over already
      notes.end = end;
      recorder_.end_stage(stages[current], end);
      tell_of(stages[current]);
      last = true;
    }
  }
  StageNotes& notes = notes_of(stages[current]);
  if (const auto seen = observe()) notes.after = seen->ledger;
  notes.health = worse(notes.health, runner_.health());
  return stages;
}

Result<void> StageDriver::drain(Nanos at_most) {
  const Nanos deadline = runner_.now() + at_most;
  while (true) {
    const Nanos slice = std::min(runner_.now() + one_second, deadline);
    DSBENCH_TRY(const std::size_t left, runner_.drain(slice));
    if (observer_ != nullptr) (void)observe();
    if (left == 0) return {};
    if (on_second_)
      on_second_({"draining", Rate{}, at_most - (deadline - runner_.now()), at_most, left, std::nullopt});
    if (runner_.now() >= deadline) break;
  }
  runner_.abandon();
  return {};
}

results::StageSummary StageDriver::summarize(std::uint32_t stage, const results::Slo& slo) {
  results::StageSummary summary = recorder_.summarize(stage);
  const StageNotes& notes = notes_of(stage);
  if (notes.before && notes.after) summary.ledger = difference(*notes.after, *notes.before);
  summary.invalid_causes = validity_causes(notes.health, summary, slo);
  return summary;
}

std::vector<results::TimelinePoint> StageDriver::timeline() {
  std::vector<results::TimelinePoint> points = recorder_.timeline();
  for (const Gauges& g : gauges_) {
    const auto it =
        std::lower_bound(points.begin(), points.end(), g.second,
                         [](const results::TimelinePoint& p, std::int64_t s) { return p.second < s; });
    if (it == points.end() || it->second != g.second) continue;
    it->engine_running = g.observation.running;
    it->engine_waiting = g.observation.waiting;
    it->engine_kv_used_share = g.observation.kv_used_share;
  }
  return points;
}

std::optional<results::Ledger> StageDriver::ledger() const {
  if (!first_ledger_ || !last_ledger_) return std::nullopt;
  return difference(*last_ledger_, *first_ledger_);
}

}  // namespace dsbench::loadgen
