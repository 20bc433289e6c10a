#include "kernelbench/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace dsbench::kernelbench {
namespace {

std::string three_digits(double v) {
  if (v >= 100) return fmt::format("{:.0f}", v);
  if (v >= 10) return fmt::format("{:.1f}", v);
  return fmt::format("{:.2f}", v);
}

// Characters, not bytes: "µ" is one.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string rows_of(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width_of(row[i]), ' ');
      const bool left = i < 2 || i + 1 == row.size();
      line += left ? row[i] + padding : padding + row[i];
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string verdict_of(const CellResult& c) {
  if (c.state != CellState::ok) return std::string{to_word(c.state)};
  if (c.name == kControlName) return "";
  return c.check.rows_checked < c.check.rows
             ? fmt::format("passed ({} of {} rows)", c.check.rows_checked, c.check.rows)
             : "passed";
}

}  // namespace

std::string format_seconds(double s) {
  if (s >= 1) return three_digits(s) + " s";
  if (s >= 1e-3) return three_digits(s * 1e3) + " ms";
  if (s >= 1e-6) return three_digits(s * 1e6) + " µs";
  return three_digits(s * 1e9) + " ns";
}

std::string render_table(const KernelRun& run) {
  std::string text;
  const auto line = [&](std::string_view name, std::string value, std::string_view how) {
    text += fmt::format("  {:<14} {:>12}  {}\n", name, value, how);
  };
  if (run.ceilings.launch_floor_s > 0) text += "What this machine can do at best, measured in this run\n";
  if (run.ceilings.copy_bytes_per_s > 0)
    line("copy", fmt::format("{:.1f} GB/s", run.ceilings.copy_bytes_per_s / 1e9),
         "STREAM triad on a CPU, a device copy on a GPU");
  if (run.ceilings.read_bytes_per_s > 0)
    line("read", fmt::format("{:.1f} GB/s", run.ceilings.read_bytes_per_s / 1e9), "");
  for (const Ceilings::Peak& p : run.ceilings.peaks)
    line(p.unit, fmt::format("{} TFLOP/s", three_digits(p.flops_per_s / 1e12)), p.measured_by);
  if (run.ceilings.launch_floor_s > 0)
    line("launch", format_seconds(run.ceilings.launch_floor_s), "an empty kernel");

  std::vector<std::vector<std::string>> rows{{"case", "kernel", "time", "p10", "p90", "TFLOP/s", "GB/s",
                                              "% roof", "bound", "vs base", "experts", "check"}};
  for (const CellResult& c : run.cells) {
    std::vector<std::string> row{c.name, c.kernel.name + (c.kernel.baseline ? " (baseline)" : "")};
    if (c.timed()) {
      const double t = c.seconds();
      row.insert(row.end(), {format_seconds(t), format_seconds(c.stats.p10), format_seconds(c.stats.p90),
                             c.work.flops > 0 ? three_digits(c.work.flops / t / 1e12) : "-",
                             c.work.bytes > 0 ? three_digits(c.work.bytes / t / 1e9) : "-",
                             c.roofline ? fmt::format("{:.0f}", c.percent_of_roofline()) : "-",
                             c.roofline ? c.roofline->bound : "-",
                             c.baseline_s ? fmt::format("{:.2f}×", *c.baseline_s / t) : "-"});
    } else {
      row.insert(row.end(), 8, "-");
    }
    row.push_back(c.routing ? fmt::format("{}/{}", c.routing->active, c.routing->experts) : "-");
    row.push_back(verdict_of(c));
    rows.push_back(std::move(row));
  }
  text += "\n" + rows_of(rows);

  bool said = false;
  for (const CellResult& c : run.cells) {
    if (c.state == CellState::ok || c.why.empty()) continue;
    if (!said) text += "\n";
    said = true;
    text += fmt::format("{} · {}: {}: {}\n", c.name, c.kernel.name, to_word(c.state), c.why);
  }
  return text;
}

}  // namespace dsbench::kernelbench
