#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "results/run_summary.h"

// How values and verdicts are said, the same in HTML, in Markdown and on the terminal.
namespace dsbench::results::report {

// "12,345".
[[nodiscard]] std::string count_text(std::int64_t n);
// 0.9931 is "99.3 %"; a share that is not quite 0 or 1 is never rounded to it.
[[nodiscard]] std::string share_text(double share);
// "1.32 ×".
[[nodiscard]] std::string times_text(double factor);
[[nodiscard]] std::string rate_text(const std::optional<Rate>& rate);

// The percentile with this q; nullptr when the summary does not have it.
[[nodiscard]] const LatencySummary::Percentile* find_percentile(const LatencySummary& latency, double q);
// "340 ms", "n/a (needs 662)", "∞ (failed)", "n/a" when it was not asked for.
[[nodiscard]] std::string percentile_text(const LatencySummary& latency, double q);
// Seconds for a chart: infinity when failed, nothing when it is not known.
[[nodiscard]] std::optional<double> percentile_seconds(const LatencySummary& latency, double q);

// Never colour alone: a shape, a word, and the name of the colour class.
struct Mark {
  std::string_view shape;
  std::string_view word;
  std::string_view tone;  // "pass", "fail", "doubt", "void" or "plain"
};
[[nodiscard]] Mark criterion_mark(StepVerdict verdict);   // met, missed, unclear
[[nodiscard]] Mark step_mark(const StageSummary& stage);  // good, bad, unclear; a warm-up is not judged
[[nodiscard]] Mark verdict_mark(Verdict verdict);
[[nodiscard]] Mark collapse_mark(CollapseVerdict verdict);
[[nodiscard]] Mark recovery_mark(RecoveryVerdict verdict);

// The sentences of the run, or one made from the numbers where the run has none.
[[nodiscard]] std::string knee_sentence(const RunSummary& run);
[[nodiscard]] std::string collapse_sentence(const RunSummary& run);
[[nodiscard]] std::string recovery_sentence(const RunSummary& run);
// "TTFT ≤ 2.00 s, TPOT ≤ 50.0 ms"; "none" when nothing is bounded.
[[nodiscard]] std::string slo_text(const Slo& slo);

// Attempts of a stage for each request; 1 when there were none.
[[nodiscard]] double amplification(const StageSummary& stage);
// part ÷ whole as a share, "n/a" when the whole is 0.
[[nodiscard]] std::string part_text(std::int64_t part, std::int64_t whole);
// The command as one line that a shell reads back.
[[nodiscard]] std::string shell_line(const std::vector<std::string>& command);

}  // namespace dsbench::results::report
