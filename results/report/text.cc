#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "core/text.h"
#include "results/report/breakdown.h"
#include "results/report/escape.h"
#include "results/report/report.h"
#include "results/report/words.h"
#include "results/report/workers.h"

namespace dsbench::results::report {
namespace {

std::string pad(std::string text, std::size_t width, bool right) {
  const std::size_t n = code_points(text);
  if (n >= width) return text;
  return right ? std::string(width - n, ' ') + text : text + std::string(width - n, ' ');
}

// Columns as wide as their widest cell; `left` columns are aligned left, the others right.
void put_columns(std::string& out, const std::vector<std::vector<std::string>>& rows,
                 const std::vector<std::size_t>& left) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], code_points(row[i]));
  }
  for (const auto& row : rows) {
    std::string line = " ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool is_left = std::find(left.begin(), left.end(), i) != left.end();
      line += (i > 0 ? "  " : " ") + pad(row[i], widths[i], !is_left);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
}

class Ansi {
 public:
  explicit Ansi(bool on) : on_{on} {}
  [[nodiscard]] std::string operator()(std::string_view tone, const std::string& text) const {
    if (!on_) return text;
    const char* code = tone == "pass"    ? "1;34"
                       : tone == "fail"  ? "1;31"
                       : tone == "doubt" ? "1;33"
                       : tone == "void"  ? "1;35"
                                         : "1";
    return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
  }

 private:
  bool on_;
};

// "7 of 12 attempts: http_429 5, stall_timeout 2", the commonest first; empty when none failed.
std::string failed_sentence(const RunSummary& run) {
  std::array<std::int64_t, reason_count> by_reason{};
  std::int64_t attempts = 0, failed = 0;
  for (const StageSummary& s : run.stages) {
    attempts += s.attempts;
    for (std::size_t r = 0; r < by_reason.size(); ++r) {
      by_reason[r] += s.attempts_by_reason[r];
      if (!ended_well(static_cast<Reason>(r))) failed += s.attempts_by_reason[r];
    }
  }
  if (failed == 0) return {};
  std::vector<std::size_t> order;
  for (std::size_t r = 0; r < by_reason.size(); ++r) {
    if (by_reason[r] > 0 && !ended_well(static_cast<Reason>(r))) order.push_back(r);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return by_reason[a] > by_reason[b]; });
  std::string text = fmt::format("{} of {} attempts: ", count_text(failed), count_text(attempts));
  for (std::size_t i = 0; i < order.size(); ++i) {
    text += fmt::format("{}{} {}", i > 0 ? ", " : "", to_word(static_cast<Reason>(order[i])),
                        count_text(by_reason[order[i]]));
  }
  return text;
}

}  // namespace

std::string render_text(const RunSummary& run, const TextOptions& options) {
  const Ansi ansi(options.colour);
  std::string out;
  const auto add = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
  };
  const auto clean = [](std::string_view text) { return terminal_escape(text); };
  const Mark verdict = verdict_mark(run.verdict);
  add("{}{}{}\n", ansi(verdict.tone, fmt::format("{} {}", verdict.shape, verdict.word)),
      run.simulated ? "  [simulated]" : "",
      run.ended == "complete" ? "" : fmt::format("  [{}]", clean(run.ended)));
  if (!run.sentence.empty()) add("{}\n", clean(run.sentence));

  if (!run.criteria.empty()) {
    add("\ncriteria\n");
    std::size_t widest = 0;
    for (const Criterion& c : run.criteria) widest = std::max(widest, code_points(clean(c.name)));
    for (const Criterion& c : run.criteria) {
      const Mark m = criterion_mark(c.verdict);
      add("  {}  {}  {}\n", ansi(m.tone, pad(fmt::format("{} {}", m.shape, m.word), 9, false)),
          pad(clean(c.name), widest, false), clean(c.measured));
    }
  }

  add("\n");
  if (run.kind == "rehearse") {
    const auto line = [&](std::string_view name, std::string_view tone, std::string_view word,
                          const std::string& sentence) {
      add("{:<10}", name);
      if (!word.empty()) add("{}: ", ansi(tone, std::string(word)));
      add("{}\n", clean(sentence));
    };
    line("knee", "", "", knee_sentence(run));
    const Mark collapse = collapse_mark(run.collapse.verdict);
    const Mark recovery = recovery_mark(run.recovery.verdict);
    line("collapse", collapse.tone, run.collapse.sentence.empty() ? "" : collapse.word,
         collapse_sentence(run));
    line("recovery", recovery.tone, run.recovery.sentence.empty() ? "" : recovery.word,
         recovery_sentence(run));
  }
  add("{:<10}{} attempts for {} requests ({})", "retries", count_text(run.attempts), count_text(run.requests),
      run.requests > 0 ? times_text(run.retry_amplification) : "nothing was sent");
  if (run.ledger) {
    add("; recompute tax {}, tokens for nobody {}",
        part_text(run.ledger->recomputed_tokens, run.ledger->computed_tokens),
        part_text(run.ledger->abandoned_tokens, run.ledger->computed_tokens));
  }
  if (const std::string failed = failed_sentence(run); !failed.empty()) add("\n{:<10}{}", "failed", failed);
  if (run.failover) add("\n{:<10}{}", "failover", clean(run.failover->sentence));
  add("\n{:<10}{}\n", "SLO", slo_text(run.slo));
  add("{:<10}{}{}\n", "target", clean(run.target),
      run.target_description.empty() ? "" : ", " + clean(run.target_description));
  for (const RunEvent& e : run.events) {
    add("{:<10}{} from {} to {}\n", "fault", clean(e.what), format_duration(e.at),
        e.until ? format_duration(*e.until) : "the end");
  }
  for (const std::string& cause : run.invalid_causes) add("{:<10}{}\n", "invalid", clean(cause));
  for (const std::string& warning : run.warnings) add("{:<10}{}\n", "note", clean(warning));

  if (!run.stages.empty()) {
    add("\nstages\n");
    std::vector<std::vector<std::string>> rows{
        {"stage", "offered", "completed", "good", "share", "TTFT p50", "TTFT p99", "E2E p99", "verdict"}};
    for (const StageSummary& s : run.stages) {
      const Mark m = step_mark(s);
      rows.push_back({clean(s.name), format_rate(s.offered), format_rate(s.completed_rate),
                      format_rate(s.good_rate), share_text(s.good_share), percentile_text(s.ttft, 0.5),
                      percentile_text(s.ttft, 0.99), percentile_text(s.e2e, 0.99),
                      fmt::format("{} {}", m.shape, m.word)});
    }
    put_columns(out, rows, {0, 8});
  }
  for (PlainTable& table : breakdown_tables(run)) {
    add("\n{}\n", table.title);
    for (auto& row : table.rows) row.front() = clean(row.front());
    put_columns(out, table.rows, {0});
  }
  if (run.fairness) add("\nfairness  {}\n", fairness_sentence(run));
  if (run.workers_expected > 0) {
    PlainTable table = worker_table(run);
    for (auto& row : table.rows) row.back() = clean(row.back());
    add("\n{}: {}\n", table.title, worker_sentence(run));
    put_columns(out, table.rows, {0, 9});
  }
  if (run.failover) {
    add("\ntargets\n");
    std::vector<std::vector<std::string>> rows{{"target", "attempts", "requests", "good", "taken out"}};
    for (const ProviderSummary& p : run.providers) {
      rows.push_back({fmt::format("{} {}", p.index, clean(p.name)), count_text(p.attempts),
                      count_text(p.requests), count_text(p.good), count_text(p.ejections)});
    }
    put_columns(out, rows, {0});
  }
  return out;
}

}  // namespace dsbench::results::report
