// For CI: JUnit XML, Markdown, annotations.
#include <fmt/format.h>

#include <algorithm>

#include "results/gate/outputs.h"
#include "results/report/escape.h"

namespace dsbench::results::gate {
namespace {

using report::markdown_escape;
using report::xml_escape;

std::string one_line(const MetricJudgement& m) {
  return fmt::format("{} {}: {} to {} ({}; interval {}; p {}; {} and {} runs; margin {:g} %){}",
                     m.metric.name, to_word(m.verdict), format_value(m.metric.unit, m.baseline),
                     format_value(m.metric.unit, m.candidate), format_change(m.ratio), format_interval(m),
                     format_p(m.p_holm), m.baseline_runs, m.candidate_runs, 100 * m.margin,
                     m.note.empty() ? "" : "; " + m.note);
}

std::string property(std::string_view name, std::string_view value) {
  return fmt::format("      <property name=\"{}\" value=\"{}\"/>\n", name, xml_escape(value));
}

}  // namespace

std::string render_junit(const Outcome& o) {
  std::size_t failures = 0, skipped = 0;
  std::string cases;
  const std::string suite = "dsbench.gate." + o.kind;
  if (!o.invalid.empty()) {
    std::string causes;
    for (const std::string& cause : o.invalid) causes += cause + "\n";
    cases += fmt::format(
        "  <testcase classname=\"{}\" name=\"evidence\">\n    <error type=\"INVALID\" "
        "message=\"{}\">{}</error>\n"
        "  </testcase>\n",
        xml_escape(suite), xml_escape(o.sentence), xml_escape(causes));
  }
  for (const MetricJudgement& m : o.judgement.metrics) {
    cases += fmt::format("  <testcase classname=\"{}\" name=\"{}\">\n    <properties>\n", xml_escape(suite),
                         xml_escape(m.metric.name));
    cases += property("verdict", to_word(m.verdict));
    cases += property("baseline", format_value(m.metric.unit, m.baseline));
    cases += property("candidate", format_value(m.metric.unit, m.candidate));
    cases += property("change", format_change(m.ratio));
    cases += property("interval", format_interval(m));
    cases += property("p_holm", format_p(m.p_holm));
    cases += property("baseline_runs", fmt::format("{}", m.baseline_runs));
    cases += property("candidate_runs", fmt::format("{}", m.candidate_runs));
    cases += property("margin", fmt::format("{:g} %", 100 * m.margin));
    cases += property("detectable", format_change(1 + m.detectable));
    cases += "    </properties>\n";
    const std::string said = xml_escape(one_line(m));
    if (m.verdict == MetricVerdict::regressed ||
        (m.verdict == MetricVerdict::inconclusive && o.inconclusive_fails)) {
      ++failures;
      cases += fmt::format("    <failure type=\"{}\" message=\"{}\"/>\n", to_word(m.verdict), said);
    } else if (m.verdict == MetricVerdict::inconclusive) {
      ++skipped;
      cases += fmt::format("    <skipped message=\"{}\"/>\n", said);
    }
    cases += "  </testcase>\n";
  }
  for (const Criterion& c : o.requirements) {
    cases += fmt::format("  <testcase classname=\"{}.bounds\" name=\"{}\">\n", xml_escape(suite),
                         xml_escape(c.name));
    if (c.verdict != StepVerdict::good) {
      ++failures;
      cases += fmt::format("    <failure type=\"SLO MISSED\" message=\"{}\"/>\n", xml_escape(c.measured));
    }
    cases += "  </testcase>\n";
  }
  const std::size_t errors = o.invalid.empty() ? 0 : 1;
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n{}</testsuite>\n",
      xml_escape(o.title), o.judgement.metrics.size() + o.requirements.size() + errors, failures, errors,
      skipped, cases);
}

std::string render_markdown(const Outcome& o, std::size_t limit) {
  std::string head = fmt::format("### {}: {}\n\n{}\n\n", markdown_escape(o.title), to_word(o.overall),
                                 markdown_escape(o.sentence));
  std::string tail;
  for (const Criterion& c : o.requirements) {
    tail += fmt::format("- {} {}: {}\n",
                        c.verdict == StepVerdict::good ? "met:" : "**missed**:", markdown_escape(c.name),
                        markdown_escape(c.measured));
  }
  for (const std::string& cause : o.invalid) tail += "- invalid: " + markdown_escape(cause) + "\n";
  for (const Mismatch& m : o.mismatches)
    tail += "- allowed to differ: " + markdown_escape(describe(m)) + "\n";
  for (const std::string& note : o.judgement.notes) tail += "- " + markdown_escape(note) + "\n";
  for (const std::string& note : o.notes) tail += "- " + markdown_escape(note) + "\n";
  if (!o.judgement.metrics.empty()) {
    tail +=
        fmt::format("\n{} and {} runs; exact Mann-Whitney, Holm over {} metrics; interval: Hodges-Lehmann.\n",
                    o.baseline.size(), o.candidate.size(), o.judgement.metrics.size());
  }
  constexpr std::size_t for_the_cut = 80;
  // The notes can be long too; the verdict and the worst metrics matter most.
  if (tail.size() > limit / 2) {
    std::size_t end = tail.rfind('\n', limit / 2);
    tail = tail.substr(0, end == std::string::npos ? 0 : end + 1) + "- … notes cut\n";
  }
  std::string table;
  if (!o.judgement.metrics.empty()) {
    table =
        "| metric | baseline | candidate | change | interval | p (Holm) | verdict |\n"
        "|---|---:|---:|---:|---:|---:|---|\n";
    const auto rows = worst_first(o.judgement);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const MetricJudgement& m = *rows[i];
      const std::string row =
          fmt::format("| {} | {} | {} | {} | {} | {} | {}{} |\n", markdown_escape(m.metric.name),
                      format_value(m.metric.unit, m.baseline), format_value(m.metric.unit, m.candidate),
                      format_change(m.ratio), format_interval(m), format_p(m.p_holm),
                      m.verdict == MetricVerdict::regressed ? "**REGRESSED**" : to_word(m.verdict),
                      m.note.empty() ? "" : " (" + markdown_escape(m.note) + ")");
      if (head.size() + table.size() + row.size() + tail.size() + for_the_cut > limit) {
        table += fmt::format("\n… and {} metrics more\n", rows.size() - i);
        break;
      }
      table += row;
    }
    table += "\n";
  }
  return head + table + tail;
}

std::string annotation_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '%') {
      out += "%25";
    } else if (c == '\r') {
      out += "%0D";
    } else if (c == '\n') {
      out += "%0A";
    } else {
      out += c;
    }
  }
  return out;
}

std::string annotation_property_escape(std::string_view text) {
  std::string out;
  for (const char c : annotation_escape(text)) {
    if (c == ':') {
      out += "%3A";
    } else if (c == ',') {
      out += "%2C";
    } else {
      out += c;
    }
  }
  return out;
}

std::string render_annotations(const Outcome& o) {
  std::vector<std::string> lines;
  const auto add = [&](std::string_view level, std::string_view title, std::string_view text) {
    lines.push_back(
        fmt::format("::{} title={}::{}", level, annotation_property_escape(title), annotation_escape(text)));
  };
  for (const std::string& cause : o.invalid) add("error", "gate: INVALID", cause);
  for (const MetricJudgement* m : worst_first(o.judgement)) {
    if (m->verdict == MetricVerdict::regressed)
      add("error", "gate: REGRESSED " + m->metric.name, one_line(*m));
  }
  for (const Criterion& c : o.requirements) {
    if (c.verdict != StepVerdict::good) add("error", "gate: SLO MISSED", c.name + ": " + c.measured);
  }
  for (const MetricJudgement* m : worst_first(o.judgement)) {
    if (m->verdict == MetricVerdict::inconclusive)
      add(o.inconclusive_fails ? "error" : "warning", "gate: INCONCLUSIVE " + m->metric.name, one_line(*m));
  }
  constexpr std::size_t most = 10;
  std::string out;
  const std::size_t shown = lines.size() > most ? most - 1 : lines.size();
  for (std::size_t i = 0; i < shown; ++i) out += lines[i] + "\n";
  if (lines.size() > shown)
    out += fmt::format("::warning title=gate::and {} more; see the gate's table\n", lines.size() - shown);
  return out;
}

}  // namespace dsbench::results::gate
