#include "results/rebuild.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "results/record_replay.h"
#include "results/recorder.h"
#include "results/run_file.h"

namespace dsbench::results {
namespace {

// In `ended` of every run that is made here.
constexpr std::string_view source = "rebuilt from records.sqlite";

// A request that the schedule had, for the numbers that are missing between such.
struct Scheduled {
  std::uint64_t number = 0;
  Nanos due{0};
  std::uint32_t stage = 0;
};

struct Replayed {
  Nanos last{0};  // when the last one ended
  std::vector<Scheduled> scheduled;
};

Result<Replayed> replay(const std::filesystem::path& records, Recorder& recorder) {
  Replayed seen;
  DSBENCH_TRY(auto rows, RecordReplay::open(records));
  RecordSink& sink = recorder.channel(0);
  while (rows.next_at()) {
    DSBENCH_TRY(const RecordReplay::Item* item, rows.next());
    seen.last = std::max(seen.last, item->at);
    switch (item->kind) {
      case RecordReplay::Kind::attempt:
        sink.attempt(item->attempt);
        break;
      case RecordReplay::Kind::request: {
        const RequestRecord& r = item->request;
        recorder.offered(r.stage, r.request, r.due);
        if (r.turn == 0 && session_of(r.request) == r.request)
          seen.scheduled.push_back({r.request, r.due, r.stage});
        sink.request(r);
        break;
      }
      case RecordReplay::Kind::decision:
        sink.decided(item->decision);
        break;
    }
  }
  return seen;
}

// The schedule numbers its requests one after the other (a worker's every so many-th): a number that is
// missing is of a request that was due and has no end. Returns how many.
std::int64_t offer_missing(std::vector<Scheduled>& scheduled, Recorder& recorder) {
  std::sort(scheduled.begin(), scheduled.end(),
            [](const Scheduled& a, const Scheduled& b) { return a.number < b.number; });
  std::uint64_t stride = 0;
  for (std::size_t i = 1; i < scheduled.size(); ++i)
    stride = std::gcd(stride, scheduled[i].number - scheduled[i - 1].number);
  if (stride == 0) return 0;
  std::int64_t missing = 0;
  const auto offer = [&](const Scheduled& beside, std::uint64_t many) {
    for (std::uint64_t k = 0; k < many; ++k) recorder.offered(beside.stage, 0, beside.due);
    missing += static_cast<std::int64_t>(many);
  };
  offer(scheduled.front(), scheduled.front().number / stride);
  for (std::size_t i = 1; i < scheduled.size(); ++i)
    offer(scheduled[i - 1], (scheduled[i].number - scheduled[i - 1].number) / stride - 1);
  return missing;
}

// What was known before the first request.
Result<RunSummary> begun(const RecordedPlan& plan) {
  const auto told = plan.meta.find("run");
  if (told != plan.meta.end()) return parse_run(told->second, "meta 'run' of records.sqlite");
  RunSummary run;
  run.kind = std::any_of(
                 plan.stages.begin(), plan.stages.end(),
                 [](const StageInfo& s) { return s.kind != StageKind::load && s.kind != StageKind::warm_up; })
                 ? "rehearse"
                 : "load";
  run.profile_json = "{}";
  run.warnings.emplace_back(
      "not known: command, target, profile, seed and host; the records are of a dsbench that did not keep "
      "them");
  return run;
}

}  // namespace

Result<RunSummary> rebuild_run(const std::filesystem::path& records, const RebuiltJudge& judge) {
  DSBENCH_CHECK(settle_records(records));
  DSBENCH_TRY(const RecordedPlan plan, read_plan(records));
  DSBENCH_TRY(const auto tenants, read_tenants(records));
  if (plan.stages.empty()) {
    return fail(ErrorKind::usage, "'{}' has no stage: the run was cut off before it offered anything",
                records.string());
  }
  const bool closed = plan.meta.contains("closed");
  DSBENCH_TRY(RunSummary run, begun(plan));
  run.slo = plan.slo();
  const auto recorder = open_unwritten_recorder(run.slo, {.tenants = tenants});
  for (const StageInfo& stage : plan.stages) recorder->begin_stage(stage);
  DSBENCH_TRY(Replayed seen, replay(records, *recorder));
  const std::int64_t missing = offer_missing(seen.scheduled, *recorder);
  run.duration = seen.last;
  std::vector<bool> whole;  // of the summary's stages
  for (std::uint32_t i = 0; i < plan.stages.size(); ++i) {
    const StageInfo& stage = plan.stages[i];
    const bool open = stage.end <= stage.start;
    const bool offered = closed || (!open && stage.end <= seen.last);
    // What is due after the last record was perhaps never offered.
    if (open || (!closed && stage.end > seen.last)) recorder->end_stage(i, std::max(seen.last, stage.start));
    // A rehearsal's next stage begins when the last one's requests have ended, or were given up; of its last
    // stages, the way down, no more is asked than that they were offered. Between steps it asks with single
    // requests whether the target has come to rest; the run itself does not count them as stages.
    if (run.kind != "rehearse" || stage.kind != StageKind::probe || stage.name != "settle") {
      run.stages.push_back(recorder->summarize(i));
      const bool way_down = stage.kind != StageKind::step;
      whole.push_back(i + 1 < plan.stages.size() || closed || (way_down && offered));
    }
    run.duration = std::max(run.duration, closed ? stage.end : Nanos{0});
  }
  run.timeline = recorder->timeline();
  run.requests = recorder->requests();
  run.attempts = recorder->attempts();
  if (run.requests > 0)
    run.retry_amplification = static_cast<double>(run.attempts) / static_cast<double>(run.requests);
  run.ended =
      closed ? fmt::format("unknown: {}, which was closed; run.json was lost", source)
             : fmt::format("cut off: {} up to the last record, at {}", source, format_duration(seen.last));
  run.validity = Validity::unknown;
  run.verdict = Verdict::inconclusive;
  run.sentence =
      fmt::format("{}: {} requests are judged as far as they go, and no run without its end is a pass.",
                  closed ? "The run's end is not known" : "The run was cut off", run.requests);
  if (run.started_at > Nanos{0}) run.ended_at = run.started_at + run.duration;
  if (missing > 0) {
    run.warnings.push_back(fmt::format(
        "{} requests were due and have no end: they count as offered, and their latencies are not known",
        missing));
  }
  if (!closed) {
    run.warnings.emplace_back(
        "not known: the requests that were under way at the end, or due after the last that ended; those "
        "that had "
        "ended by then were the faster ones");
  }
  run.warnings.emplace_back(
      "not known: events, faults as they were made, what the target tells of itself (ledger, gauges), the "
      "generator's own health but for its send lag, and how the run was to end; gaps between chunks are to a "
      "microsecond");
  if (judge) judge(*recorder, whole, run);
  DSBENCH_CHECK(recorder->close());
  return run;
}

bool was_rebuilt(const RunSummary& run) {
  return run.ended.find(source) != std::string::npos;
}

}  // namespace dsbench::results
