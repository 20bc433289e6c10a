#include <algorithm>
#include <array>

#include "core/files.h"
#include "core/text.h"
#include "results/report/html_frame.h"
#include "results/report/html_sections.h"
#include "results/report/report.h"

namespace dsbench::results::report {
namespace {

// Points of the interactive timelines of one page, all runs together: what keeps a page under 500 KB.
constexpr std::size_t most_points = 600;
// With more runs than these each keeps its tables, and only the comparison has charts.
constexpr std::size_t most_charted_runs = 3;

std::string title_of(const RunSummary& run) {
  const std::string_view what = run.kind == "rehearse"   ? "Readiness report"
                                : run.kind == "imported" ? "Imported result"
                                                         : "Load run";
  return fmt::format("{}: {}", what, run.target.empty() ? "unknown target" : run.target);
}

struct Section {
  std::string_view id, name;
  bool charts;
  void (*put)(Html& html, const RunSummary& run, const std::string& prefix);
};
// In reading order. The timeline, which wants to know its share of the page, follows the stages.
constexpr std::array<Section, 11> sections{{{"answers", "Answers", false, put_answers},
                                            {"capacity", "Capacity", true, put_capacity},
                                            {"latency", "Latency", true, put_latency},
                                            {"recovery", "Recovery", true, put_recovery},
                                            {"providers", "Targets", true, put_providers},
                                            {"errors", "Errors", false, put_errors},
                                            {"health", "Generator health", false, put_health},
                                            {"waste", "Waste", false, put_waste},
                                            {"stages", "Stages", false, put_stages},
                                            {"system", "System", false, put_system},
                                            {"reproduce", "Reproduce", false, put_reproduce}}};

void put_run(Html& html, const RunSummary& run, const std::string& prefix, bool charts, std::size_t points,
             const LatencyPicture& picture) {
  html.raw("<nav aria-label=\"Contents\">");
  for (const Section& s : sections) {
    if (s.id == "providers" && !run.failover) continue;
    if (s.id == "recovery" && charts && !picture.empty())
      html.add("<a href=\"#{}latency-picture\">Over time</a> ", prefix);
    if (s.id == "errors" && has_outage(run)) html.add("<a href=\"#{}incident\">Outages</a> ", prefix);
    if (charts || !s.charts) html.add("<a href=\"#{}{}\">{}</a> ", prefix, s.id, s.name);
    if (charts && s.id == "stages") html.add("<a href=\"#{}timeline\">Timeline</a> ", prefix);
  }
  html.raw("<a href=\"#method\">Words</a></nav>\n");
  for (const Section& s : sections) {
    if (s.id == "recovery" && charts && !picture.empty()) put_latency_picture(html, picture, prefix);
    if (s.id == "errors" && has_outage(run)) put_incident(html, run, prefix);
    if (charts || !s.charts) s.put(html, run, prefix);
    if (charts && s.id == "stages") put_timeline(html, run, prefix, points);
  }
}

}  // namespace

std::string render_html(std::span<const RunSummary* const> runs, const ReportOptions& options) {
  const RunSummary& first = *runs.front();
  const bool alone = runs.size() == 1;
  std::vector<std::string> labels = labels_of(runs);
  for (std::size_t i = 0; i < labels.size() && i < options.labels.size(); ++i) {
    if (!options.labels[i].empty()) labels[i] = options.labels[i];
  }
  const std::string title = !options.title.empty() ? options.title
                            : alone                ? title_of(first)
                                                   : fmt::format("{} runs: {}", runs.size(), first.target);
  const LatencyPicture none;
  const auto picture_for = [&](std::size_t i) -> const LatencyPicture& {
    return i < options.pictures.size() ? options.pictures[i] : none;
  };
  Html html;
  open_page(html, alone ? fmt::format("{}: {}", verdict_mark(first.verdict).word, title) : title, title,
            fmt::format("{} · {} · seed {}", format_utc(first.started_at), format_duration(first.duration),
                        first.seed));
  if (alone) {
    put_verdict(html, first, "", "h1");
    put_warnings(html, first);
    put_run(html, first, "", true, most_points, picture_for(0));
  } else {
    std::vector<LabelledRun> labelled;
    for (std::size_t i = 0; i < runs.size(); ++i) labelled.push_back({runs[i], labels[i]});
    for (std::size_t i = 0; i < runs.size(); ++i)
      put_verdict(html, *runs[i], fmt::format("({}) {}", i + 1, labels[i]), "h1");
    put_comparison(html, labelled);
    // The page stays small whatever the number of runs.
    const std::size_t points = std::max<std::size_t>(120, most_points / runs.size());
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const std::string prefix = fmt::format("run{}-", i + 1);
      html.add("<article id=\"run{}\"><p class=\"which\">", i + 1)
          .text(fmt::format("({}) {}", i + 1, labels[i]))
          .raw("</p>\n");
      put_warnings(html, *runs[i]);
      put_run(html, *runs[i], prefix, runs.size() <= most_charted_runs, points, picture_for(i));
      html.raw("</article>\n");
    }
  }
  put_method(html);
  close_page(html, first.dsbench_version, PageScripts::timelines);
  return html.take();
}

LatencyPicture read_latency_picture(const RunDirectory& directory) {
  const auto text = read_file(directory.latency_log());
  if (!text) return {};
  const auto intervals = parse_hdr_log(*text);
  return intervals ? picture_of(*intervals) : LatencyPicture{};
}

std::string render_html(const RunSummary& run, const ReportOptions& options) {
  const std::array<const RunSummary*, 1> one{&run};
  return render_html(one, options);
}

}  // namespace dsbench::results::report
