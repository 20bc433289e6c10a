#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "results/report/curves.h"
#include "results/report/escape.h"
#include "results/report/html_parts.h"

namespace dsbench::results::report {
namespace {

std::string share_bounds(const StageSummary& s) {
  return fmt::format("{} … {}", share_text(s.good_share_lower), share_text(s.good_share_upper));
}

bool was_measured(const StageSummary& s) {
  return s.kind != StageKind::warm_up;
}

// A bar behind a share, with the number on it.
Cell bar_cell(double share, const std::string& words) {
  return Cell::markup(fmt::format("<span class=\"bar\"><span style=\"width:{:.1f}%\"></span></span>{}",
                                  std::clamp(std::isfinite(share) ? share : 0.0, 0.0, 1.0) * 100,
                                  xml_escape(words)));
}

}  // namespace

Table capacity_table(const RunSummary& run) {
  Table t{.caption = "Rates of each stage",
          .head = {"stage", "kind", "offered", "delivered", "completed", "good", "good share", "95 % bounds",
                   "verdict"},
          .rows = {}};
  for (const StageSummary& s : run.stages) {
    if (!was_measured(s)) continue;
    t.rows.push_back({s.name, std::string(to_word(s.kind)), format_rate(s.offered),
                      format_rate(s.delivered_rate), format_rate(s.completed_rate), format_rate(s.good_rate),
                      share_text(s.good_share), share_bounds(s), mark_cell(step_mark(s))});
  }
  return t;
}

Table latency_table(const RunSummary& run) {
  Table t{.caption = "Latency percentiles of each stage",
          .head = {"stage", "offered", "TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99", "E2E p50", "E2E p99"},
          .rows = {}};
  for (const StageSummary& s : run.stages) {
    if (!was_measured(s)) continue;
    t.rows.push_back({s.name, format_rate(s.offered), percentile_text(s.ttft, 0.5),
                      percentile_text(s.ttft, 0.99), percentile_text(s.tpot, 0.5),
                      percentile_text(s.tpot, 0.99), percentile_text(s.e2e, 0.5),
                      percentile_text(s.e2e, 0.99)});
  }
  return t;
}

Table recovery_table(const RunSummary& run) {
  Table t{
      .caption = "Stages from the hold to the recovery",
      .head = {"stage", "kind", "offered", "good", "good share", "attempts per request", "most in flight"},
      .rows = {}};
  for (const StageSummary* s : falling(run)) {
    std::int64_t most = 0;
    for (const TimelinePoint& p : run.timeline) {
      if (p.stage == static_cast<std::int32_t>(s->index)) most = std::max(most, p.in_flight);
    }
    t.rows.push_back({s->name, std::string(to_word(s->kind)), format_rate(s->offered),
                      format_rate(s->good_rate), share_text(s->good_share), times_text(amplification(*s)),
                      count_text(most)});
  }
  return t;
}

Table error_table(const RunSummary& run) {
  Table t{.caption = "Failed attempts by class and stage", .head = {"stage", "attempts"}, .rows = {}};
  std::vector<std::size_t> seen;
  for (std::size_t r = 1; r < static_cast<std::size_t>(reason_count); ++r) {
    if (std::any_of(run.stages.begin(), run.stages.end(),
                    [r](const StageSummary& s) { return s.attempts_by_reason[r] > 0; }))
      seen.push_back(r);
  }
  if (seen.empty()) return t;
  for (const std::size_t r : seen) t.head.emplace_back(to_word(static_cast<Reason>(r)));
  t.head.emplace_back("failed, share of attempts");
  for (const StageSummary& s : run.stages) {
    std::vector<Cell> row{s.name, count_text(s.attempts)};
    std::int64_t failed = 0;
    for (const std::size_t r : seen) {
      const std::int64_t n = s.attempts_by_reason[r];
      if (!ended_well(static_cast<Reason>(r))) failed += n;
      if (n == 0 || s.attempts <= 0) {
        row.emplace_back(n == 0 ? std::string("·") : count_text(n));
        continue;
      }
      // Four depths of shade; the number is always there.
      const double share = static_cast<double>(n) / static_cast<double>(s.attempts);
      const int depth = share < 0.01 ? 1 : share < 0.1 ? 2 : share < 0.4 ? 3 : 4;
      row.push_back(Cell::markup(fmt::format("<span class=\"heat h{}\">{}</span>", depth, count_text(n))));
    }
    row.push_back(part_text(failed, s.attempts));
    t.rows.push_back(std::move(row));
  }
  return t;
}

Table health_table(const RunSummary& run) {
  Table t{.caption = "Send lag and delivery of each stage",
          .head = {"stage", "delivered of offered", "send lag p50", "send lag p99", "send lag max",
                   "read lag p99", "E2E p50, from due", "E2E p50, from sent", "fit to measure"},
          .rows = {}};
  for (const StageSummary& s : run.stages) {
    std::string causes;
    for (const std::string& cause : s.invalid_causes) causes += (causes.empty() ? "" : "; ") + cause;
    t.rows.push_back(
        {s.name, part_text(s.delivered, s.requests), percentile_text(s.send_lag, 0.5),
         percentile_text(s.send_lag, 0.99), s.send_lag.count > 0 ? format_duration(s.send_lag.max) : "n/a",
         percentile_text(s.read_lag, 0.99), percentile_text(s.e2e, 0.5), percentile_text(s.e2e_service, 0.5),
         causes.empty() ? mark_cell({"●", "yes", "pass"}) : "△ no: " + causes});
  }
  return t;
}

Table waste_table(const RunSummary& run) {
  const bool ledger = std::any_of(run.stages.begin(), run.stages.end(),
                                  [](const StageSummary& s) { return s.ledger.has_value(); });
  Table t{.caption = "Retries and wasted work of each stage",
          .head = {"stage", "requests", "attempts", "retry amplification"},
          .rows = {}};
  if (ledger) t.head.insert(t.head.end(), {"tokens computed", "recompute tax", "for nobody", "preemptions"});
  double most = 1;
  for (const StageSummary& s : run.stages) most = std::max(most, amplification(s));
  for (const StageSummary& s : run.stages) {
    std::vector<Cell> row{
        s.name, count_text(s.requests), count_text(s.attempts),
        bar_cell((amplification(s) - 1) / std::max(1.0, most - 1), times_text(amplification(s)))};
    if (s.ledger) {
      const auto computed = static_cast<double>(std::max<std::int64_t>(1, s.ledger->computed_tokens));
      row.push_back(count_text(s.ledger->computed_tokens));
      row.push_back(bar_cell(static_cast<double>(s.ledger->recomputed_tokens) / computed,
                             part_text(s.ledger->recomputed_tokens, s.ledger->computed_tokens)));
      row.push_back(bar_cell(static_cast<double>(s.ledger->abandoned_tokens) / computed,
                             part_text(s.ledger->abandoned_tokens, s.ledger->computed_tokens)));
      row.push_back(count_text(s.ledger->preemptions));
    } else if (ledger) {
      row.insert(row.end(), 4, Cell("n/a"));
    }
    t.rows.push_back(std::move(row));
  }
  return t;
}

Table stage_table(const RunSummary& run) {
  Table t{
      .caption = "All stages",
      .head = {"stage",          "kind",      "from",     "measured",          "planned",     "requests",
               "delivered",      "completed", "good",     "good share",        "95 % bounds", "verdict",
               "attempts",       "TTFT p50",  "TTFT p90", "TTFT p99",          "TPOT p50",    "TPOT p99",
               "ITL p99",        "E2E p50",   "E2E p99",  "E2E p99 from sent", "NTPOT p50",   "send lag p99",
               "output tokens/s"},
      .rows = {}};
  for (const StageSummary& s : run.stages) {
    const double seconds = to_seconds(s.end - s.measure_from);
    t.rows.push_back(
        {s.name,
         std::string(to_word(s.kind)),
         tick_label(to_seconds(s.start), AxisUnit::clock, 1),
         format_duration(s.end - s.measure_from),
         format_rate(s.planned),
         count_text(s.requests),
         count_text(s.delivered),
         count_text(s.completed),
         count_text(s.good),
         share_text(s.good_share),
         share_bounds(s),
         mark_cell(step_mark(s)),
         count_text(s.attempts),
         percentile_text(s.ttft, 0.5),
         percentile_text(s.ttft, 0.9),
         percentile_text(s.ttft, 0.99),
         percentile_text(s.tpot, 0.5),
         percentile_text(s.tpot, 0.99),
         percentile_text(s.itl, 0.99),
         percentile_text(s.e2e, 0.5),
         percentile_text(s.e2e, 0.99),
         percentile_text(s.e2e_service, 0.99),
         percentile_text(s.ntpot, 0.5),
         percentile_text(s.send_lag, 0.99),
         seconds > 0 ? count_text(std::llround(static_cast<double>(s.output_tokens) / seconds)) : "n/a"});
  }
  return t;
}

Table timeline_table(const RunSummary& run) {
  const BinnedTimeline binned = bin_timeline(run, 60);
  Table t{.caption = fmt::format("The run in bins of {} s", binned.bin),
          .head = {"time", "offered /s", "sent /s", "completed /s", "good /s", "failed /s", "in flight",
                   "TTFT p50", "TTFT max", "send lag max"},
          .rows = {}};
  const auto latency = [](const std::optional<double>& s) {
    return s ? format_duration(from_seconds(*s)) : std::string("n/a");
  };
  const auto rate = [](double v) { return fmt::format("{:.1f}", v); };
  for (const TimelineBin& b : binned.bins) {
    t.rows.push_back({tick_label(b.seconds, AxisUnit::clock, 1), rate(b.offered), rate(b.sent),
                      rate(b.completed), rate(b.good), rate(b.failed), fmt::format("{:.0f}", b.in_flight),
                      latency(b.ttft_p50), latency(b.ttft_max),
                      format_duration(from_seconds(b.send_lag_max))});
  }
  return t;
}

}  // namespace dsbench::results::report
