#include <algorithm>
#include <optional>

#include "core/text.h"
#include "results/report/html_sections.h"
#include "results/verdicts/outage.h"

namespace dsbench::results::report {
namespace {

std::string clock_text(Nanos t) {
  const std::int64_t s = t.count() / 1'000'000'000;
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

Mark event_mark(std::string_view what) {
  if (what == "recovered" || what == "healed") return {"✓", what, "pass"};
  if (what == "began" || what == "relapsed" || what == "not recovered") return {"✕", what, "fail"};
  return {"◆", what, what == "worst" || what == "amplified" ? "doubt" : "plain"};
}

}  // namespace

bool has_outage(const RunSummary& run) {
  return !find_outages(run).empty();
}

void put_incident(Html& html, const RunSummary& run, const std::string& prefix) {
  const std::vector<Outage> outages = find_outages(run);
  open_section(html, prefix + "incident", "Outages: what happened, in order");
  std::optional<Nanos> objective;
  if (run.failover && run.failover->objective > Nanos{0}) objective = run.failover->objective;
  html.raw("<p class=\"lead\">").text(outage_sentence(outages, objective)).raw("</p>\n");
  if (!outages.empty()) {
    Table table{.caption = "Timeline of the outages",
                .head = {"time", "event", "what"},
                .rows = {},
                .numeric = false};
    for (const OutageEvent& e : outage_events(run, outages))
      table.rows.push_back({clock_text(e.at), mark_cell(event_mark(e.what)), e.detail});
    put_table(html, table);
    html.raw(
        "<p class=\"caption\">Times since the start of the run. An outage begins where fewer than half of "
        "the requests due in five "
        "seconds turn out good, and ends where 95 % of those due in ten seconds do; one that begins within a "
        "minute of the last, or sooner "
        "than that one had lasted, is a relapse. This says what the clients saw, not why.</p>\n");
  }
  close_section(html);
}

}  // namespace dsbench::results::report
