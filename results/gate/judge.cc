#include "results/gate/judge.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "results/gate/many_tests.h"
#include "results/gate/noise.h"
#include "results/gate/rank_test.h"

namespace dsbench::results::gate {
namespace {

struct Values {
  std::vector<double> there;
  std::vector<double> clocks, cycles;  // of those that tell their clock
  std::size_t missing = 0;
  std::string why;
};

Values values_of(std::span<const Evidence> runs, std::string_view metric) {
  Values values;
  for (const Evidence& run : runs) {
    const Measured* m = run.find(metric);
    if (m != nullptr && m->value) {
      values.there.push_back(*m->value);
      if (m->clock_hz && *m->clock_hz > 0) {
        values.clocks.push_back(*m->clock_hz);
        values.cycles.push_back(*m->value * *m->clock_hz);
      }
    } else {
      ++values.missing;
      if (values.why.empty()) values.why = m == nullptr ? "it has no such metric" : m->missing;
    }
  }
  return values;
}

const Measured* first(std::span<const Evidence> runs, std::string_view metric) {
  for (const Evidence& run : runs) {
    if (const Measured* m = run.find(metric)) return m;
  }
  return nullptr;
}

// "p95 ttft" is also "climb: p95 ttft".
bool is_asked(std::string_view pattern, std::string_view name) {
  if (matches(pattern, name)) return true;
  const std::size_t colon = name.rfind(": ");
  return colon != std::string_view::npos && pattern.find(": ") == std::string_view::npos &&
         matches(pattern, name.substr(colon + 2));
}

std::vector<std::string> all_names(std::span<const Evidence> a, std::span<const Evidence> b) {
  std::vector<std::string> names;
  const auto add = [&names](std::span<const Evidence> runs) {
    for (const Evidence& run : runs) {
      for (const Measured& m : run.metrics) {
        if (std::find(names.begin(), names.end(), m.metric.name) == names.end())
          names.push_back(m.metric.name);
      }
    }
  };
  add(a);
  add(b);
  return names;
}

// Another clock makes the same work take another time: what is called in time must be so in cycles as well.
void compare_cycles(MetricJudgement& j, const Values& a, const Values& b) {
  if (a.clocks.empty() || a.clocks.size() != a.there.size() || b.clocks.size() != b.there.size()) return;
  const double clock = ratio_of(median_of(b.clocks), median_of(a.clocks));
  if (std::abs(clock - 1) <= 0.005) return;
  j.clock_ratio = clock;
  j.cycle_ratio = ratio_of(median_of(b.cycles), median_of(a.cycles));
}
bool stands_in_cycles(const MetricJudgement& j) {
  if (!j.cycle_ratio) return true;
  const double worse = j.verdict == MetricVerdict::regressed ? *j.cycle_ratio : ratio_of(1, *j.cycle_ratio);
  return worse > 1 + j.margin;
}

std::string missing_note(const char* side, const Values& values) {
  if (values.missing == 0) return "";
  return fmt::format("no value in {} of {} {} runs ({})", values.missing,
                     values.missing + values.there.size(), side, values.why);
}

}  // namespace

std::string_view to_word(MetricVerdict verdict) {
  switch (verdict) {
    case MetricVerdict::regressed:
      return "REGRESSED";
    case MetricVerdict::improved:
      return "IMPROVED";
    case MetricVerdict::same:
      return "SAME";
    case MetricVerdict::inconclusive:
      break;
  }
  return "INCONCLUSIVE";
}

double MetricJudgement::worse() const {
  return metric.better == Better::lower ? ratio : ratio_of(1, ratio);
}

bool Judgement::any(MetricVerdict verdict) const {
  return std::any_of(metrics.begin(), metrics.end(), [&](const auto& m) { return m.verdict == verdict; });
}

bool matches(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  pattern.remove_prefix(star + 1);
  for (text.remove_prefix(star);; text.remove_prefix(1)) {
    if (matches(pattern, text)) return true;
    if (text.empty()) return false;
  }
}

double margin_of(const JudgeSettings& settings, std::string_view metric, std::string_view kind) {
  for (const auto& [pattern, margin] : settings.margins) {
    if (is_asked(pattern, metric)) return margin;
  }
  return settings.margin.value_or(kind == "kernels" ? kernel_margin : serving_margin);
}

Result<std::vector<std::string>> gated_metrics(std::span<const Evidence> baseline,
                                               std::span<const Evidence> candidate,
                                               const JudgeSettings& settings,
                                               std::vector<std::string>* notes) {
  const std::vector<std::string> names = all_names(baseline, candidate);
  const auto unknown = [&](std::string_view what, std::string_view pattern) {
    std::vector<std::string_view> words{names.begin(), names.end()};
    const std::string_view near = nearest_word(pattern, words);
    std::string list;
    for (std::size_t i = 0; i < words.size() && i < 40; ++i)
      list += fmt::format("{}{}", i > 0 ? ", " : "", words[i]);
    if (words.size() > 40) list += fmt::format(" and {} more", words.size() - 40);
    return fail(ErrorKind::usage, "{} '{}': the runs have no such metric{}; they have: {}", what, pattern,
                near.empty() ? "" : fmt::format("; did you mean '{}'?", near), list);
  };
  for (const auto& [pattern, margin] : settings.margins) {
    if (std::none_of(names.begin(), names.end(), [&](const auto& n) { return is_asked(pattern, n); }))
      return unknown("--margin", pattern);
  }
  std::vector<std::string> gated;
  if (!settings.metrics.empty()) {
    for (const std::string& pattern : settings.metrics) {
      const std::size_t before = gated.size();
      bool any = false;
      for (const std::string& name : names) {
        if (!is_asked(pattern, name)) continue;
        any = true;
        if (std::find(gated.begin(), gated.end(), name) == gated.end()) gated.push_back(name);
      }
      if (gated.size() == before && !any) return unknown("--metric", pattern);
    }
    return gated;
  }
  for (const std::string& name : names) {
    const Measured* m = first(baseline, name);
    if (m == nullptr) m = first(candidate, name);
    if (!m->by_default) continue;
    const Values values = values_of(baseline, name);
    if (values.missing == 0) {
      gated.push_back(name);
    } else if (notes != nullptr) {
      notes->push_back(fmt::format("{} is not gated: {}", name, missing_note("baseline", values)));
    }
  }
  if (gated.empty()) {
    return fail(ErrorKind::usage,
                "nothing to gate: no metric that is gated by default has a value in every baseline run{}",
                notes == nullptr || notes->empty() ? "" : " (" + notes->front() + ")");
  }
  return gated;
}

MetricJudgement judge_values(const Metric& metric, std::vector<double> baseline,
                             std::vector<double> candidate, double alpha, double margin) {
  MetricJudgement j;
  j.metric = metric;
  j.alpha = alpha;
  j.margin = margin;
  j.baseline_runs = baseline.size();
  j.candidate_runs = candidate.size();
  j.baseline = median_of(baseline);
  j.candidate = median_of(candidate);
  j.ratio = ratio_of(j.candidate, j.baseline);
  const RankTest test = mann_whitney(baseline, candidate);
  j.p = j.p_holm = test.p;
  j.exact = test.exact;
  const RatioInterval interval = hodges_lehmann(baseline, candidate, 1 - alpha);
  j.estimate = interval.ratio;
  j.lower = interval.lower;
  j.upper = interval.upper;
  j.spread = relative_spread(baseline, candidate);
  j.baseline_values = std::move(baseline);
  j.candidate_values = std::move(candidate);
  j.verdict = verdict_of(j);
  return j;
}

MetricVerdict verdict_of(const MetricJudgement& j) {
  if (j.baseline_runs == 0 || j.candidate_runs == 0) return MetricVerdict::inconclusive;
  const double worse = j.worse(), beyond = 1 + j.margin;
  if (j.p_holm < j.alpha) {
    if (worse > beyond) return MetricVerdict::regressed;
    if (worse < 1 / beyond && j.baseline_missing + j.candidate_missing == 0) return MetricVerdict::improved;
  }
  if (j.lower && *j.lower > 1 / beyond && *j.upper < beyond && j.baseline_missing + j.candidate_missing == 0)
    return MetricVerdict::same;
  return MetricVerdict::inconclusive;
}

Result<Judgement> judge(std::span<const Evidence> baseline, std::span<const Evidence> candidate,
                        const JudgeSettings& settings) {
  Judgement judgement;
  DSBENCH_TRY(const auto names, gated_metrics(baseline, candidate, settings, &judgement.notes));
  const std::string_view kind = baseline.empty() ? "" : std::string_view{baseline.front().kind};
  std::vector<double> p;
  for (const std::string& name : names) {
    const Measured* m = first(baseline, name);
    if (m == nullptr) m = first(candidate, name);
    const Values a = values_of(baseline, name), b = values_of(candidate, name);
    MetricJudgement j =
        judge_values(m->metric, a.there, b.there, settings.alpha, margin_of(settings, name, kind));
    j.baseline_missing = a.missing;
    j.candidate_missing = b.missing;
    j.note = missing_note("baseline", a);
    if (b.missing > 0) j.note += (j.note.empty() ? "" : "; ") + missing_note("candidate", b);
    compare_cycles(j, a, b);
    p.push_back(j.p);
    judgement.metrics.push_back(std::move(j));
  }
  const std::vector<double> adjusted = holm(p);
  const double strictest = settings.alpha / static_cast<double>(std::max<std::size_t>(1, names.size()));
  for (std::size_t i = 0; i < judgement.metrics.size(); ++i) {
    MetricJudgement& j = judgement.metrics[i];
    j.p_holm = adjusted[i];
    j.detectable =
        detectable_effect(std::min(j.baseline_runs, j.candidate_runs), j.spread, j.margin, strictest);
    j.verdict = verdict_of(j);
    if ((j.verdict == MetricVerdict::regressed || j.verdict == MetricVerdict::improved) &&
        !stands_in_cycles(j)) {
      j.verdict = MetricVerdict::inconclusive;
      j.note = fmt::format(
          "the clock differed by {:+.1f} %, and in cycles the change is {:+.1f} %: not beyond the margin",
          100 * (*j.clock_ratio - 1), 100 * (*j.cycle_ratio - 1));
    }
    if (j.verdict != MetricVerdict::inconclusive || !j.note.empty()) continue;
    if (!j.lower) {
      j.note = fmt::format("{} and {} runs carry no interval at {:.1f} %", j.baseline_runs, j.candidate_runs,
                           100 * (1 - j.alpha));
    } else if (j.p_holm < j.alpha) {
      j.note = "a change, but not shown to be beyond the margin nor within it";
    } else {
      j.note = "too noisy to tell";
      // What the same runs would carry, so that a person can choose between a larger margin and more runs.
      const double within = std::max(*j.upper, ratio_of(1, *j.lower)) - 1;
      if (std::isfinite(within))
        j.note += fmt::format(": shown to be the same only within {:.1f} %", 100 * within);
    }
  }
  return judgement;
}

}  // namespace dsbench::results::gate
