#include <cmath>

#include "core/text.h"
#include "results/report/curves.h"
#include "results/report/escape.h"
#include "results/report/html_sections.h"

namespace dsbench::results::report {
namespace {

// A number for the page's script: three significant digits are about a pixel.
std::string json_number(const std::optional<double>& v) {
  if (!v || !std::isfinite(*v)) return "null";
  return fmt::format("{:.3g}", *v);
}

struct Series {
  std::string_view name, tone;
  std::string_view dash;  // JSON array of dygraphs' strokePattern, or "null"
  std::vector<std::optional<double>> values;
};

class TimelineData {
 public:
  TimelineData(const RunSummary& run, const BinnedTimeline& binned) : binned_{binned} {
    json_ = fmt::format("{{\"bin\":{},\"t\":[", binned.bin);
    for (std::size_t i = 0; i < binned.bins.size(); ++i)
      json_ += (i > 0 ? "," : "") + fmt::format("{:.0f}", binned.bins[i].seconds);
    json_ += "],\"stages\":[";
    for (std::size_t i = 0; i < run.stages.size(); ++i) {
      const StageSummary& s = run.stages[i];
      json_ += fmt::format("{}[{:.1f},{:.1f},{},{}]", i > 0 ? "," : "", to_seconds(s.start),
                           to_seconds(s.end), json_string(to_word(s.kind)), json_string(s.name));
    }
    json_ += "],\"events\":[";
    for (std::size_t i = 0; i < run.events.size(); ++i) {
      const RunEvent& e = run.events[i];
      json_ += fmt::format("{}[{:.1f},{:.1f},{}]", i > 0 ? "," : "", to_seconds(e.at),
                           to_seconds(e.until.value_or(run.duration)), json_string(e.what));
    }
    json_ += "],\"charts\":[";
  }

  void begin_chart(std::string_view title, std::string_view unit) {
    json_ += fmt::format("{}{{\"title\":{},\"unit\":{},\"series\":[", charts_ > 0 ? "]}," : "",
                         json_string(title), json_string(unit));
    ++charts_;
    series_ = 0;
  }

  template <class Get>
  void series(std::string_view name, std::string_view tone, std::string_view dash, Get get) {
    json_ += fmt::format("{}{{\"name\":{},\"tone\":{},\"dash\":{},\"v\":[", series_ > 0 ? "," : "",
                         json_string(name), json_string(tone), dash);
    for (std::size_t i = 0; i < binned_.bins.size(); ++i) {
      json_ += (i > 0 ? "," : "") + json_number(std::optional<double>(get(binned_.bins[i])));
    }
    json_ += "]}";
    ++series_;
  }

  std::string finish() { return json_ + (charts_ > 0 ? "]}" : "") + "]}"; }

 private:
  const BinnedTimeline& binned_;
  std::string json_;
  int charts_ = 0, series_ = 0;
};

template <class Get>
bool any(const BinnedTimeline& binned, Get get) {
  for (const TimelineBin& b : binned.bins) {
    if (std::optional<double>(get(b)).has_value()) return true;
  }
  return false;
}

Table events_table(const RunSummary& run) {
  Table table{.caption = "What was made to happen",
              .head = {"from", "until", "what", "to"},
              .rows = {},
              .numeric = false};
  for (const RunEvent& e : run.events) {
    const std::string to =
        e.target < run.providers.size() ? run.providers[e.target].name : fmt::format("target {}", e.target);
    table.rows.push_back({format_duration(e.at), e.until ? format_duration(*e.until) : "the end of the run",
                          e.what, run.providers.empty() ? run.target : to});
  }
  return table;
}

}  // namespace

void put_timeline(Html& html, const RunSummary& run, const std::string& prefix, std::size_t at_most) {
  open_section(html, prefix + "timeline", "Timeline");
  const BinnedTimeline binned = bin_timeline(run, at_most);
  if (binned.bins.empty()) {
    html.raw("<p>This run has no timeline.</p>\n");
    close_section(html);
    return;
  }
  TimelineData data(run, binned);
  const std::string_view solid = "null";
  data.begin_chart("Requests per second", "/s");
  data.series("offered", "offered", "[2,3]", [](const TimelineBin& b) { return b.offered; });
  data.series("sent", "delivered", "[6,3,2,3]", [](const TimelineBin& b) { return b.sent; });
  data.series("completed", "completed", "[7,4]", [](const TimelineBin& b) { return b.completed; });
  data.series("good", "good", solid, [](const TimelineBin& b) { return b.good; });
  data.series("failed", "bad", "[8,3,2,3]", [](const TimelineBin& b) { return b.failed; });
  data.begin_chart("Requests", "");
  data.series("in flight", "flight", solid, [](const TimelineBin& b) { return b.in_flight; });
  const auto running = [](const TimelineBin& b) { return b.engine_running; };
  const auto waiting = [](const TimelineBin& b) { return b.engine_waiting; };
  const auto kv = [](const TimelineBin& b) { return b.engine_kv_used_share; };
  if (any(binned, running)) data.series("running in the engine", "completed", "[7,4]", running);
  if (any(binned, waiting)) data.series("waiting in the engine", "delivered", "[2,3]", waiting);
  data.begin_chart("Latency", "s");
  data.series("TTFT p50", "p50", solid, [](const TimelineBin& b) { return b.ttft_p50; });
  data.series("TTFT max", "p99", "[7,4]", [](const TimelineBin& b) { return b.ttft_max; });
  data.series("send lag max", "flight", "[2,3]", [](const TimelineBin& b) { return b.send_lag_max; });
  if (any(binned, kv)) {
    data.begin_chart("KV blocks in use", "share");
    data.series("KV blocks in use", "good", solid, kv);
  }
  html.raw(
      "<p class=\"script-only\">Drag across a chart to zoom all of them, double-click to see the whole run "
      "again. Shades mark the stages, bars below the top what was made to happen.</p>\n");
  html.add(
      "<div class=\"timeline\" data-source=\"{0}tl-data\"></div>\n<script type=\"application/json\" "
      "id=\"{0}tl-data\">{1}</script>\n",
      prefix, data.finish());
  html.raw("<div class=\"script-less\">\n");
  for (const Chart& chart : timeline_charts(run, prefix + "tl-static")) {
    for (ChartSize size : {wide_chart, narrow_chart}) {
      size.plot_height *= 0.6;
      html.raw(render_svg(chart, size)).raw("\n");
    }
  }
  html.raw("</div>\n");
  if (!run.events.empty()) put_table(html, events_table(run));
  html.raw("<p class=\"caption\">")
      .text(binned.bin == 1 ? std::string("One point a second.")
                            : fmt::format("One point every {} s: rates are means, requests and latencies the "
                                          "highest one-second value.",
                                          binned.bin))
      .raw("</p>\n<details><summary>The numbers as a table</summary>\n");
  put_table(html, timeline_table(run));
  html.raw("</details>\n");
  close_section(html);
}

}  // namespace dsbench::results::report
