#include <algorithm>
#include <array>
#include <map>

#include "core/text.h"
#include "results/report/html_sections.h"

namespace dsbench::results::report {
namespace {

std::string optional_text(const std::optional<Nanos>& d) {
  return d ? format_duration(*d) : std::string{"n/a"};
}

std::string name_of(const RunSummary& run, std::uint16_t provider) {
  return provider < run.providers.size() ? fmt::format("{} {}", provider, run.providers[provider].name)
                                         : std::to_string(provider);
}

std::string failures_text(const ProviderSummary& p) {
  std::string text;
  for (std::size_t i = 0; i < p.attempts_by_reason.size(); ++i) {
    const auto reason = static_cast<Reason>(i);
    if (p.attempts_by_reason[i] == 0 || reason == Reason::ok) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count_text(p.attempts_by_reason[i]),
                        to_word(reason));
  }
  return text.empty() ? "none" : text;
}

Table providers_table(const RunSummary& run) {
  Table table{"What each target got and gave",
              {"target", "attempts", "requests ended", "good", "failed attempts", "taken out",
               "prompt tokens", "sent again", "computed again"},
              {}};
  for (const ProviderSummary& p : run.providers) {
    table.rows.push_back({name_of(run, p.index), count_text(p.attempts), count_text(p.requests),
                          count_text(p.good), failures_text(p), count_text(p.ejections),
                          count_text(p.prompt_tokens), count_text(p.resent_tokens),
                          count_text(p.reprefilled_tokens)});
  }
  return table;
}

Table incidents_table(const RunSummary& run) {
  Table table{"Faults, and how the clients got over them",
              {"target", "cause", "from", "whole again", "detected after", "good rate back after",
               "requests lost", "late", "sessions moved", "history tokens", "used again after"},
              {}};
  for (const Incident& i : run.failover->incidents) {
    table.rows.push_back({name_of(run, i.provider), i.cause, format_duration(i.start), optional_text(i.end),
                          optional_text(i.detection), optional_text(i.failover), count_text(i.requests_lost),
                          count_text(i.requests_late), count_text(i.sessions_moved),
                          count_text(i.reprefilled_tokens), optional_text(i.failback)});
  }
  return table;
}

// Good requests a second, by target; a band where one of them was out of order.
Chart providers_chart(const RunSummary& run, const std::string& id) {
  Chart chart;
  chart.id = id;
  chart.title = "Good requests per second, by target";
  chart.description = run.failover->sentence;
  chart.x.title = "time since the start of the run";
  chart.x.unit = AxisUnit::clock;
  chart.y.title = "good requests/s";
  chart.y.lo = 0.0;
  constexpr std::array<std::string_view, 4> tones{"good", "completed", "delivered", "offered"};
  constexpr std::array<Dash, 4> dashes{Dash::solid, Dash::dashed, Dash::dotted, Dash::dash_dot};
  const auto last = static_cast<std::int64_t>(to_seconds(run.duration));
  for (const ProviderSummary& p : run.providers) {
    std::map<std::int64_t, double> good;
    for (const ProviderSecond& s : run.failover->seconds) {
      if (s.provider == p.index) good[s.second] += static_cast<double>(s.good);
    }
    // One point a second up to ten minutes, then means of longer stretches.
    const std::int64_t step = std::max<std::int64_t>(1, (last + 600) / 600);
    ChartLine line{.label = name_of(run, p.index),
                   .tone = std::string{tones[p.index % tones.size()]},
                   .dash = dashes[p.index % dashes.size()],
                   .points = {},
                   .scattered = {}};
    for (std::int64_t from = 0; from <= last; from += step) {
      double sum = 0;
      for (auto s = good.lower_bound(from); s != good.end() && s->first < from + step; ++s) sum += s->second;
      line.points.push_back(
          {static_cast<double>(from) + static_cast<double>(step) / 2, sum / static_cast<double>(step), ""});
    }
    chart.lines.push_back(std::move(line));
  }
  for (const Incident& i : run.failover->incidents) {
    chart.bands.push_back({to_seconds(i.start), to_seconds(i.end.value_or(run.duration)),
                           fmt::format("{} {}", i.provider, i.cause), "hold"});
  }
  return chart;
}

}  // namespace

void put_providers(Html& html, const RunSummary& run, const std::string& prefix) {
  if (!run.failover) return;
  const Failover& f = *run.failover;
  open_section(html, prefix + "providers", "Targets and failover");
  html.raw("<p class=\"lead\">").text(f.sentence).raw("</p>\n");
  html.raw("<p>")
      .text(fmt::format(
          "Targets were taken out and used again {} times, {:.2g} times a minute for each issuer "
          "thread. {} sessions changed their target; {} tokens of history were computed again for "
          "it, {} prompt tokens were sent again to another target after a failure.",
          count_text(f.changes), f.changes_per_minute, count_text(f.sessions_moved),
          count_text(f.reprefilled_tokens), count_text(f.resent_tokens)))
      .raw("</p>\n");
  const std::array<Chart, 1> charts{providers_chart(run, prefix + "c-providers")};
  put_table(html, providers_table(run));
  put_figure(html, charts, "Shaded: from the fault, or the first failure, until the target was whole again.",
             incidents_table(run));
  close_section(html);
}

}  // namespace dsbench::results::report
