#include "loadgen/traces/trace_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "loadgen/traces/fit_comparison.h"
#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/prompt_index.h"
#include "loadgen/traces/session_finder.h"

namespace dsbench::loadgen {
namespace {

using Verdict = FitLine::Verdict;

// Below this conversations have no laws.
constexpr std::size_t fewest_follow_ups = 20;
// A line of the comparison that is hopeless says no more than that. What a prefix cache would find is what
// the two are about.
constexpr double most_off = 10, weight_of_hits = 3;
// Sessions must be better by more than an accident.
constexpr double better_by = 0.8;

struct Candidate {
  FittedProfiles profiles;
  std::vector<FitLine> lines;
};

Result<Candidate> judged(FitJudge& judge, FittedProfiles profiles) {
  Candidate candidate{std::move(profiles), {}};
  DSBENCH_TRY(candidate.lines, judge.compare(candidate.profiles));
  return candidate;
}

// How far a fit is off, over what both fits are judged by.
double off(const Candidate& one, const Candidate& other) {
  double sum = 0;
  for (const FitLine& line : one.lines) {
    if (std::any_of(other.lines.begin(), other.lines.end(),
                    [&](const FitLine& l) { return l.what == line.what; }))
      sum += std::min(line.off, most_off) * (line.of_hits ? weight_of_hits : 1);
  }
  return sum;
}

TraceFit::Sessions sessions_found(const Trace& trace, const SessionForest& forest) {
  TraceFit::Sessions found;
  found.requests = forest.follow_ups;
  found.sessions = trace.size() - forest.follow_ups;
  found.keeps_answers = forest.keeps_answers;
  for (std::size_t i = 0; i < trace.size(); ++i)
    found.longer += forest.parent[i] == no_parent && forest.next[i] != no_parent ? 1 : 0;
  return found;
}

struct Summary {
  double mean = 0, p50 = 0, p99 = 0;
};
Summary summary_of(const Trace& trace, std::int32_t TraceRow::*field) {
  std::vector<double> values;
  values.reserve(trace.size());
  for (const TraceRow& row : trace.rows) values.push_back(row.*field);
  std::sort(values.begin(), values.end());
  return {moments(values).mean, quantile_of(values, 0.5), quantile_of(values, 0.99)};
}

}  // namespace

Verdict TraceFit::worst() const {
  Verdict worst = Verdict::good;
  for (const FitLine& line : lines) {
    if (line.verdict != Verdict::not_judged) worst = std::max(worst, line.verdict);
  }
  return worst;
}

Result<TraceFit> fit_trace(const Trace& trace, const FitOptions& options) {
  if (trace.size() < 50) {
    return fail(ErrorKind::usage, "'{}' has {} request{}; a fit needs at least 50", trace.name, trace.size(),
                trace.size() == 1 ? "" : "s");
  }
  TraceFit fit;
  fit.skew = client_skew(trace);
  const PromptIndex index{trace};
  const std::optional<PrefixHits> hits = prefix_hits(trace, index);
  FitJudge judge{trace, hits, options.name, options.seed};
  using Choice = FitOptions::Sessions;
  std::optional<Candidate> with_sessions, without;
  if (options.sessions != Choice::no && hits) {
    std::vector<std::uint32_t> all(trace.size());
    std::iota(all.begin(), all.end(), 0U);
    const SessionForest forest = find_sessions(trace, index, common_beginning(trace, all));
    if (forest.follow_ups > 0) fit.sessions = sessions_found(trace, forest);
    if (forest.follow_ups >= fewest_follow_ups) {
      const PrefixFit prefixes = prefixes_of_sessions(trace, index, options, forest);
      for (const ByWhat by_what : {ByWhat::length, ByWhat::growth}) {
        DSBENCH_TRY(Candidate one,
                    judged(judge, profiles_of_sessions(trace, options, forest, prefixes, by_what)));
        if (!with_sessions || off(one, *with_sessions) < off(*with_sessions, one))
          with_sessions = std::move(one);
      }
    }
  }
  if (options.sessions == Choice::yes && !with_sessions) {
    return fail(ErrorKind::usage,
                "sessions were asked for; found {} requests that go on from another{}; accepted: at least {}",
                fit.sessions ? fit.sessions->requests : 0, hits ? "" : " (the trace has no prefix hashes)",
                fewest_follow_ups);
  }
  if (!with_sessions || options.sessions == Choice::automatic) {
    DSBENCH_TRY(without, judged(judge, profiles_of_requests(trace, index, options, fit.skew)));
  }
  if (with_sessions && without) {
    const double a = off(*with_sessions, *without), b = off(*without, *with_sessions);
    fit.as_sessions = a < better_by * b;
    fit.why = fmt::format(
        "over what both are judged by, hits three times, sessions are off by {:.3g} and "
        "pools of prefixes by {:.3g} (1: one figure just good)",
        a, b);
  } else if (with_sessions) {
    fit.as_sessions = true;
    fit.why = "as asked";
  } else if (fit.sessions) {
    fit.why = fmt::format("too few; at least {} are needed", fewest_follow_ups);
  }
  if (with_sessions) {
    const SessionLaws& laws = *with_sessions->profiles.laws;
    fit.sessions->mean_turns = laws.turns.mean();
    fit.sessions->fork_share = laws.fork_share;
    fit.sessions->gap_p50_s = laws.gap_quantiles.empty() ? 0 : quantile_of(laws.gap_quantiles, 0.5);
    fit.sessions->user_p50 = quantile_of(laws.user_quantiles, 0.5);
  }
  Candidate& chosen = fit.as_sessions ? *with_sessions : *without;
  fit.traffic_json = std::move(chosen.profiles.traffic_json);
  fit.workload_json = std::move(chosen.profiles.workload_json);
  fit.cv = chosen.profiles.cv;
  fit.raw_cv = chosen.profiles.raw_cv;
  fit.bin = chosen.profiles.bin;
  fit.curve_points = chosen.profiles.curve_points;
  fit.bins = chosen.profiles.bins;
  fit.classes = chosen.profiles.classes;
  fit.lines = std::move(chosen.lines);
  const Summary in = summary_of(trace, &TraceRow::input_tokens),
                out = summary_of(trace, &TraceRow::output_tokens);
  fit.input_mean = in.mean, fit.input_p50 = in.p50, fit.input_p99 = in.p99;
  fit.output_mean = out.mean, fit.output_p50 = out.p50, fit.output_p99 = out.p99;
  if (hits) {
    fit.hit_share = hits->share;
    fit.block_hit_share = hits->share_of_blocks;
    fit.hit_by_age = hits->by_age;
    fit.hit_by_position = hits->by_position;
  }
  double ratio = 0, told = 0;
  for (const TraceRow& row : trace.rows) {
    if (row.reasoning_share >= 0) ratio += double{row.reasoning_share}, told += 1;
  }
  if (told > 0) fit.mean_reasoning = ratio / told;
  return fit;
}

}  // namespace dsbench::loadgen
