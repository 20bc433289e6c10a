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
#include "results/metrics.h"
#include "results/record_replay.h"
#include "results/recorder.h"

namespace dsbench::results {
namespace {

// Issuer threads of worker k have the numbers k·256, k·256 + 1, … in the merged records.
constexpr std::uint32_t most_threads = 256;

using Runs = std::vector<WorkerRun>;

const WorkerShare& share_of(const WorkerRun& run) {
  return *run.summary.worker;
}
std::string name_of(const WorkerRun& run) {
  return fmt::format("worker {} ('{}')", share_of(run).index, run.directory.path.string());
}
bool complete(const WorkerRun& run) {
  return run.summary.ended == "complete";
}

// ---- what must hold before anything is made of them

Result<void> check_each(const Runs& runs) {
  for (const WorkerRun& run : runs) {
    if (!run.summary.workers.empty())
      return fail(ErrorKind::usage, "'{}' has been merged already; give the folders of its workers",
                  run.directory.path.string());
    if (run.summary.kind != "load") {
      return fail(
          ErrorKind::usage,
          "'{}' is a run of dsbench {}: what it offers next depends on what it has seen, so it cannot "
          "be shared among workers; accepted: runs of dsbench load --worker K/N",
          run.directory.path.string(), run.summary.kind);
    }
    if (!run.summary.worker) {
      return fail(ErrorKind::usage,
                  "'{}' is the run of one process and no worker's share; accepted: runs of dsbench load "
                  "--worker K/N",
                  run.directory.path.string());
    }
  }
  return {};
}

Result<void> check_together(const Runs& runs) {
  const WorkerRun& first = runs.front();
  for (const WorkerRun& run : runs) {
    const WorkerShare &a = share_of(first), &b = share_of(run);
    const auto differs = [&](std::string_view what, const auto& of_a, const auto& of_b) {
      return fail(ErrorKind::usage, "{} and {} are not of one load: {} {} and {}", name_of(first),
                  name_of(run), what, of_a, of_b);
    };
    if (a.count != b.count) return differs("numbers of workers", a.count, b.count);
    if (first.summary.seed != run.summary.seed) return differs("seeds", first.summary.seed, run.summary.seed);
    if (a.plan_digest != b.plan_digest || first.summary.profile_json != run.summary.profile_json)
      return differs("plans (traffic, workload, SLO, client)", a.plan_digest, b.plan_digest);
    if (first.summary.simulated != run.summary.simulated)
      return differs("worlds", first.summary.simulated ? "simulated" : "real",
                     run.summary.simulated ? "simulated" : "real");
  }
  // Of those that came to their end, because the others drew less of it.
  const WorkerRun* whole = nullptr;
  for (const WorkerRun& run : runs) {
    if (!complete(run)) continue;
    if (whole == nullptr) whole = &run;
    const WorkerShare &a = share_of(*whole), &b = share_of(run);
    if (a.schedule_digest != b.schedule_digest || a.scheduled != b.scheduled) {
      return fail(ErrorKind::usage,
                  "{} and {} drew different schedules ({} and {} requests): another build of dsbench, or a "
                  "rate that was changed by hand on one of them",
                  name_of(*whole), name_of(run), a.scheduled, b.scheduled);
    }
  }
  for (std::size_t i = 1; i < runs.size(); ++i) {
    if (share_of(runs[i - 1]).index == share_of(runs[i]).index)
      return fail(ErrorKind::usage, "{} and '{}' are the same worker; give each once", name_of(runs[i - 1]),
                  runs[i].directory.path.string());
  }
  return {};
}

// ---- the stages of the whole

struct Alignment {
  std::vector<Nanos> shift;       // by run: what its times must be moved by
  std::vector<StageInfo> stages;  // of the merged run
  bool cut = false;               // some worker ended early, and with it the stages
};

Alignment align(const Runs& runs) {
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
    a.cut = a.cut || std::any_of(runs.begin(), runs.end(), [](const WorkerRun& r) { return !complete(r); });
    info.end = std::max(info.end, info.start + Nanos{1});  // a stage without an end would go on for ever
    info.measure_from = std::min(info.measure_from, info.end);
    a.stages.push_back(std::move(info));
  }
  return a;
}

// ---- every record once more

// Which requests of the schedule have come.
class Seen {
 public:
  // False: it has come before.
  bool mark(std::uint64_t number) {
    if (number >= bits_.size()) bits_.resize(std::max<std::size_t>(2 * bits_.size(), number + 1));
    if (bits_[number]) return false;
    return bits_[number] = true;
  }
  [[nodiscard]] std::int64_t missing(std::uint64_t index, std::uint64_t count, std::int64_t scheduled) const {
    std::int64_t n = 0;
    for (std::uint64_t i = index; i < static_cast<std::uint64_t>(scheduled); i += count)
      n += i < bits_.size() && bits_[i] ? 0 : 1;
    return n;
  }

 private:
  std::vector<bool> bits_;
};

Nanos moved(Nanos t, Nanos by) {
  return t == never ? never : t + by;
}

Result<void> replay(const Runs& runs, const Alignment& alignment, Recorder& recorder, Seen& seen) {
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
Result<void> check_sums(const Runs& runs, const StageSummary& merged) {
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
      break;
  }
  return stage.send_lag;
}

// The gaps between chunks, which the records have in whole microseconds, from the histograms, which have them
// to a nanosecond; extremes and mean from the workers' own.
LatencySummary exact_gaps(const Runs& runs, const StageSummary& merged, const Histogram& sum) {
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

Result<void> unite_logs(const Runs& runs, const Alignment& alignment, const std::filesystem::path& out,
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

// ---- what is said of the whole

std::string index_list(const std::vector<std::uint32_t>& indices) {
  std::string text;
  for (const std::uint32_t i : indices) text += fmt::format("{}{}", text.empty() ? "" : ", ", i);
  return text;
}

void judge_missing(const Runs& runs, const std::vector<std::string>& unusable, const MergeOptions& options,
                   RunSummary& merged) {
  const std::uint32_t count = share_of(runs.front()).count;
  std::vector<std::uint32_t> missing;
  std::size_t at = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (at < runs.size() && share_of(runs[at]).index == i)
      ++at;
    else
      missing.push_back(i);
  }
  if (missing.empty()) return;
  std::string why;
  for (const std::string& text : unusable) why += "; " + text;
  const std::string what = fmt::format("{} {} of {} {} missing{}", missing.size() == 1 ? "worker" : "workers",
                                       index_list(missing), count, missing.size() == 1 ? "is" : "are", why);
  if (options.allow_missing) {
    merged.warnings.push_back(fmt::format(
        "{}: the load that was offered is {} of {} shares of the planned one, and is judged as such", what,
        runs.size(), count));
    return;
  }
  merged.invalid_causes.push_back(fmt::format(
      "{}: {} of {} shares of the schedule were not offered; with --allow-missing, what was offered is "
      "judged as a load of its own",
      what, missing.size(), count));
}

void judge_start(const Runs& runs, RunSummary& merged) {
  if (runs.size() < 2 || merged.simulated) return;
  const bool agreed = std::all_of(runs.begin(), runs.end(),
                                  [](const WorkerRun& r) { return share_of(r).start_at.has_value(); });
  Nanos first = Nanos::max(), last{0};
  for (const WorkerRun& run : runs) {
    first = std::min(first, share_of(run).began_at);
    last = std::max(last, share_of(run).began_at);
  }
  const Nanos apart = last - first;
  if (agreed ? apart > Nanos{0} : apart > most_apart) {
    merged.invalid_causes.push_back(fmt::format(
        "the workers began {} apart{}: start them with one --start-at, or with --rendezvous",
        format_duration(apart),
        agreed ? ", with different --start-at" : fmt::format(", accepted {}", format_duration(most_apart))));
  } else if (!agreed) {
    merged.warnings.push_back(fmt::format(
        "the workers agreed on no start; by their own clocks they began {} apart", format_duration(apart)));
  }
}

void judge_missing_records(const Runs& runs, const Seen& seen, RunSummary& merged) {
  for (const WorkerRun& run : runs) {
    if (!complete(run)) continue;
    const WorkerShare& share = share_of(run);
    const std::int64_t missing = seen.missing(share.index, share.count, share.scheduled);
    if (missing == 0) continue;
    merged.invalid_causes.push_back(fmt::format(
        "worker {} has no record of {} of its requests: they were scheduled, and nobody knows what became of "
        "them",
        share.index, missing));
  }
}

// What one says of itself, said of the whole: in front of it who, unless all say it.
void unite_texts(const Runs& runs, const std::vector<std::string>& (*texts)(const RunSummary&),
                 std::vector<std::string>& out) {
  for (const WorkerRun& run : runs) {
    for (const std::string& text : texts(run.summary)) {
      const bool all = std::all_of(runs.begin(), runs.end(), [&](const WorkerRun& other) {
        const auto& list = texts(other.summary);
        return std::find(list.begin(), list.end(), text) != list.end();
      });
      const std::string said = all || text.starts_with(fmt::format("worker {} ", share_of(run).index))
                                   ? text
                                   : fmt::format("worker {}: {}", share_of(run).index, text);
      if (std::find(out.begin(), out.end(), said) == out.end()) out.push_back(said);
    }
  }
}

WorkerSummary worker_summary(const WorkerRun& run) {
  WorkerSummary w;
  const RunSummary& s = run.summary;
  w.share = *s.worker;
  w.ended = s.ended;
  w.valid = s.valid;
  w.requests = s.requests;
  w.attempts = s.attempts;
  for (const TimelinePoint& p : s.timeline) {
    w.completed += p.completed;
    w.good += p.good;
  }
  for (const StageSummary& stage : s.stages) {
    if (stage.send_lag.count == 0) continue;
    w.send_lag_max = std::max(w.send_lag_max.value_or(Nanos{0}), stage.send_lag.max);
    for (const auto& p : stage.send_lag.percentiles) {
      if (p.q == 0.99 && p.value) w.send_lag_p99 = std::max(w.send_lag_p99.value_or(Nanos{0}), *p.value);
    }
  }
  for (const auto& [key, value] : s.host) {
    if (key == "cpu_model") w.cpu_model = value;
  }
  return w;
}

void add(std::optional<Ledger>& sum, const std::optional<Ledger>& one) {
  if (!one) return;
  if (!sum) sum.emplace();
  sum->computed_tokens += one->computed_tokens;
  sum->recomputed_tokens += one->recomputed_tokens;
  sum->abandoned_tokens += one->abandoned_tokens;
  sum->generated_tokens += one->generated_tokens;
  sum->preemptions += one->preemptions;
}

// Each worker had a simulated fleet of its own: their accounts add up, and their gauges are of no one target.
void add_fleets_accounts(const Runs& runs, const Alignment& alignment, RunSummary& merged) {
  for (const WorkerRun& run : runs) {
    add(merged.ledger, run.summary.ledger);
    for (std::size_t k = 0; !alignment.cut && k < merged.stages.size(); ++k)
      add(merged.stages[k].ledger, run.summary.stages[k].ledger);
  }
}

// The target's own account is of the target, whoever asked: the first worker that has one tells it.
void take_target_account(const Runs& runs, const Alignment& alignment, RunSummary& merged) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunSummary& s = runs[i].summary;
    if (!s.ledger) continue;
    merged.ledger = s.ledger;
    if (!alignment.cut) {
      for (std::size_t k = 0; k < merged.stages.size(); ++k) merged.stages[k].ledger = s.stages[k].ledger;
    }
    break;
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& points = runs[i].summary.timeline;
    if (std::none_of(points.begin(), points.end(),
                     [](const TimelinePoint& p) { return p.engine_running || p.engine_waiting; }))
      continue;
    const std::int64_t by = alignment.shift[i] / Nanos{1'000'000'000};
    for (const TimelinePoint& p : points) {
      const std::int64_t at = p.second + by;
      if (at < 0 || at >= static_cast<std::int64_t>(merged.timeline.size())) continue;
      TimelinePoint& to = merged.timeline[static_cast<std::size_t>(at)];
      to.engine_running = p.engine_running;
      to.engine_waiting = p.engine_waiting;
      to.engine_kv_used_share = p.engine_kv_used_share;
    }
    break;
  }
}

void describe_whole(const Runs& runs, RunSummary& merged) {
  const RunSummary& first = runs.front().summary;
  merged.kind = first.kind;
  merged.slo = first.slo;
  merged.target = first.target;
  merged.target_description = first.target_description;
  merged.simulated = first.simulated;
  merged.command = first.command;
  merged.profile_json = first.profile_json;
  merged.seed = first.seed;
  merged.events = first.events;
  merged.host = first.host;
  merged.dsbench_version = first.dsbench_version;
  merged.dsbench_commit = first.dsbench_commit;
  merged.dsbench_build = first.dsbench_build;
  merged.token_counts.calibrations = first.token_counts.calibrations;
  merged.workers_expected = share_of(runs.front()).count;
  merged.started_at = first.started_at;
  for (const WorkerRun& run : runs) {
    merged.started_at = std::min(merged.started_at, run.summary.started_at);
    merged.ended_at = std::max(merged.ended_at, run.summary.ended_at);
    merged.workers.push_back(worker_summary(run));
    if (complete(run)) continue;
    merged.ended = merged.ended == "complete" ? "" : merged.ended + "; ";
    merged.ended += fmt::format("worker {}: {}", share_of(run).index, run.summary.ended);
  }
  unite_texts(
      runs, [](const RunSummary& s) -> const std::vector<std::string>& { return s.warnings; },
      merged.warnings);
  unite_texts(
      runs, [](const RunSummary& s) -> const std::vector<std::string>& { return s.invalid_causes; },
      merged.invalid_causes);
  for (const WorkerRun& run : runs) {
    if (run.summary.target != first.target)
      merged.warnings.push_back(fmt::format("worker {} loaded {}, and worker {} {}", share_of(run).index,
                                            run.summary.target, share_of(runs.front()).index, first.target));
    if (run.summary.dsbench_commit != first.dsbench_commit)
      merged.warnings.push_back(fmt::format("worker {} is dsbench {}, and worker {} {}", share_of(run).index,
                                            run.summary.dsbench_commit, share_of(runs.front()).index,
                                            first.dsbench_commit));
  }
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
  if (merged.simulated)
    add_fleets_accounts(runs, alignment, merged);
  else
    take_target_account(runs, alignment, merged);
  judge_missing(runs, absent, options, merged);
  judge_start(runs, merged);
  judge_missing_records(runs, seen, merged);
  merged.valid = merged.invalid_causes.empty();
  return merged;
}

}  // namespace dsbench::results
