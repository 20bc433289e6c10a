#include "kernelbench/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <vector>

#include "kernelbench/report/table.h"
#include "results/report/html_frame.h"
#include "results/report/html_parts.h"
#include "results/report/svg_chart.h"

namespace dsbench::kernelbench {
namespace {

namespace report = results::report;

std::string fact(const KernelRun& run, std::string_view name) {
  for (const auto& [key, value] : run.facts) {
    if (key == name) return value;
  }
  return {};
}

std::string machine_of(const KernelRun& run) {
  const std::string gpu = fact(run, "gpu");
  return !gpu.empty() ? gpu : fact(run, "cpu_model");
}

struct Counts {
  std::size_t timed = 0, wrong = 0, without = 0;
};

Counts count(const KernelRun& run) {
  Counts c;
  for (const CellResult& cell : run.cells) {
    if (cell.name == kControlName) continue;
    if (cell.state == CellState::incorrect || cell.state == CellState::failed ||
        cell.state == CellState::misbehaved) {
      ++c.wrong;
    } else if (cell.timed()) {
      ++c.timed;
    } else {
      ++c.without;
    }
  }
  return c;
}

std::string summary_of(const KernelRun& run) {
  const Counts c = count(run);
  std::string text =
      c.wrong == 0 ? fmt::format("{} cells passed their checks and were timed", c.timed)
                   : fmt::format("{} cells failed; {} passed their checks and were timed", c.wrong, c.timed);
  if (c.without > 0) text += fmt::format("; {} have no time", c.without);
  if (run.interrupted) text += "; the run was interrupted";
  return text + ".";
}

// Which marker an op gets: few enough to be told apart.
struct Family {
  std::string_view name, tone;
  report::Marker marker;
};
constexpr std::array<Family, 4> families{{{"dense products", "r0", report::Marker::circle},
                                          {"experts", "r1", report::Marker::square},
                                          {"attention", "r2", report::Marker::triangle},
                                          {"the rest", "r3", report::Marker::diamond}}};

std::size_t family_of(std::string_view op) {
  if (op.ends_with("gemm") && op != "moe_grouped_gemm") return 0;
  if (op.starts_with("moe_grouped")) return 1;
  if (op.starts_with("mla_") || op.starts_with("sparse") || op.starts_with("dsa_indexer")) return 2;
  return 3;
}

// Operations per byte against operations per second, both in powers of ten: the slope is memory, the flat
// parts are the peaks.
report::Chart roofline_chart(const KernelRun& run) {
  report::Chart chart;
  chart.id = "roofline";
  chart.title = "Roofline";
  chart.description =
      "Each cell's operations per second over its operations per byte, below what memory and the processor "
      "allow.";
  chart.x = {.title = "operations per byte", .scale = report::Scale::log10, .lo = {}, .hi = {}};
  chart.y = {.title = "GFLOP/s", .scale = report::Scale::log10, .lo = {}, .hi = {}};
  std::array<report::ChartLine, families.size()> lines;
  double least = INFINITY, most = 0;
  for (const CellResult& cell : run.cells) {
    if (!cell.timed() || cell.work.flops <= 0 || cell.work.bytes <= 0) continue;
    const double x = cell.work.flops / cell.work.bytes;
    least = std::min(least, x);
    most = std::max(most, x);
    lines[family_of(cell.problem.op)].points.push_back(
        {x, cell.work.flops / cell.seconds() / 1e9,
         fmt::format("{} · {}: {}, {:.0f} % of its roofline", cell.name, cell.kernel.name,
                     format_seconds(cell.seconds()), cell.percent_of_roofline())});
  }
  if (most == 0) return chart;
  const double bandwidth = std::max(run.ceilings.copy_bytes_per_s, run.ceilings.read_bytes_per_s);
  double right = most;
  for (const Ceilings::Peak& peak : run.ceilings.peaks)
    right = std::max(right, 2 * peak.flops_per_s / bandwidth);
  static constexpr std::array<report::Dash, 4> dashes{report::Dash::solid, report::Dash::dashed,
                                                      report::Dash::dotted, report::Dash::dash_dot};
  std::size_t n = 0;
  for (const Ceilings::Peak& peak : run.ceilings.peaks) {
    const double ridge = peak.flops_per_s / bandwidth;
    chart.lines.push_back({.label = fmt::format("roof of {}", peak.unit),
                           .tone = "offered",
                           .dash = dashes[n++ % dashes.size()],
                           .thin = true,
                           .end_label = true,
                           .points = {{least, least * bandwidth / 1e9, ""},
                                      {ridge, peak.flops_per_s / 1e9,
                                       fmt::format("{}: {:.2f} TFLOP/s ({})", peak.unit,
                                                   peak.flops_per_s / 1e12, peak.measured_by)},
                                      {right, peak.flops_per_s / 1e9, ""}},
                           .scattered = {}});
  }
  for (std::size_t f = 0; f < families.size(); ++f) {
    if (lines[f].points.empty()) continue;
    // Markers alone: a line without points to go through.
    report::ChartLine& line = lines[f];
    line.label = families[f].name;
    line.tone = families[f].tone;
    line.marker = families[f].marker;
    line.scattered = std::move(line.points);
    line.points.clear();
    chart.lines.push_back(std::move(line));
  }
  return chart;
}

report::Table ceilings_table(const KernelRun& run) {
  report::Table table{.caption = "What this machine can do at best",
                      .head = {"ceiling", "value", "how"},
                      .rows = {},
                      .numeric = false};
  table.rows.push_back({"copy", fmt::format("{:.1f} GB/s", run.ceilings.copy_bytes_per_s / 1e9),
                        "STREAM triad on a CPU, a device copy on a GPU"});
  if (run.ceilings.read_bytes_per_s > 0)
    table.rows.push_back(
        {"read", fmt::format("{:.1f} GB/s", run.ceilings.read_bytes_per_s / 1e9), "reading alone"});
  for (const Ceilings::Peak& p : run.ceilings.peaks)
    table.rows.push_back({p.unit, fmt::format("{:.3g} TFLOP/s", p.flops_per_s / 1e12), p.measured_by});
  table.rows.push_back({"launch", format_seconds(run.ceilings.launch_floor_s), "an empty kernel"});
  return table;
}

std::string percent_text(const CellResult& c) {
  return c.roofline ? fmt::format("{:.0f} %", c.percent_of_roofline()) : "–";
}

report::Cell state_cell(const CellResult& c) {
  if (c.name == kControlName) return "";
  const bool bad =
      c.state == CellState::incorrect || c.state == CellState::failed || c.state == CellState::misbehaved;
  if (bad) return report::mark_cell({"✕", to_word(c.state), "fail"});
  if (c.state != CellState::ok) return report::mark_cell({"◆", to_word(c.state), "doubt"});
  return report::mark_cell({"✓", "passed", "pass"});
}

// A case's name may break after each of its parts.
report::Cell name_cell(const std::string& name) {
  std::string markup;
  for (const char c : name) {
    markup += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
    if (c == '/') markup += "<wbr/>";
  }
  return report::Cell::markup(std::move(markup));
}

report::Table cells_table(const KernelRun& run) {
  report::Table table{.caption = "Every cell",
                      .head = {"case", "kernel", "time", "p10 – p90", "TFLOP/s", "GB/s", "of roofline",
                               "bound", "baseline ÷ time", "check"},
                      .rows = {},
                      .numeric = true};
  for (const CellResult& c : run.cells) {
    std::vector<report::Cell> row{name_cell(c.name),
                                  c.kernel.name + (c.kernel.baseline ? " (baseline)" : "")};
    if (c.timed()) {
      const double t = c.seconds();
      row.insert(row.end(),
                 {format_seconds(t), format_seconds(c.stats.p10) + " – " + format_seconds(c.stats.p90),
                  c.work.flops > 0 ? fmt::format("{:.3g}", c.work.flops / t / 1e12) : "–",
                  c.work.bytes > 0 ? fmt::format("{:.3g}", c.work.bytes / t / 1e9) : "–", percent_text(c),
                  c.roofline ? c.roofline->bound : "–",
                  c.baseline_s ? fmt::format("{:.2f}", *c.baseline_s / t) : "–"});
    } else {
      row.insert(row.end(), 7, report::Cell{"–"});
    }
    row.push_back(state_cell(c));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

std::string render_kernels_html(const KernelRun& run) {
  report::Html html;
  const Counts counts = count(run);
  const std::string title =
      fmt::format("Kernels on {}", machine_of(run).empty() ? "an unnamed machine" : machine_of(run));
  report::open_page(html, fmt::format("{}{}", counts.wrong > 0 ? "Failed: " : "", title), title,
                    fmt::format("{} · suite {} · cache {} · {}", fact(run, "started_at"), fact(run, "suite"),
                                fact(run, "l2"), fact(run, "mode")));
  html.add("<h1>").text(summary_of(run)).raw("</h1>\n");

  report::open_section(html, "roofline-section", "Roofline");
  const report::Chart chart = roofline_chart(run);
  if (chart.lines.empty()) {
    html.raw("<p>Nothing was timed.</p>\n");
    report::put_table(html, ceilings_table(run));
  } else {
    report::put_figure(html, std::span{&chart, 1},
                       "Higher is faster; on the roof is as fast as this machine can be. The roofs were "
                       "measured in the same run.",
                       ceilings_table(run));
  }
  report::close_section(html);

  report::open_section(html, "cells", "Cells");
  report::put_table(html, cells_table(run));
  report::close_section(html);

  const bool any = std::any_of(run.cells.begin(), run.cells.end(), [](const CellResult& c) {
    return c.state != CellState::ok && !c.why.empty();
  });
  if (any) {
    report::open_section(html, "reasons", "What has no good time, and why");
    report::Table table{
        .caption = "Reasons", .head = {"case", "kernel", "state", "why"}, .rows = {}, .numeric = false};
    for (const CellResult& c : run.cells) {
      if (c.state != CellState::ok && !c.why.empty())
        table.rows.push_back({c.name, c.kernel.name, to_word(c.state), c.why});
    }
    report::put_table(html, table);
    report::close_section(html);
  }

  report::open_section(html, "system", "System and method");
  report::Table facts{.caption = "Facts", .head = {"fact", "value"}, .rows = {}, .numeric = false};
  for (const auto& [key, value] : run.facts) facts.rows.push_back({key, value});
  report::put_table(html, facts);
  html.raw(
      "<p>Every cell was checked against float64 on the same quantised operands before it was timed, and "
      "again after. A time is "
      "the median of the repetitions' medians, taken in random order; the roofline's time is the larger of "
      "bytes over bandwidth, "
      "operations over peak, and an empty launch. <code>control/copy</code> is a copy that is timed like a "
      "kernel, to tell whether two runs met the "
      "same machine.</p>\n");
  report::close_section(html);
  report::close_page(html, fact(run, "dsbench_version"), report::PageScripts::none);
  return html.take();
}

std::string render_kernels_markdown(const KernelRun& run) {
  std::string text = fmt::format("## Kernels on {}\n\n{}\n\n", machine_of(run), summary_of(run));
  text +=
      "| case | kernel | time | TFLOP/s | GB/s | of roofline | baseline ÷ time | check "
      "|\n|---|---|---:|---:|---:|---:|---:|---|\n";
  for (const CellResult& c : run.cells) {
    const double t = c.seconds();
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", c.name, c.kernel.name,
                        c.timed() ? format_seconds(t) : "–",
                        c.timed() && c.work.flops > 0 ? fmt::format("{:.3g}", c.work.flops / t / 1e12) : "–",
                        c.timed() && c.work.bytes > 0 ? fmt::format("{:.3g}", c.work.bytes / t / 1e9) : "–",
                        c.timed() ? percent_text(c) : "–",
                        c.baseline_s ? fmt::format("{:.2f}", *c.baseline_s / t) : "–",
                        c.name == kControlName ? "" : to_word(c.state));
  }
  return text;
}

}  // namespace dsbench::kernelbench
