#include "results/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/text.h"
#include "results/hdr_log.h"
#include "results/hdr_union.h"
#include "results/latency_summary.h"
#include "results/merge_parts.h"
#include "results/metrics.h"
#include "results/record_replay.h"
#include "results/recorder.h"

namespace dsbench::results {
namespace {

// Issuer threads of worker k have the numbers k·256, k·256 + 1, … in the merged records.
constexpr std::uint32_t most_threads = 256;

// ---- the stages of the whole

Alignment align(const WorkerRuns& runs) {
  Alignment a;
  const auto& reference = runs.front().summary.stages;
  for (const WorkerRun& run : runs)
    a.shift.push_back(reference.front().start - run.summary.stages.front().start);
  for (std::size_t s = 0; s < reference.size(); ++s) {
    const StageSummary& stage = reference[s];
    StageInfo info{stage.name, stage.kind, Rate{}, stage.start, stage.measure_from, stage.end};
    // A stage that a worker did not come to has its nominal start all the same, and no length.
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const StageSummary& own = runs[i].summary.stages[s];
      info.planned = Rate::per_second(info.planned.per_second() + own.planned.per_second());
      info.start = std::max(info.start, own.start + a.shift[i]);
      info.measure_from = std::max(info.measure_from, own.measure_from + a.shift[i]);
      info.end = std::min(info.end, own.end + a.shift[i]);
    }
    a.cut =
        a.cut || std::any_of(runs.begin(), runs.end(), [](const WorkerRun& r) { return !is_complete(r); });
    info.end = std::max(info.end, info.start + Nanos{1});  // a stage without an end would go on for ever
    info.measure_from = std::min(info.measure_from, info.end);
    a.stages.push_back(std::move(info));
  }
  return a;
}

// ---- every record once more

Nanos moved(Nanos t, Nanos by) {
  return t == never ? never : t + by;
}

Result<void> replay(const WorkerRuns& runs, const Alignment& alignment, Recorder& recorder, Seen& seen) {
  std::vector<RecordReplay> replays;
  for (const WorkerRun& run : runs) {
    DSBENCH_TRY(auto one, RecordReplay::open(run.directory.records()));
    replays.push_back(std::move(one));
  }
  std::vector<RecordSink*> sinks;
  for (std::uint32_t i = 0; i < runs.size(); ++i) sinks.push_back(&recorder.channel(i));
  for (;;) {
    std::optional<std::size_t> first;
    Nanos at = Nanos::max();
    for (std::size_t i = 0; i < replays.size(); ++i) {
      if (const auto next = replays[i].next_at(); next && *next + alignment.shift[i] < at) {
        first = i;
        at = *next + alignment.shift[i];
      }
    }
    if (!first) return {};
    const Nanos by = alignment.shift[*first];
    const WorkerShare& share = share_of(runs[*first]);
    const std::uint32_t threads_from = share.index * most_threads;
    DSBENCH_TRY(const RecordReplay::Item* item, replays[*first].next());
    switch (item->kind) {
      case RecordReplay::Kind::attempt: {
        AttemptRecord r = item->attempt;
        r.worker = threads_from + std::min(r.worker, most_threads - 1);
        for (Nanos* t : {&r.due, &r.sent, &r.first_byte, &r.first_token, &r.last_token, &r.done})
          *t = moved(*t, by);
        sinks[*first]->attempt(r);
        break;
      }
      case RecordReplay::Kind::request: {
        RequestRecord r = item->request;
        const std::uint64_t number = session_of(r.request);
        if (number % share.count != share.index)
          return fail(ErrorKind::usage, "{} has a record of request {}, which is worker {}'s",
                      name_of(runs[*first]), number, number % share.count);
        if (r.turn == 0 && number == r.request && !seen.mark(number))
          return fail(ErrorKind::usage, "{} has two records of request {}", name_of(runs[*first]), number);
        for (Nanos* t : {&r.due, &r.sent, &r.final_sent, &r.first_token, &r.last_token, &r.done})
          *t = moved(*t, by);
        recorder.offered(r.stage, r.request, r.due);
        sinks[*first]->request(r);
        break;
      }
      case RecordReplay::Kind::decision: {
        ProviderDecision d = item->decision;
        d.at += by;
        d.worker = threads_from + std::min(d.worker, most_threads - 1);
        sinks[*first]->decided(d);
        break;
      }
    }
  }
}

// ---- checks and repairs of what came out

// The counters of a stage are the sums of the workers', or a file was changed.
Result<void> check_sums(const WorkerRuns& runs, const StageSummary& merged) {
  struct Count {
    const char* name;
    std::int64_t StageSummary::*field;
  };
  for (const Count& c :
       {Count{"requests", &StageSummary::requests}, Count{"delivered", &StageSummary::delivered},
        Count{"completed", &StageSummary::completed}, Count{"good", &StageSummary::good},
        Count{"attempts", &StageSummary::attempts}, Count{"output_tokens", &StageSummary::output_tokens}}) {
    std::int64_t sum = 0;
    for (const WorkerRun& run : runs) sum += run.summary.stages[merged.index].*c.field;
    if (sum != merged.*c.field) {
      return fail(
          ErrorKind::usage,
          "the records do not agree with the run files: stage '{}' has {} {} by the one and {} by the "
          "other; was a file changed or copied in part?",
          merged.name, merged.*c.field, c.name, sum);
    }
  }
  return {};
}

const LatencySummary& latency_of(const StageSummary& stage, Metric metric) {
  switch (metric) {
    case Metric::ttft:
      return stage.ttft;
    case Metric::ttft_service:
      return stage.ttft_service;
    case Metric::tpot:
      return stage.tpot;
    case Metric::itl:
      return stage.itl;
    case Metric::e2e:
      return stage.e2e;
    case Metric::e2e_service:
      return stage.e2e_service;
    case Metric::ntpot:
      return stage.ntpot;
    case Metric::send_lag:
      return stage.send_lag;
    case Metric::read_lag:
      break;
  }
  return stage.read_lag;
}

// The gaps between chunks, which the records have in whole microseconds, from the histograms, which have them
// to a nanosecond; extremes and mean from the workers' own.
LatencySummary exact_gaps(const WorkerRuns& runs, const StageSummary& merged, const Histogram& sum) {
  Histogram all = sum;
  all.record_infinite(merged.itl.infinite);
  LatencySummary summary = summarize_latency(all);
  Nanos least = Nanos::max(), most{0};
  double total = 0;
  for (const WorkerRun& run : runs) {
    const LatencySummary& own = run.summary.stages[merged.index].itl;
    if (own.count == 0) continue;
    least = std::min(least, own.min);
    most = std::max(most, own.max);
    total += static_cast<double>(own.mean.count()) * static_cast<double>(own.count);
  }
  if (summary.count == 0) return summary;
  summary.min = least;
  summary.max = most;
  summary.mean = Nanos{static_cast<std::int64_t>(total / static_cast<double>(summary.count))};
  for (auto& p : summary.percentiles) {
    if (p.value) p.value = std::clamp(*p.value, least, most);
  }
  return summary;
}

Result<void> unite_logs(const WorkerRuns& runs, const Alignment& alignment, const std::filesystem::path& out,
                        RunSummary& merged) {
  std::vector<HdrLogPart> parts;
  for (std::size_t i = 0; i < runs.size(); ++i)
    parts.push_back({runs[i].directory.latency_log(), alignment.shift[i]});
  DSBENCH_TRY(const auto sums, unite_hdr_logs(parts, RunDirectory{out}.latency_log()));
  for (StageSummary& stage : merged.stages) {
    for (std::size_t m = 0; m < metric_count; ++m) {
      const auto metric = static_cast<Metric>(m);
      const auto found = sums.find(hdr_tag(to_word(metric), stage.index, stage.name));
      const std::int64_t logged = found == sums.end() ? 0 : found->second.count();
      if (logged != latency_of(stage, metric).count) {
        return fail(
            ErrorKind::usage,
            "the latency logs do not agree with the records: stage '{}' has {} samples of {} by the one "
            "and {} by the other; was a file changed or copied in part?",
            stage.name, logged, to_word(metric), latency_of(stage, metric).count);
      }
      if (metric == Metric::itl && found != sums.end()) stage.itl = exact_gaps(runs, stage, found->second);
    }
  }
  return {};
}

}  // namespace

Result<RunSummary> merge_workers(std::vector<WorkerRun> runs, const std::vector<std::string>& unusable,
                                 const std::filesystem::path& out, const MergeOptions& options) {
  DSBENCH_CHECK(check_each(runs));
  std::vector<std::string> absent = unusable;
  std::erase_if(runs, [&](const WorkerRun& run) {
    if (!run.summary.stages.empty()) return false;
    absent.push_back(fmt::format(
        "worker {}: {}", share_of(run).index,
        run.summary.invalid_causes.empty() ? run.summary.ended : run.summary.invalid_causes.front()));
    return true;
  });
  if (runs.empty()) {
    std::string why;
    for (const std::string& text : absent) why += (why.empty() ? "" : "; ") + text;
    return fail(ErrorKind::usage, "there is no worker's run to merge{}{}", why.empty() ? "" : ": ", why);
  }
  std::sort(runs.begin(), runs.end(),
            [](const WorkerRun& a, const WorkerRun& b) { return share_of(a).index < share_of(b).index; });
  DSBENCH_CHECK(check_together(runs));
  const std::size_t stages = runs.front().summary.stages.size();
  for (const WorkerRun& run : runs) {
    if (run.summary.stages.size() != stages)
      return fail(ErrorKind::usage, "{} has {} stages, and {} has {}", name_of(run),
                  run.summary.stages.size(), name_of(runs.front()), stages);
  }

  const Alignment alignment = align(runs);
  RunSummary merged;
  describe_whole(runs, merged);
  DSBENCH_TRY(const auto tenants, read_tenants(runs.front().directory.records()));
  Seen seen;
  {
    DSBENCH_TRY(const auto recorder, open_recorder(out, merged.slo, {.tenants = tenants}));
    for (const StageInfo& stage : alignment.stages) recorder->begin_stage(stage);
    DSBENCH_CHECK(replay(runs, alignment, *recorder, seen));
    for (std::uint32_t i = 0; i < alignment.stages.size(); ++i) {
      // What was offered and never ended, because its worker left in a hurry.
      std::int64_t known = recorder->summarize(i).requests, offered = 0;
      for (const WorkerRun& run : runs) offered += run.summary.stages[i].requests;
      for (; !alignment.cut && known < offered; ++known)
        recorder->offered(i, 0, alignment.stages[i].measure_from);
      merged.stages.push_back(recorder->summarize(i));
      StageSummary& stage = merged.stages.back();
      for (const WorkerRun& run : runs) {
        for (const std::string& cause : run.summary.stages[i].invalid_causes)
          stage.invalid_causes.push_back(fmt::format("worker {}: {}", share_of(run).index, cause));
      }
      if (!alignment.cut) DSBENCH_CHECK(check_sums(runs, stage));
    }
    merged.timeline = recorder->timeline();
    merged.requests = recorder->requests();
    merged.attempts = recorder->attempts();
    DSBENCH_CHECK(recorder->close());
  }
  if (merged.requests > 0)
    merged.retry_amplification = static_cast<double>(merged.attempts) / static_cast<double>(merged.requests);
  for (std::size_t i = 0; i < runs.size(); ++i)
    merged.duration = std::max(merged.duration, runs[i].summary.duration + alignment.shift[i]);
  if (alignment.cut) {
    merged.warnings.emplace_back(
        "a worker ended early: each stage is judged up to where all of them offered it, and gaps between "
        "chunks are to a microsecond");
  } else {
    DSBENCH_CHECK(unite_logs(runs, alignment, out, merged));
  }
  take_accounts(runs, alignment, merged);
  judge_missing(runs, absent, options, merged);
  judge_start(runs, merged);
  judge_missing_records(runs, seen, merged);
  merged.validity = validity_by(merged.invalid_causes.empty());
  return merged;
}

}  // namespace dsbench::results
