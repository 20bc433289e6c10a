// What is said of the whole: who took part, what they say of themselves, and why it is no valid load.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/text.h"
#include "results/merge_parts.h"

namespace dsbench::results {
namespace {

std::string index_list(const std::vector<std::uint32_t>& indices) {
  std::string text;
  for (const std::uint32_t i : indices) text += fmt::format("{}{}", text.empty() ? "" : ", ", i);
  return text;
}

// What one says of itself, said of the whole: in front of it who, unless all say it.
void unite_texts(const WorkerRuns& runs, const std::vector<std::string>& (*texts)(const RunSummary&),
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
  w.valid = s.validity == Validity::valid;
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
void add_fleets_accounts(const WorkerRuns& runs, const Alignment& alignment, RunSummary& merged) {
  for (const WorkerRun& run : runs) {
    add(merged.ledger, run.summary.ledger);
    for (std::size_t k = 0; !alignment.cut && k < merged.stages.size(); ++k)
      add(merged.stages[k].ledger, run.summary.stages[k].ledger);
  }
}

// The target's own account is of the target, whoever asked: the first worker that has one tells it.
void take_target_account(const WorkerRuns& runs, const Alignment& alignment, RunSummary& merged) {
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

}  // namespace

void take_accounts(const WorkerRuns& runs, const Alignment& alignment, RunSummary& merged) {
  if (merged.simulated)
    add_fleets_accounts(runs, alignment, merged);
  else
    take_target_account(runs, alignment, merged);
}

void judge_missing(const WorkerRuns& runs, const std::vector<std::string>& unusable,
                   const MergeOptions& options, RunSummary& merged) {
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

void judge_start(const WorkerRuns& runs, RunSummary& merged) {
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

void judge_missing_records(const WorkerRuns& runs, const Seen& seen, RunSummary& merged) {
  for (const WorkerRun& run : runs) {
    if (!is_complete(run)) continue;
    const WorkerShare& share = share_of(run);
    const std::int64_t missing = seen.missing(share.index, share.count, share.scheduled);
    if (missing == 0) continue;
    merged.invalid_causes.push_back(fmt::format(
        "worker {} has no record of {} of its requests: they were scheduled, and nobody knows what became of "
        "them",
        share.index, missing));
  }
}

void describe_whole(const WorkerRuns& runs, RunSummary& merged) {
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
    if (is_complete(run)) continue;
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

}  // namespace dsbench::results
