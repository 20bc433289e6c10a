#include <fmt/format.h>

#include <iterator>

#include "core/text.h"
#include "results/report/breakdown.h"
#include "results/report/escape.h"
#include "results/report/report.h"
#include "results/report/words.h"
#include "results/report/workers.h"

namespace dsbench::results::report {
namespace {

// A fence longer than any run of backticks inside.
std::string code_block(const std::string& line) {
  std::string fence = "```";
  while (line.find(fence) != std::string::npos) fence += '`';
  return fmt::format("{0}\n{1}\n{0}\n", fence, terminal_escape(line));
}

}  // namespace

std::string render_markdown(const RunSummary& run) {
  std::string out;
  const auto add = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
  };
  const auto mark = [](const Mark& m) { return fmt::format("{} {}", m.shape, m.word); };
  const Mark verdict = verdict_mark(run.verdict);
  add("# {} {}{}\n\n{}\n\n", verdict.shape, verdict.word, run.simulated ? " (simulated)" : "",
      markdown_escape(run.sentence));
  if (!run.criteria.empty()) {
    add("| criterion | measured | verdict |\n|---|---|---|\n");
    for (const Criterion& c : run.criteria) {
      add("| {} | {} | {} |\n", markdown_escape(c.name), markdown_escape(c.measured),
          mark(criterion_mark(c.verdict)));
    }
    add("\n");
  }
  for (const std::string& cause : run.invalid_causes) add("- △ invalid: {}\n", markdown_escape(cause));
  for (const std::string& warning : run.warnings) add("- Keep in mind: {}\n", markdown_escape(warning));
  if (!run.invalid_causes.empty() || !run.warnings.empty()) add("\n");
  if (run.kind == "rehearse") {
    add("- Knee: {}\n- Collapse ({}): {}\n- Recovery ({}): {}\n", markdown_escape(knee_sentence(run)),
        mark(collapse_mark(run.collapse.verdict)), markdown_escape(collapse_sentence(run)),
        mark(recovery_mark(run.recovery.verdict)), markdown_escape(recovery_sentence(run)));
  }
  add("- Retries: {} attempts for {} requests, {:.2f} per request\n", count_text(run.attempts),
      count_text(run.requests), run.retry_amplification);
  if (run.ledger) {
    add("- Waste: recompute tax {}, tokens for nobody {}\n",
        part_text(run.ledger->recomputed_tokens, run.ledger->computed_tokens),
        part_text(run.ledger->abandoned_tokens, run.ledger->computed_tokens));
  }
  if (run.failover) add("- Failover: {}\n", markdown_escape(run.failover->sentence));
  add("- SLO: {}\n- Target: {}{}{}\n", slo_text(run.slo), markdown_escape(run.target),
      run.target_description.empty() ? "" : ", ", markdown_escape(run.target_description));
  if (run.ended != "complete") add("- Ended: {}\n", markdown_escape(run.ended));
  add("\n| stage | kind | offered | completed | good | good share | TTFT p50 | TTFT p99 | TPOT p99 | E2E p99 "
      "| verdict |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n");
  for (const StageSummary& s : run.stages) {
    add("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", markdown_escape(s.name),
        markdown_escape(to_word(s.kind)), format_rate(s.offered), format_rate(s.completed_rate),
        format_rate(s.good_rate), share_text(s.good_share), percentile_text(s.ttft, 0.5),
        percentile_text(s.ttft, 0.99), percentile_text(s.tpot, 0.99), percentile_text(s.e2e, 0.99),
        mark(step_mark(s)));
  }
  out += markdown_breakdown(run);
  out += markdown_workers(run);
  if (run.failover) {
    add("\n| target | attempts | requests | good | taken out | history tokens computed again |\n"
        "|---|--:|--:|--:|--:|--:|\n");
    for (const ProviderSummary& p : run.providers) {
      add("| {} {} | {} | {} | {} | {} | {} |\n", p.index, markdown_escape(p.name), count_text(p.attempts),
          count_text(p.requests), count_text(p.good), count_text(p.ejections),
          count_text(p.reprefilled_tokens));
    }
  }
  add("\nReproduce with seed {}, dsbench {} (commit {}, {}):\n\n{}", run.seed,
      markdown_escape(run.dsbench_version), markdown_escape(run.dsbench_commit),
      markdown_escape(run.dsbench_build), code_block(shell_line(run.command)));
  return out;
}

}  // namespace dsbench::results::report
