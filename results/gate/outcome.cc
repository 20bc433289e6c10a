#include "results/gate/outcome.h"

#include <algorithm>

#include "results/verdicts/threshold.h"
#include "results/verdicts/windowed_threshold.h"

namespace dsbench::results::gate {
namespace {

std::string names_of(const Judgement& judgement, MetricVerdict verdict) {
  std::string names;
  std::size_t n = 0;
  for (const MetricJudgement& m : judgement.metrics) {
    if (m.verdict != verdict) continue;
    if (++n > 4) continue;
    names += (n > 1 ? ", " : "") + m.metric.name;
    if (verdict == MetricVerdict::regressed) names += fmt::format(" ({:+.1f} %)", 100 * (m.ratio - 1));
  }
  return n > 4 ? fmt::format("{} and {} more", names, n - 4) : names;
}

// "class gold: p95 ttft < 1s": the class's requests of the whole run, in the form of a stage.
constexpr std::string_view class_prefix = "class ";
Result<std::vector<Criterion>> judge_class(const Threshold& threshold, const RunSummary& run) {
  if (threshold.window > Nanos{0} ||
      (threshold.metric != "ttft" && threshold.metric != "e2e" && !threshold.metric.ends_with("_share"))) {
    return fail(ErrorKind::usage,
                "--require '{}': of a class a run tells ttft, e2e, good_share, completed_share and "
                "failed_share, over the "
                "whole run",
                threshold.text);
  }
  const std::string name = threshold.stage.substr(class_prefix.size());
  for (const TenantSummary& t : run.tenants) {
    if (t.name != name) continue;
    StageSummary stage;
    stage.name = threshold.stage;
    stage.requests = t.slice.requests;
    stage.completed = t.slice.completed;
    stage.good = t.slice.good;
    stage.ttft = t.slice.ttft;
    stage.e2e = t.slice.e2e;
    return judge_threshold(threshold, {stage});
  }
  return std::vector<Criterion>{{threshold.text, "no such class", StepVerdict::bad}};
}

Result<Criterion> judge_requirement(const Threshold& threshold, std::span<const Evidence> candidate) {
  Criterion criterion{threshold.text, "", StepVerdict::good};
  std::size_t met = 0;
  std::string worst;
  for (const Evidence& run : candidate) {
    if (!run.run) {
      return fail(ErrorKind::usage, "--require '{}': {} is a kernel result, which has no stages to be judged",
                  threshold.text, run.source);
    }
    std::vector<Criterion> found;
    if (threshold.stage.starts_with(class_prefix)) {
      DSBENCH_TRY(found, judge_class(threshold, *run.run));
    } else if (threshold.window > Nanos{0}) {
      DSBENCH_TRY(found, judge_windows(threshold, run.records, run.run->stages));
    } else {
      found = judge_threshold(threshold, run.run->stages);
    }
    const auto missed = std::find_if(found.begin(), found.end(),
                                     [](const Criterion& c) { return c.verdict != StepVerdict::good; });
    if (missed == found.end()) {
      ++met;
    } else if (worst.empty()) {
      worst = fmt::format("{}: {}", run.source, missed->measured);
      if (missed->name != threshold.text) worst += " in " + missed->name;
    }
  }
  criterion.measured =
      fmt::format("met in {} of {} runs{}", met, candidate.size(), worst.empty() ? "" : "; " + worst);
  if (met < candidate.size() || candidate.empty()) criterion.verdict = StepVerdict::bad;
  return criterion;
}

}  // namespace

std::string_view to_word(Overall overall) {
  switch (overall) {
    case Overall::passed:
      return "PASSED";
    case Overall::regressed:
      return "REGRESSED";
    case Overall::slo_missed:
      return "SLO MISSED";
    case Overall::invalid:
      return "INVALID";
    case Overall::inconclusive:
      break;
  }
  return "INCONCLUSIVE";
}

void conclude(Outcome& o) {
  const auto missed = std::count_if(o.requirements.begin(), o.requirements.end(),
                                    [](const Criterion& c) { return c.verdict != StepVerdict::good; });
  const bool decided = o.judgement.metrics.empty() || !o.judgement.any(MetricVerdict::inconclusive);
  if (!o.invalid.empty()) {
    o.overall = Overall::invalid;
    o.sentence = fmt::format("{} of {} runs are no evidence: {}", o.invalid.size(),
                             o.baseline.size() + o.candidate.size(), o.invalid.front());
  } else if (o.judgement.any(MetricVerdict::regressed)) {
    o.overall = Overall::regressed;
    o.sentence = "The candidate is worse: " + names_of(o.judgement, MetricVerdict::regressed) + ".";
  } else if (missed > 0) {
    o.overall = Overall::slo_missed;
    o.sentence = fmt::format("The candidate misses {} of {} absolute bounds.", missed, o.requirements.size());
  } else if (!decided) {
    o.overall = Overall::inconclusive;
    o.sentence =
        "The evidence does not decide about " + names_of(o.judgement, MetricVerdict::inconclusive) + ".";
  } else {
    o.overall = Overall::passed;
    const std::string improved = names_of(o.judgement, MetricVerdict::improved);
    o.sentence = improved.empty() ? "The candidate is as fast as the baseline, within the margins."
                                  : "No metric is worse; better: " + improved + ".";
  }
}

Result<std::vector<Criterion>> judge_requirements(const std::vector<std::string>& requirements,
                                                  std::span<const Evidence> candidate) {
  std::vector<Threshold> thresholds;
  for (const std::string& text : requirements) {
    DSBENCH_TRY(Threshold threshold, parse_threshold(text));
    const bool twice = std::any_of(thresholds.begin(), thresholds.end(), [&](const Threshold& t) {
      return t.metric == threshold.metric && t.stage == threshold.stage && t.quantile == threshold.quantile &&
             t.window == threshold.window;
    });
    if (twice) {
      return fail(ErrorKind::usage, "--require '{}': there is a bound on this already; give one", text);
    }
    thresholds.push_back(std::move(threshold));
  }
  std::vector<Criterion> criteria;
  for (const Threshold& threshold : thresholds) {
    DSBENCH_TRY(Criterion criterion, judge_requirement(threshold, candidate));
    criteria.push_back(std::move(criterion));
  }
  return criteria;
}

}  // namespace dsbench::results::gate
