#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "results/gate/outputs.h"
#include "results/report/escape.h"

namespace dsbench::results::gate {
namespace {

using Row = std::array<std::string, 8>;

std::string painted(std::string_view text, std::string_view verdict, bool colour) {
  if (!colour) return std::string{text};
  // Blue and vermilion, never red and green; the word says it too.
  const std::string_view code = verdict == "REGRESSED" || verdict == "SLO MISSED" || verdict == "INVALID"
                                    ? "1;31"
                                : verdict == "SAME" || verdict == "IMPROVED" || verdict == "PASSED" ? "1;34"
                                                                                                    : "1;33";
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace

std::string render_text(const Outcome& o, bool colour) {
  std::string out = fmt::format("{}  {}\n", painted(to_word(o.overall), to_word(o.overall), colour),
                                report::terminal_escape(o.sentence));
  if (!o.judgement.metrics.empty()) {
    std::vector<Row> rows{
        {"metric", "baseline", "candidate", "change", "interval", "p (Holm)", "sees", "verdict"}};
    for (const MetricJudgement* m : worst_first(o.judgement)) {
      rows.push_back({report::terminal_escape(m->metric.name),
                      m->baseline_runs == 0 ? "n/a" : format_value(m->metric.unit, m->baseline),
                      m->candidate_runs == 0 ? "n/a" : format_value(m->metric.unit, m->candidate),
                      format_change(m->ratio), format_interval(*m), format_p(m->p_holm),
                      format_change(1 + m->detectable), std::string{to_word(m->verdict)}});
    }
    Row::size_type column = 0;
    std::array<std::size_t, 8> width{};
    for (const Row& row : rows) {
      for (column = 0; column < row.size(); ++column)
        width[column] = std::max(width[column], report::code_points(row[column]));
    }
    out += '\n';
    for (const Row& row : rows) {
      std::string line;
      for (column = 0; column < row.size(); ++column) {
        const std::string fill(width[column] - report::code_points(row[column]), ' ');
        if (column + 1 == row.size()) {
          line += &row == &rows.front() ? row[column] : painted(row[column], row[column], colour);
        } else {
          line += (column == 0 ? row[column] + fill : fill + row[column]) + "  ";
        }
      }
      out += line + "\n";
    }
    const MetricJudgement& any = o.judgement.metrics.front();
    double least = any.margin, most = any.margin;
    bool exact = true;
    for (const auto& m : o.judgement.metrics) {
      least = std::min(least, m.margin);
      most = std::max(most, m.margin);
      exact = exact && m.exact;
    }
    out += fmt::format(
        "\n{} and {} runs; margin {}; Mann-Whitney {}, Holm over {} metrics, error level {} at {} "
        "({} in all); interval: Hodges-Lehmann, {:.1f} %\n"
        "sees: the smallest true change that these runs would show, 4 times in 5\n",
        o.baseline.size(), o.candidate.size(),
        least == most ? fmt::format("{:g} %", 100 * least)
                      : fmt::format("{:g} to {:g} %", 100 * least, 100 * most),
        exact ? "exact" : "by the normal approximation where there are more than 30 runs",
        o.judgement.metrics.size(), fmt::format("{:.3g}", any.alpha),
        o.looks.size() > o.planned_looks ? std::string{"the confirmation"}
                                         : fmt::format("look {} of {}", o.looks.size(), o.planned_looks),
        o.alpha, 100 * (1 - any.alpha));
  }
  if (!o.requirements.empty()) {
    out += "\nbounds on the candidate\n";
    for (const Criterion& c : o.requirements) {
      const bool met = c.verdict == StepVerdict::good;
      out += fmt::format("  {}  {}: {}\n",
                         painted(met ? "met   " : "MISSED", met ? "SAME" : "REGRESSED", colour),
                         report::terminal_escape(c.name), report::terminal_escape(c.measured));
    }
  }
  const auto list = [&out](std::string_view title, const std::vector<std::string>& lines) {
    for (const std::string& line : lines)
      out += fmt::format("{}: {}\n", title, report::terminal_escape(line));
  };
  out += '\n';
  list("invalid", o.invalid);
  for (const MetricJudgement* m : worst_first(o.judgement)) {
    if (!m->note.empty())
      out += fmt::format("note: {}: {}\n", report::terminal_escape(m->metric.name), m->note);
  }
  list("note", o.judgement.notes);
  for (const Mismatch& m : o.mismatches)
    out += "allowed to differ: " + report::terminal_escape(describe(m)) + "\n";
  list("note", o.notes);
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

}  // namespace dsbench::results::gate
