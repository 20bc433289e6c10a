#include "results/report/html_sections.h"
#include "results/report/breakdown.h"

#include <algorithm>
#include <array>

#include "core/text.h"
#include "results/report/curves.h"
#include "results/report/workers.h"

namespace dsbench::results::report {
namespace {

void put_tile(Html& html, std::string_view name, std::string_view value, std::string_view below,
              std::string_view tone) {
  html.add("<div class=\"tile t-{}\"><dt>", tone)
      .text(name)
      .raw("</dt><dd><strong>")
      .text(value)
      .raw("</strong><span>")
      .text(below)
      .raw("</span></dd></div>\n");
}

void put_tiles(Html& html, const RunSummary& run) {
  html.raw("<dl class=\"tiles\">\n");
  if (run.knee.offered) {
    std::string between;
    if (run.knee.lower && run.knee.upper) {
      between = fmt::format("knee between {} and {}", rate_text(run.knee.lower), rate_text(run.knee.upper));
    }
    put_tile(html, "Safe load", rate_text(run.knee.offered), between, "plain");
  } else {
    put_tile(html, "Safe load", "n/a", run.kind == "rehearse" ? "no knee was found" : "no search was made",
             "plain");
  }
  const Collapse& c = run.collapse;
  const Mark collapse = collapse_mark(c.verdict);
  std::string below;
  if (c.ratio && c.at) {
    below = fmt::format("at {}: good rate {:.2f} × its peak", rate_text(c.at), *c.ratio);
    if (c.ratio_lower && c.ratio_upper)
      below += fmt::format(" ({:.2f} to {:.2f})", *c.ratio_lower, *c.ratio_upper);
  }
  const std::string collapse_value =
      c.verdict == CollapseVerdict::collapsed && c.collapse_load
          ? fmt::format("{} from {}", collapse.shape, rate_text(c.collapse_load))
          : fmt::format("{} {}", collapse.shape, collapse.word);
  put_tile(html, "Collapse", collapse_value, below, collapse.tone);
  const Recovery& r = run.recovery;
  const Mark recovery = recovery_mark(r.verdict);
  below.clear();
  if (r.base) below = fmt::format("at {} after the trigger", rate_text(r.base));
  put_tile(html, "Recovery",
           r.time ? fmt::format("{} {}", recovery.shape, format_duration(*r.time))
                  : fmt::format("{} {}", recovery.shape, recovery.word),
           below, recovery.tone);
  put_tile(html, "Retry amplification", times_text(run.retry_amplification),
           fmt::format("{} attempts for {} requests", count_text(run.attempts), count_text(run.requests)),
           "plain");
  html.raw("</dl>\n");
}

void put_facts(Html& html, const std::vector<std::pair<std::string, std::string>>& facts) {
  html.raw("<dl class=\"facts\">\n");
  for (const auto& [name, value] : facts) {
    if (value.empty()) continue;
    html.raw("<dt>").text(name).raw("</dt><dd>").text(value).raw("</dd>\n");
  }
  html.raw("</dl>\n");
}

}  // namespace

std::string_view verdict_icon(Verdict verdict) {
  switch (verdict) {
    case Verdict::ready:
      return "<circle cx=\"24\" cy=\"24\" r=\"21\"/><path class=\"cut\" d=\"M14 25l7 7 14-15\"/>";
    case Verdict::not_ready:
      return "<path d=\"M15 3h18l12 12v18l-12 12h-18l-12-12v-18z\"/><path class=\"cut\" d=\"M16 16l16 16M32 "
             "16l-16 16\"/>";
    case Verdict::inconclusive:
      return "<path d=\"M24 2l22 22-22 22-22-22z\"/><path class=\"cut\" d=\"M18 19q0-7 6-7t6 6q0 4-6 7v4M24 "
             "34v.5\"/>";
    case Verdict::invalid:
      return "<path d=\"M24 3l22 40h-44z\"/><path class=\"cut\" d=\"M24 17v13M24 36v.5\"/>";
    case Verdict::measured:
      break;
  }
  return "<rect x=\"4\" y=\"4\" width=\"40\" height=\"40\" rx=\"4\"/><path class=\"cut\" d=\"M14 34v-8M24 "
         "34v-20M34 34v-13\"/>";
}

void put_verdict(Html& html, const RunSummary& run, std::string_view heading, std::string_view level) {
  const Mark mark = verdict_mark(run.verdict);
  html.add("<div class=\"verdict t-{}\">\n", mark.tone);
  if (!heading.empty()) html.raw("<p class=\"which\">").text(heading).raw("</p>\n");
  html.add(
      "<div class=\"word\"><svg class=\"icon\" viewBox=\"0 0 48 48\" "
      "aria-hidden=\"true\">{0}</svg><{1}>{2}</{1}>",
      verdict_icon(run.verdict), level, mark.word);
  if (run.simulated) html.raw("<span class=\"pill\">simulated</span>");
  if (run.ended != "complete") html.raw("<span class=\"pill\">").text(run.ended).raw("</span>");
  html.raw("</div>\n<p class=\"why\">").text(run.sentence).raw("</p>\n");
  if (!run.criteria.empty()) {
    html.raw(
        "<table class=\"criteria\"><caption>Criteria</caption><thead><tr><th scope=\"col\">criterion</th><th "
        "scope=\"col\">measured</th>"
        "<th scope=\"col\">verdict</th></tr></thead><tbody>\n");
    for (const Criterion& c : run.criteria) {
      html.raw("<tr><th scope=\"row\">")
          .text(c.name)
          .raw("</th><td>")
          .text(c.measured)
          .add("</td><td>{}</td></tr>\n", mark_cell(criterion_mark(c.verdict)).html());
    }
    html.raw("</tbody></table>\n");
  }
  put_tiles(html, run);
  html.raw("</div>\n");
}

void put_warnings(Html& html, const RunSummary& run) {
  const auto list = [&](std::string_view title, std::string_view tone,
                        const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    html.add("<aside class=\"note t-{}\"><h2>{}</h2><ul>\n", tone, title);
    for (const std::string& line : lines) html.raw("<li>").text(line).raw("</li>\n");
    html.raw("</ul></aside>\n");
  };
  list("△ Why this measurement is invalid", "void", run.invalid_causes);
  list("Keep in mind", "doubt", run.warnings);
}

void put_capacity(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "capacity", "Capacity");
  html.raw("<p class=\"lead\">")
      .text(run.kind != "rehearse" ? std::string("What came back, against what was asked.")
                                   : knee_sentence(run) + " " + collapse_sentence(run))
      .raw("</p>\n");
  const std::array<LabelledRun, 1> one{{{&run, ""}}};
  const std::array<Chart, 1> charts{capacity_chart(one, prefix + "c-capacity")};
  put_figure(html, charts,
             falling(run).empty() ? "On the dotted line every offered request would be good. Each marker is "
                                    "one stage; lines join the mean of repeats."
                                  : "On the dotted line every offered request would be good. Filled markers "
                                    "on solid lines: the way up. Hollow markers on dashed lines with "
                                    "arrows: the way down, in the order of time. If the way down lies below "
                                    "the way up, the service remembers its overload.",
             capacity_table(run));
  close_section(html);
}

void put_latency(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "latency", "Latency");
  html.raw("<p class=\"lead\">SLO: ")
      .text(slo_text(run.slo))
      .raw(". Latencies count from the instant when a request was due, not from when it was sent.</p>\n");
  const std::array<LabelledRun, 1> one{{{&run, ""}}};
  put_figure(html, latency_charts(one, prefix + "c-latency"),
             "The same horizontal axis as above; the dashed vertical line is the knee. Hollow markers: the "
             "way down. A percentile without enough samples is not drawn; "
             "one that falls among failed requests is infinite and sits in the strip marked ∞.",
             latency_table(run));
  close_section(html);
}

void put_recovery(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "recovery", "Recovery");
  const std::array<LabelledRun, 1> one{{{&run, ""}}};
  const std::vector<Chart> charts = recovery_charts(one, prefix + "c-recovery");
  html.raw("<p class=\"lead\">").text(recovery_sentence(run)).raw("</p>\n");
  if (charts.empty()) {
    html.raw(
        "<p>This run held no overload and brought no load back down, so there is nothing to recover "
        "from.</p>\n");
  } else {
    put_figure(html, charts,
               "From the hold past the knee, down the staircase, to the recovery. “Trigger gone” is the "
               "instant when the offered rate is back at or below the knee. "
               "The good share counts requests by the second in which they were due.",
               recovery_table(run));
  }
  close_section(html);
}

void put_errors(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "errors", "Errors by class and stage");
  const Table t = error_table(run);
  if (t.rows.empty()) {
    html.raw("<p>No attempt failed.</p>\n");
  } else {
    html.raw(
        "<p>Each attempt that failed, by what ended it. The darker the shade, the larger its share of the "
        "attempts of the stage.</p>\n");
    put_table(html, t);
  }
  close_section(html);
}

void put_health(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "health", "Generator health");
  const bool ours = run.kind != "imported";
  const bool known = run.validity != Validity::unknown, fit = run.validity == Validity::valid;
  const Mark mark = !known ? Mark{"◇", "not known", "doubt"}
                    : fit  ? Mark{"●", "fit to measure", "pass"}
                           : Mark{"△", "not fit to measure", "void"};
  html.add("<p class=\"lead\">{} ", mark_cell(mark).html());
  html.raw(!ours    ? "Another tool made these requests; its file does not say whether they left on time."
           : !known ? "The run was cut off, and how its generator was went with it. What the records tell of "
                      "it, its "
                      "send lag, is below."
           : fit    ? "The requests left when the schedule said."
                    : "The numbers of this run may be the generator's and not the service's.")
      .raw("</p>\n");
  if (!run.invalid_causes.empty()) {
    html.raw("<ul>\n");
    for (const std::string& cause : run.invalid_causes) html.raw("<li>").text(cause).raw("</li>\n");
    html.raw("</ul>\n");
  }
  put_table(html, health_table(run));
  put_workers(html, run);
  close_section(html);
}

void put_waste(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "waste", "Waste");
  html.raw("<p class=\"lead\">")
      .text(fmt::format("{} requests took {} attempts: {:.2f} per request.", count_text(run.requests),
                        count_text(run.attempts), run.retry_amplification));
  if (run.ledger) {
    html.text(
        fmt::format(" Of {} computed tokens, {} were computed again after a preemption (the recompute tax) "
                    "and {} were for requests that nobody waited for any more.",
                    count_text(run.ledger->computed_tokens),
                    part_text(run.ledger->recomputed_tokens, run.ledger->computed_tokens),
                    part_text(run.ledger->abandoned_tokens, run.ledger->computed_tokens)));
  } else {
    html.raw(
        " The target does not tell how many tokens it computed, so recompute tax and abandoned work are not "
        "known.");
  }
  html.raw("</p>\n");
  put_table(html, waste_table(run));
  put_breakdown(html, run);
  close_section(html);
}

void put_stages(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "stages", "All stages");
  html.raw("<p>Counts are of requests due in the measured window of the stage, wherever they ended.</p>\n");
  put_table(html, stage_table(run));
  close_section(html);
}

void put_system(Html& html, const RunSummary& run, const std::string& prefix) {
  open_section(html, prefix + "system", "System");
  std::vector<std::pair<std::string, std::string>> facts{{"target", run.target},
                                                         {"target, as it is known", run.target_description}};
  if (run.simulated) facts.emplace_back("simulated", "yes: virtual time, step times from a fitted law");
  facts.emplace_back("started", format_utc(run.started_at));
  facts.emplace_back("duration", format_duration(run.duration) + (run.simulated ? " of virtual time" : ""));
  facts.emplace_back("ended", run.ended);
  for (const auto& [name, value] : run.host) facts.emplace_back("generator: " + name, value);
  put_facts(html, facts);
  close_section(html);
}

}  // namespace dsbench::results::report
