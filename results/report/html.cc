#include <algorithm>
#include <array>

#include "core/text.h"
#include "report_page.h"
#include "results/report/escape.h"
#include "results/report/html_sections.h"
#include "results/report/report.h"

namespace dsbench::results::report {
namespace {

// A file of the page, without the comment that would make a browser's developer tools look for its source
// map.
std::string_view page_file(std::string_view key) {
  std::string_view content = page::embedded(key);
  const std::size_t at = content.rfind("sourceMappingURL");
  if (at != std::string_view::npos)
    content =
        content.substr(0, content.rfind('\n', at) == std::string_view::npos ? 0 : content.rfind('\n', at));
  return content;
}

// Points of the interactive timelines of one page, all runs together: what keeps a page under 500 KB.
constexpr std::size_t most_points = 720;
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

void put_run(Html& html, const RunSummary& run, const std::string& prefix, bool charts, std::size_t points) {
  html.raw("<nav aria-label=\"Contents\">");
  for (const Section& s : sections) {
    if (s.id == "providers" && !run.failover) continue;
    if (charts || !s.charts) html.add("<a href=\"#{}{}\">{}</a> ", prefix, s.id, s.name);
    if (charts && s.id == "stages") html.add("<a href=\"#{}timeline\">Timeline</a> ", prefix);
  }
  html.raw("<a href=\"#method\">Words</a></nav>\n");
  for (const Section& s : sections) {
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
  Html html;
  // Written so that an XML parser reads it too: every element is closed, every attribute quoted.
  html.raw(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; "
      "img-src data:\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><meta name=\"color-scheme\" "
      "content=\"light dark\"/>\n<title>");
  html.text(alone ? fmt::format("{}: {}", verdict_mark(first.verdict).word, title) : title);
  html.raw("</title>\n<style>")
      .raw(page_file("dygraph.css"))
      .raw("\n")
      .raw(page_file("style.css"))
      .raw("</style></head>\n<body><main>\n<header>");
  html.raw("<p class=\"brand\">dsbench</p><p class=\"title\">").text(title).raw("</p><p class=\"meta\">");
  html.text(format_utc(first.started_at))
      .raw(" · ")
      .text(format_duration(first.duration))
      .raw(" · seed ")
      .text(std::to_string(first.seed));
  html.raw("</p></header>\n");
  if (alone) {
    put_verdict(html, first, "", "h1");
    put_warnings(html, first);
    put_run(html, first, "", true, most_points);
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
      put_run(html, *runs[i], prefix, runs.size() <= most_charted_runs, points);
      html.raw("</article>\n");
    }
  }
  put_method(html);
  html.raw("<footer><p>Made by dsbench ")
      .text(first.dsbench_version)
      .raw(". This file needs no network.</p></footer>\n</main>\n<script>");
  html.raw(page_file("dygraph.js"))
      .raw("\n</script>\n<script>")
      .raw(page_file("timeline.js"))
      .raw("</script>\n</body></html>\n");
  return html.take();
}

std::string render_html(const RunSummary& run, const ReportOptions& options) {
  const std::array<const RunSummary*, 1> one{&run};
  return render_html(one, options);
}

}  // namespace dsbench::results::report
