// Several runs on one page: what differs, and the summary charts laid over each other.
#include <algorithm>
#include <array>

#include "core/text.h"
#include "results/report/curves.h"
#include "results/report/html_sections.h"

namespace dsbench::results::report {

void put_comparison(Html& html, std::span<const LabelledRun> runs) {
  open_section(html, "compare", "The runs side by side");
  Table t{.caption = "The runs side by side", .head = {""}, .rows = {}};
  for (std::size_t i = 0; i < runs.size(); ++i)
    t.head.push_back(fmt::format("({}) {}", i + 1, runs[i].label));
  const auto row = [&](std::string_view name, auto cell) {
    std::vector<Cell> cells{Cell(name)};
    for (const LabelledRun& r : runs) cells.push_back(cell(*r.run));
    t.rows.push_back(std::move(cells));
  };
  row("verdict", [](const RunSummary& r) { return mark_cell(verdict_mark(r.verdict)); });
  row("safe load", [](const RunSummary& r) { return Cell(rate_text(r.knee.offered)); });
  row("peak good rate", [](const RunSummary& r) { return Cell(rate_text(r.collapse.peak_good_rate)); });
  row("good rate in the hold", [](const RunSummary& r) {
    return Cell(r.collapse.at ? fmt::format("{} at {} offered", rate_text(r.collapse.good_rate),
                                            rate_text(r.collapse.at))
                              : std::string("n/a"));
  });
  row("collapse", [](const RunSummary& r) { return mark_cell(collapse_mark(r.collapse.verdict)); });
  row("recovery", [](const RunSummary& r) { return mark_cell(recovery_mark(r.recovery.verdict)); });
  row("time to recover", [](const RunSummary& r) {
    return Cell(r.recovery.time ? format_duration(*r.recovery.time) : std::string("n/a"));
  });
  row("retry amplification", [](const RunSummary& r) { return Cell(times_text(r.retry_amplification)); });
  row("recompute tax", [](const RunSummary& r) {
    return Cell(r.ledger ? part_text(r.ledger->recomputed_tokens, r.ledger->computed_tokens)
                         : std::string("n/a"));
  });
  row("tokens for nobody", [](const RunSummary& r) {
    return Cell(r.ledger ? part_text(r.ledger->abandoned_tokens, r.ledger->computed_tokens)
                         : std::string("n/a"));
  });
  row("fit to measure", [](const RunSummary& r) {
    return mark_cell(r.validity == Validity::unknown ? Mark{"◇", "not known", "doubt"}
                     : r.validity == Validity::valid ? Mark{"●", "yes", "pass"}
                                                     : Mark{"△", "no", "void"});
  });
  row("simulated", [](const RunSummary& r) { return Cell(r.simulated ? "yes" : "no"); });
  put_table(html, t);

  const RunSummary& first = *runs.front().run;
  std::vector<std::string> differ;
  const auto differs = [&](std::string_view name, auto same) {
    if (!std::all_of(runs.begin(), runs.end(), [&](const LabelledRun& r) { return same(*r.run); }))
      differ.emplace_back(name);
  };
  differs("target", [&](const RunSummary& r) {
    return r.target == first.target && r.target_description == first.target_description;
  });
  differs("profile, workload, policy or SLO",
          [&](const RunSummary& r) { return r.profile_json == first.profile_json; });
  differs("seed", [&](const RunSummary& r) { return r.seed == first.seed; });
  differs("machine", [&](const RunSummary& r) { return r.host == first.host; });
  differs("dsbench version", [&](const RunSummary& r) {
    return r.dsbench_version == first.dsbench_version && r.dsbench_commit == first.dsbench_commit &&
           r.dsbench_build == first.dsbench_build;
  });
  if (differ.empty()) {
    html.raw(
        "<p>Target, profile, seed, machine and version are the same; the commands are under “How to "
        "reproduce”.</p>\n");
  } else {
    html.raw("<aside class=\"note t-doubt\"><h3>The runs differ in</h3><ul>");
    for (const std::string& d : differ) html.raw("<li>").text(d).raw("</li>");
    html.raw("</ul></aside>\n");
  }
  html.raw("<h3>Capacity</h3>\n");
  const std::array<Chart, 1> capacity{capacity_chart(runs, "all-capacity")};
  Table rates{.caption = "Good rate by offered rate",
              .head = {"run and stage", "kind", "offered", "completed", "good", "good share"},
              .rows = {}};
  Table percentiles{.caption = "99th percentiles by offered rate",
                    .head = {"run and stage", "offered", "TTFT p99", "TPOT p99", "E2E p99"},
                    .rows = {}};
  Table back{.caption = "Stages from the hold to the recovery",
             .head = {"run and stage", "offered", "good", "good share"},
             .rows = {}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const StageSummary& s : runs[i].run->stages) {
      if (s.kind == StageKind::warm_up) continue;
      const std::string name = fmt::format("({}) {}", i + 1, s.name);
      rates.rows.push_back({name, std::string(to_word(s.kind)), format_rate(s.offered),
                            format_rate(s.completed_rate), format_rate(s.good_rate),
                            share_text(s.good_share)});
      percentiles.rows.push_back({name, format_rate(s.offered), percentile_text(s.ttft, 0.99),
                                  percentile_text(s.tpot, 0.99), percentile_text(s.e2e, 0.99)});
    }
    for (const StageSummary* s : falling(*runs[i].run)) {
      back.rows.push_back({fmt::format("({}) {}", i + 1, s->name), format_rate(s->offered),
                           format_rate(s->good_rate), share_text(s->good_share)});
    }
  }
  put_figure(html, capacity,
             "Good rate against the offered rate. Thick lines with filled markers: the way up. Thin dashed "
             "lines with hollow markers and arrows: the way down.",
             rates);
  html.raw("<h3>Latency, 99th percentiles</h3>\n");
  put_figure(html, latency_charts(runs, "all-latency"),
             "The same horizontal axis; logarithmic. Markers in the strip marked ∞: the percentile falls "
             "among failed requests.",
             percentiles);
  const std::vector<Chart> recovery = recovery_charts(runs, "all-recovery");
  if (!recovery.empty()) {
    html.raw("<h3>Recovery</h3>\n");
    put_figure(html, recovery, "All runs laid over each other at the instant when the trigger was gone.",
               back);
  }
  close_section(html);
}

}  // namespace dsbench::results::report
