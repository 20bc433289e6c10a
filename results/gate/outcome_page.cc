#include "results/gate/outcome_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <span>

#include "core/text.h"
#include "results/gate/outputs.h"
#include "results/report/escape.h"
#include "results/report/html_frame.h"
#include "results/report/html_sections.h"

namespace dsbench::results::gate {
namespace {

using report::Cell;
using report::Chart;
using report::ChartLine;
using report::Html;
using report::Mark;
using report::Table;
using report::xml_escape;

Mark mark_of(MetricVerdict verdict) {
  switch (verdict) {
    case MetricVerdict::regressed:
      return {"■", "REGRESSED", "fail"};
    case MetricVerdict::improved:
      return {"▲", "IMPROVED", "pass"};
    case MetricVerdict::same:
      return {"●", "SAME", "pass"};
    case MetricVerdict::inconclusive:
      break;
  }
  return {"◇", "INCONCLUSIVE", "doubt"};
}

// Whose sign and colour the gate's verdict has.
Verdict like(Overall overall) {
  switch (overall) {
    case Overall::passed:
      return Verdict::ready;
    case Overall::regressed:
    case Overall::slo_missed:
      return Verdict::not_ready;
    case Overall::invalid:
      return Verdict::invalid;
    case Overall::inconclusive:
      break;
  }
  return Verdict::inconclusive;
}

// ---- the verdict

void put_verdict(Html& html, const Outcome& o) {
  const Verdict verdict = like(o.overall);
  html.add(
      "<div class=\"verdict t-{}\">\n<div class=\"word\"><svg class=\"icon\" viewBox=\"0 0 48 48\" "
      "aria-hidden=\"true\">{}</svg><h1>{}</h1></div>\n<p class=\"why\">",
      report::verdict_mark(verdict).tone, report::verdict_icon(verdict), to_word(o.overall));
  html.text(o.sentence).raw("</p>\n");
  const auto count = [&](MetricVerdict v) {
    return std::count_if(o.judgement.metrics.begin(), o.judgement.metrics.end(),
                         [&](const MetricJudgement& m) { return m.verdict == v; });
  };
  html.raw("<dl class=\"tiles\">\n");
  const auto tile = [&](std::string_view name, const std::string& value, const std::string& below,
                        std::string_view tone) {
    html.add("<div class=\"tile t-{}\"><dt>{}</dt><dd><strong>{}</strong><span>{}</span></dd></div>\n", tone,
             name, xml_escape(value), xml_escape(below));
  };
  const auto regressed = count(MetricVerdict::regressed);
  tile("Runs", fmt::format("{} and {}", o.baseline.size(), o.candidate.size()), "baseline and candidate",
       "plain");
  tile("Worse", fmt::format("{} of {}", regressed, o.judgement.metrics.size()), "metrics",
       regressed > 0 ? "fail" : "plain");
  tile("Undecided", fmt::format("{}", count(MetricVerdict::inconclusive)), "metrics",
       count(MetricVerdict::inconclusive) > 0 ? "doubt" : "plain");
  const bool confirmed = o.looks.size() > o.planned_looks;
  tile("Looks",
       confirmed ? fmt::format("{} + 1", o.planned_looks)
                 : fmt::format("{} of {}", o.looks.size(), o.planned_looks),
       fmt::format("{}error level {:.3g} in all", confirmed ? "the last confirms; " : "", o.alpha), "plain");
  html.raw("</dl>\n</div>\n");
  if (!o.invalid.empty()) {
    html.raw("<aside class=\"note t-void\"><h2>Runs that are no evidence</h2><ul>");
    for (const std::string& cause : o.invalid) html.raw("<li>").text(cause).raw("</li>");
    html.raw("</ul></aside>\n");
  }
}

// ---- the metrics

// How much worse a ratio of candidate to baseline is, on a logarithmic axis: right of 0 is worse, whichever
// way the metric points.
double worse_by(const Metric& metric, double ratio) {
  return (metric.better == Better::lower ? 1 : -1) * std::log(ratio);
}

// Interval, estimate and margin of a metric as a strip; `reach` is half of its range.
std::string strip(const MetricJudgement& m, double reach) {
  constexpr double width = 220, height = 26, middle = height / 2;
  const auto x = [&](double v) { return width / 2 + std::clamp(v / reach, -1.0, 1.0) * (width / 2 - 4); };
  const double margin = std::log1p(m.margin);
  std::string svg = fmt::format(
      "<svg class=\"chart strip\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"interval {2}, margin "
      "{3:g} %\">"
      "<rect class=\"band b-recovery\" x=\"{4:.1f}\" y=\"2\" width=\"{5:.1f}\" height=\"{6}\"/>"
      "<path class=\"axis\" d=\"M{7} 0V{1}\"/>",
      width, height, xml_escape(format_interval(m)), 100 * m.margin, x(-margin), x(margin) - x(-margin),
      height - 4, width / 2);
  svg += fmt::format("<g class=\"c-{}\">", m.verdict == MetricVerdict::regressed      ? "bad"
                                           : m.verdict == MetricVerdict::inconclusive ? "knee"
                                                                                      : "good");
  if (m.lower && m.upper && *m.lower > 0) {
    const double a = worse_by(m.metric, *m.lower), b = worse_by(m.metric, *m.upper);
    svg += fmt::format("<path class=\"ln\" d=\"M{:.1f} {}H{:.1f}\"/>", x(std::min(a, b)), middle,
                       x(std::max(a, b)));
    for (const double end : {a, b}) {
      if (std::abs(end) <= reach)
        svg += fmt::format("<path class=\"ln\" d=\"M{:.1f} {}v10\"/>", x(end), middle - 5);
    }
  }
  if (std::isfinite(m.estimate) && m.estimate > 0)
    svg += fmt::format("<circle class=\"mk\" cx=\"{:.1f}\" cy=\"{}\" r=\"4.5\"/>",
                       x(worse_by(m.metric, m.estimate)), middle);
  return svg + "</g></svg>";
}

// What keeps a page of thousands of kernels small.
constexpr std::size_t most_drawn_intervals = 200;

double reach_of(const std::vector<const MetricJudgement*>& metrics) {
  double reach = std::log1p(0.02);
  for (const MetricJudgement* m : metrics) {
    reach = std::max(reach, 1.4 * std::log1p(m->margin));
    for (const std::optional<double>& end : {m->lower, m->upper, std::optional{m->estimate}}) {
      if (end && std::isfinite(*end) && *end > 0) reach = std::max(reach, 1.1 * std::abs(std::log(*end)));
    }
  }
  return std::min(reach, std::log(8.0));
}

void put_metrics(Html& html, const Outcome& o) {
  report::open_section(html, "metrics", "Metrics");
  const auto metrics = worst_first(o.judgement);
  if (metrics.empty()) {
    html.raw("<p>No metric was judged.</p>\n");
    return report::close_section(html);
  }
  const double reach = reach_of(metrics);
  html.add(
      "<p class=\"lead\">Each run gives one number for a metric. In the strips right is worse, for rates "
      "too; the bar is the "
      "interval of the change, the shade is the margin, and the ends are {:.0f} % away.</p>\n",
      100 * std::expm1(reach));
  Table t{.caption = "Verdict of each metric, the worst first",
          // The verdict first: on a narrow screen the rest is a scroll away.
          .head = {"metric", "verdict", "change", "better ← interval → worse", "baseline", "candidate",
                   "p (Holm)", "sees"},
          .rows = {},
          .numeric = true};
  for (const MetricJudgement* m : metrics) {
    t.rows.push_back({m->metric.name, report::mark_cell(mark_of(m->verdict)), format_change(m->ratio),
                      Cell::markup((t.rows.size() < most_drawn_intervals ? strip(*m, reach) : "") +
                                   "<span class=\"under\">" + xml_escape(format_interval(*m)) + "</span>"),
                      m->baseline_runs == 0 ? "n/a" : format_value(m->metric.unit, m->baseline),
                      m->candidate_runs == 0 ? "n/a" : format_value(m->metric.unit, m->candidate),
                      format_p(m->p_holm), format_change(1 + m->detectable)});
  }
  report::put_table(html, t);
  html.raw(
      "<p class=\"caption\">sees: the smallest true change that these runs would have called 4 times in 5. "
      "The interval is "
      "Hodges and Lehmann's, of the ratio.</p>\n");
  std::vector<std::string> notes;
  for (const MetricJudgement* m : metrics) {
    if (!m->note.empty()) notes.push_back(m->metric.name + ": " + m->note);
  }
  if (!notes.empty()) {
    html.raw("<ul>\n");
    for (const std::string& note : notes) html.raw("<li>").text(note).raw("</li>\n");
    html.raw("</ul>\n");
  }
  report::close_section(html);
}

void put_bounds(Html& html, const Outcome& o) {
  if (o.requirements.empty()) return;
  report::open_section(html, "bounds", "Bounds on the candidate");
  Table t{.caption = "Bounds on the candidate",
          .head = {"bound", "measured", "verdict"},
          .rows = {},
          .numeric = false};
  for (const Criterion& c : o.requirements)
    t.rows.push_back({c.name, c.measured, report::mark_cell(report::criterion_mark(c.verdict))});
  report::put_table(html, t);
  report::close_section(html);
}

// ---- the runs

report::AxisUnit axis_of(Unit unit) {
  return unit == Unit::seconds ? report::AxisUnit::duration
         : unit == Unit::share ? report::AxisUnit::share
                               : report::AxisUnit::number;
}

ChartLine side_line(bool candidate, bool thin) {
  ChartLine line;
  line.label = candidate ? "candidate" : "baseline";
  line.tone = candidate ? "r1" : "r0";
  line.dash = candidate ? report::Dash::long_dash : report::Dash::solid;
  line.thin = thin;
  return line;
}

constexpr report::ChartSize small_chart{"small", 400, 140, 12, false, true};

// A metric's values in the order of the rounds: a drift shows, and so does the run that was disturbed.
Chart runs_chart(const MetricJudgement& m, std::size_t index) {
  Chart chart;
  chart.id = fmt::format("runs-{}", index);
  chart.title = fmt::format("{}, run by run", m.metric.name);
  chart.description =
      fmt::format("{} of every run of both sides in the order of the rounds; the medians are {} and {}: {}.",
                  m.metric.name, format_value(m.metric.unit, m.baseline),
                  format_value(m.metric.unit, m.candidate), to_word(m.verdict));
  const std::size_t rounds = std::max(m.baseline_values.size(), m.candidate_values.size());
  chart.x = {.title = "round", .lo = 0.0, .hi = static_cast<double>(rounds) + 1};
  chart.y = {.title = "", .unit = axis_of(m.metric.unit), .lo = {}, .hi = {}};
  for (const bool candidate : {false, true}) {
    ChartLine line = side_line(candidate, true);
    line.marker = candidate ? report::Marker::square : report::Marker::circle;
    const auto& values = candidate ? m.candidate_values : m.baseline_values;
    for (std::size_t i = 0; i < values.size(); ++i) {
      line.points.push_back(
          {static_cast<double>(i) + 1, values[i],
           fmt::format("{} {}: {}", line.label, i + 1, format_value(m.metric.unit, values[i]))});
    }
    chart.lines.push_back(std::move(line));
  }
  return chart;
}

void put_runs(Html& html, const Outcome& o) {
  const auto metrics = worst_first(o.judgement);
  if (metrics.empty()) return;
  report::open_section(html, "runs", "Run by run");
  html.raw("<p class=\"lead\">What the verdicts are made of: one number a run, in the order of the rounds.");
  if (metrics.size() > most_pictured_metrics)
    html.add(" The worst {} of {} metrics are shown; gate.json has all.", most_pictured_metrics,
             metrics.size());
  html.raw("</p>\n<div class=\"multiples\">\n");
  Table t{.caption = "Every run of every metric", .head = {"metric and side"}, .rows = {}};
  std::size_t widest = 0;
  for (std::size_t i = 0; i < metrics.size() && i < most_pictured_metrics; ++i) {
    const MetricJudgement& m = *metrics[i];
    html.raw("<figure><figcaption><strong>").text(m.metric.name).raw("</strong> ");
    html.raw(report::mark_cell(mark_of(m.verdict)).html())
        .raw(" ")
        .text(format_change(m.ratio))
        .raw("</figcaption>");
    html.raw(report::render_svg(runs_chart(m, i), small_chart)).raw("</figure>\n");
    for (const bool candidate : {false, true}) {
      const auto& values = candidate ? m.candidate_values : m.baseline_values;
      std::vector<Cell> row{fmt::format("{}, {}", m.metric.name, candidate ? "candidate" : "baseline")};
      for (const double v : values) row.emplace_back(format_value(m.metric.unit, v));
      widest = std::max(widest, values.size());
      t.rows.push_back(std::move(row));
    }
  }
  for (std::size_t i = 1; i <= widest; ++i) t.head.push_back(fmt::format("{}", i));
  for (auto& row : t.rows) row.resize(widest + 1, Cell{""});
  html.raw("</div>\n<details><summary>The numbers as a table</summary>\n");
  report::put_table(html, t);
  html.raw("</details>\n");
  report::close_section(html);
}

// ---- both sides over each other

Chart overlay(std::string id, std::string title, const SideView& a, const SideView& b,
              std::vector<std::pair<double, double>> SideView::*points) {
  Chart chart;
  chart.id = std::move(id);
  chart.title = std::move(title);
  for (const SideView* side : {&a, &b}) {
    if ((side->*points).size() < 2) continue;
    ChartLine line = side_line(side == &b, false);
    line.end_label = true;
    for (const auto& [x, y] : side->*points) line.points.push_back({x, y, ""});
    chart.lines.push_back(std::move(line));
  }
  return chart;
}

std::string seconds_at(const std::vector<std::pair<double, double>>& points, double x) {
  std::string text = "n/a";
  for (const auto& [at, y] : points) {
    if (at <= x * 1.001) text = format_value(Unit::seconds, y);
  }
  return points.empty() || points.back().first < x * 0.8 ? "n/a" : text;
}

void put_overlay(Html& html, const SideView& a, const SideView& b) {
  Chart spectrum =
      overlay("spectrum", "Percentile spectrum of TTFT, baseline and candidate", a, b, &SideView::spectrum);
  Chart time =
      overlay("over-time", "Median TTFT over the run, baseline and candidate", a, b, &SideView::over_time);
  if (spectrum.lines.empty() && time.lines.empty()) return;
  report::open_section(html, "overlay", "Both sides over each other");
  html.raw(
      "<p class=\"lead\">All requests of all runs of a side together. This is for the eye: the verdicts come "
      "from one number a "
      "run, because requests of one run share its luck.</p>\n");
  if (!spectrum.lines.empty()) {
    spectrum.description =
        "TTFT by percentile, on an axis that gives every further nine the same room, for both sides.";
    spectrum.x = {.title = "percentile; each further nine has the same room",
                  .scale = report::Scale::log10,
                  .unit = report::AxisUnit::percentile,
                  .lo = {},
                  .hi = {}};
    spectrum.y = {.title = "TTFT from due",
                  .scale = report::Scale::log10,
                  .unit = report::AxisUnit::duration,
                  .lo = {},
                  .hi = {}};
    Table t{.caption = "TTFT by percentile", .head = {"share", "baseline", "candidate"}, .rows = {}};
    for (const double q : {0.5, 0.9, 0.95, 0.99, 0.999}) {
      t.rows.push_back({fmt::format("p{:g}", 100 * q), seconds_at(a.spectrum, 1 / (1 - q)),
                        seconds_at(b.spectrum, 1 / (1 - q))});
    }
    report::put_figure(html, std::span{&spectrum, 1},
                       "TTFT from when requests were due. A line ends where the samples do not carry it "
                       "further, or at the share "
                       "that failed.",
                       t);
  }
  if (!time.lines.empty()) {
    time.description = "Median TTFT from due by second of the run, over all runs of a side.";
    time.x = {.title = "time of the run", .unit = report::AxisUnit::clock, .lo = 0.0, .hi = {}};
    time.y = {.title = "median TTFT from due", .unit = report::AxisUnit::duration, .lo = 0.0, .hi = {}};
    Table t{.caption = "Median TTFT over the run", .head = {"from", "baseline", "candidate"}, .rows = {}};
    std::map<double, std::array<std::string, 2>> rows;
    for (const auto& [x, y] : a.over_time) rows[x][0] = format_value(Unit::seconds, y);
    for (const auto& [x, y] : b.over_time) rows[x][1] = format_value(Unit::seconds, y);
    for (const auto& [x, values] : rows)
      t.rows.push_back({fmt::format("{:g} s", x), values[0].empty() ? "n/a" : values[0],
                        values[1].empty() ? "n/a" : values[1]});
    report::put_figure(html, std::span{&time, 1},
                       "The same traffic at the same time: where the sides part, and from when.", t);
  }
  report::close_section(html);
}

bool has_a_curve(const SideView& side) {
  if (!side.typical) return false;
  const auto& stages = side.typical->stages;
  return std::count_if(stages.begin(), stages.end(),
                       [](const StageSummary& s) { return s.kind != StageKind::warm_up; }) > 1;
}

// ---- the rest

void put_notes(Html& html, const Outcome& o) {
  std::vector<std::string> notes;
  for (const Mismatch& m : o.mismatches) notes.push_back("allowed to differ: " + describe(m));
  notes.insert(notes.end(), o.judgement.notes.begin(), o.judgement.notes.end());
  notes.insert(notes.end(), o.notes.begin(), o.notes.end());
  if (notes.empty()) return;
  report::open_section(html, "notes", "Notes");
  html.raw("<ul>\n");
  for (const std::string& note : notes) html.raw("<li>").text(note).raw("</li>\n");
  html.raw("</ul>\n");
  report::close_section(html);
}

void put_reproduce(Html& html, const Outcome& o, const SideView& a, const SideView& b) {
  report::open_section(html, "reproduce", "How to reproduce");
  std::string command = "dsbench gate check --baseline";
  for (const std::string& run : o.baseline) command += " " + run;
  command += " --candidate";
  for (const std::string& run : o.candidate) command += " " + run;
  html.raw("<p>To judge the same runs again:</p>\n<pre class=\"command\"><code>")
      .text(command)
      .raw("</code></pre>\n");
  for (const SideView* side : {&a, &b}) {
    if (!side->typical) continue;
    html.raw("<p>A run of the ").text(side->name).raw(":</p>\n<pre class=\"command\"><code>");
    html.text(report::shell_line(side->typical->command)).raw("</code></pre>\n");
  }
  if (a.typical) {
    html.raw("<dl class=\"facts\">\n");
    const auto fact = [&](std::string_view name, const std::string& value) {
      html.raw("<dt>").text(name).raw("</dt><dd>").text(value).raw("</dd>\n");
    };
    fact("seed", std::to_string(a.typical->seed));
    fact("SLO", report::slo_text(a.typical->slo));
    for (const SideView* side : {&a, &b}) {
      if (side->typical)
        fact("dsbench of the " + side->name,
             fmt::format("{}, commit {}, {}", side->typical->dsbench_version, side->typical->dsbench_commit,
                         side->typical->dsbench_build));
    }
    for (const auto& [name, value] : a.typical->host) fact("machine: " + name, value);
    html.raw("</dl>\n");
  }
  report::close_section(html);
}

void put_words(Html& html) {
  report::open_section(html, "method", "What the words mean");
  html.raw(R"(<dl class="method">
<dt>REGRESSED, IMPROVED</dt><dd>The two-sided exact Mann-Whitney p, corrected by Holm over the gated metrics, is below the error level, and the medians differ by more than the margin. Before a regression is believed, fresh runs must confirm it.</dd>
<dt>SAME</dt><dd>The interval of the change lies within the margin on both sides: shown to be equal, not merely not shown to differ.</dd>
<dt>INCONCLUSIVE</dt><dd>Everything else: more runs, longer runs or a quieter machine would decide.</dd>
<dt>the run is the unit</dt><dd>Requests of one run share its machine, its minute and its luck. A run is one number for each metric, however many requests it had.</dd>
<dt>rounds</dt><dd>One run of each side in an order that is drawn, and reversed in the next round, so that a machine that gets slower does so for both.</dd>
<dt>looks</dt><dd>When the gate may look at the runs and stop, the error level is split over the looks, so that looking again does not find what is not there.</dd>
</dl>
)");
  report::close_section(html);
}

}  // namespace

std::string render_page(const Outcome& o, const SideView& baseline, const SideView& candidate) {
  Html html;
  report::open_page(
      html, fmt::format("{}: {}", to_word(o.overall), o.title), "Gate: base and candidate",
      baseline.typical ? fmt::format("{} · {}", o.kind, format_utc(baseline.typical->started_at)) : o.kind);
  put_verdict(html, o);
  html.raw("<nav aria-label=\"Contents\"><a href=\"#metrics\">Metrics</a> ");
  if (!o.requirements.empty()) html.raw("<a href=\"#bounds\">Bounds</a> ");
  html.raw("<a href=\"#runs\">Run by run</a> ");
  const bool over = baseline.spectrum.size() > 1 || candidate.spectrum.size() > 1;
  if (over) html.raw("<a href=\"#overlay\">Both sides</a> ");
  const bool curves = has_a_curve(baseline) && has_a_curve(candidate);
  if (curves) html.raw("<a href=\"#compare\">Typical runs</a> ");
  html.raw("<a href=\"#reproduce\">Reproduce</a> <a href=\"#method\">Words</a></nav>\n");
  put_metrics(html, o);
  put_bounds(html, o);
  put_runs(html, o);
  put_overlay(html, baseline, candidate);
  if (curves) {
    const std::array<report::LabelledRun, 2> typical{
        {{baseline.typical.get(), "baseline, its median run"},
         {candidate.typical.get(), "candidate, its median run"}}};
    report::put_comparison(html, typical);
  }
  put_notes(html, o);
  put_reproduce(html, o, baseline, candidate);
  put_words(html);
  report::close_page(html, o.dsbench_version, report::PageScripts::none);
  return html.take();
}

}  // namespace dsbench::results::gate
