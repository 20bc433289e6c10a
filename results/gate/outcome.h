#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/gate/comparability.h"
#include "results/gate/judge.h"
#include "results/gate/sequence.h"
#include "results/run_summary.h"

// What a gate came to: filled by cli/, rendered by results/gate/outputs.h.
namespace dsbench::results::gate {

enum class Overall : std::uint8_t { passed, regressed, slo_missed, inconclusive, invalid };
[[nodiscard]] std::string_view to_word(Overall overall);  // "PASSED", "REGRESSED", "SLO MISSED", …

struct Outcome {
  Overall overall = Overall::inconclusive;
  std::string sentence;
  std::string title = "dsbench gate";
  std::string kind;                              // of the runs: "load", "rehearse", "kernels"
  std::vector<std::string> baseline, candidate;  // where the runs are, in their order
  Judgement judgement;
  std::vector<Criterion> requirements;  // absolute bounds on the candidate
  std::vector<std::string> invalid;     // "RUN: cause"
  std::vector<Mismatch> mismatches;     // that were allowed
  std::vector<std::string> notes;
  double alpha = 0.05;      // over all metrics and looks
  std::vector<Look> looks;  // that were taken
  std::size_t planned_looks = 1;
  bool inconclusive_fails = true;
  std::string dsbench_version;
};

// Sets overall and sentence from the rest: invalid evidence before all else, then a regression, a missed
// bound, an inconclusive metric.
void conclude(Outcome& outcome);

// Judges the bounds on every candidate run: a bound is met when each run meets it, no data being a failure.
// One criterion for each. Stages as `--require` of `dsbench load` knows them; "class NAME: …" is of a class
// of the workload. Errors: usage, for one given twice, and for a kernel result, which has no stages.
[[nodiscard]] Result<std::vector<Criterion>> judge_requirements(const std::vector<std::string>& requirements,
                                                                std::span<const Evidence> candidate);

}  // namespace dsbench::results::gate
