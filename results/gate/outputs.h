#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "results/gate/outcome.h"

// A gate's outcome, for people and for the programs that read such things.
namespace dsbench::results::gate {

[[nodiscard]] std::string render_text(const Outcome& outcome, bool colour);

// An infinite number is the string "infinite". Read back by results/gate/outcome_file.h.
inline constexpr std::string_view outcome_schema = "dsbench.gate/1";
[[nodiscard]] std::string render_json(const Outcome& outcome);

// One testcase for each metric and each bound: a failure for REGRESSED and a missed bound, skipped for
// INCONCLUSIVE (a failure where that fails the gate), one error where the evidence is invalid.
[[nodiscard]] std::string render_junit(const Outcome& outcome);

// At most so many bytes: rows are left out from the end, worst metrics come first, and it says how many.
inline constexpr std::size_t step_summary_limit = 1'000'000;  // GitHub takes 1 MiB a step
[[nodiscard]] std::string render_markdown(const Outcome& outcome, std::size_t limit = step_summary_limit);

// Workflow commands of GitHub Actions: at most ten lines, the worst first, the last saying how many more.
[[nodiscard]] std::string render_annotations(const Outcome& outcome);

// Bencher Metric Format: the candidate's medians with the least and the greatest run.
[[nodiscard]] std::string render_bmf(const Outcome& outcome);

// github-action-benchmark: customSmallerIsBetter, or customBiggerIsBetter. Only the metrics that point this
// way.
[[nodiscard]] std::string render_github_benchmark(const Outcome& outcome, Better better);

// Of a workflow command, its text and the value of a property.
[[nodiscard]] std::string annotation_escape(std::string_view text);
[[nodiscard]] std::string annotation_property_escape(std::string_view text);

// The metrics, worst first: REGRESSED, INCONCLUSIVE, SAME, IMPROVED, and within each by how much worse.
[[nodiscard]] std::vector<const MetricJudgement*> worst_first(const Judgement& judgement);

// "+5.2 %", "infinitely more".
[[nodiscard]] std::string format_change(double ratio);
// "−1.0 to +2.3 %", or "none".
[[nodiscard]] std::string format_interval(const MetricJudgement& m);
[[nodiscard]] std::string format_p(double p);

}  // namespace dsbench::results::gate
