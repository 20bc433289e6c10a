#include "results/report/breakdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "results/report/escape.h"
#include "results/report/words.h"

namespace dsbench::results::report {
namespace {

std::string share_or_unknown(const std::optional<double>& share) {
  return share ? share_text(*share) : "n/a";
}

std::vector<std::string> slice_cells(const RequestSlice& s) {
  return {count_text(s.requests),           s.requests > 0 ? share_text(s.good_share) : std::string("n/a"),
          count_text(s.attempts),           count_text(s.prompt_tokens),
          share_or_unknown(s.cached_share), count_text(s.output_tokens),
          percentile_text(s.ttft, 0.5),     percentile_text(s.ttft, 0.99),
          percentile_text(s.e2e, 0.5),      percentile_text(s.e2e, 0.99)};
}

std::vector<std::string> slice_head(const std::string& first) {
  return {first,        "requests", "good",     "attempts", "tokens in", "cached",
          "tokens out", "TTFT p50", "TTFT p99", "E2E p50",  "E2E p99"};
}

template <class Row>
void add_row(PlainTable& table, std::string first, const Row& cells) {
  std::vector<std::string> row{std::move(first)};
  row.insert(row.end(), cells.begin(), cells.end());
  table.rows.push_back(std::move(row));
}

PlainTable tenants(const RunSummary& run) {
  PlainTable t{"tenants", {slice_head("tenant")}};
  const bool thinks = std::any_of(run.tenants.begin(), run.tenants.end(), [](const TenantSummary& x) {
    return x.planned_reasoning_share || x.slice.reasoning_share;
  });
  if (thinks) t.rows.front().emplace_back("thinking");
  for (const TenantSummary& x : run.tenants) {
    auto cells = slice_cells(x.slice);
    if (thinks) {
      // What the server says, or else what the workload means it to be.
      cells.push_back(x.slice.reasoning_share     ? share_text(*x.slice.reasoning_share)
                      : x.planned_reasoning_share ? share_text(*x.planned_reasoning_share) + " (planned)"
                                                  : "n/a");
    }
    add_row(t, x.name, cells);
  }
  return t;
}

PlainTable turns(const RunSummary& run) {
  PlainTable t{"turns of sessions, from 0", {slice_head("turn")}};
  for (const TurnSummary& x : run.turns)
    add_row(t, x.from == x.to ? fmt::format("{}", x.from) : fmt::format("{} to {}", x.from, x.to),
            slice_cells(x.slice));
  return t;
}

PlainTable chain(const RunSummary& run) {
  PlainTable t{"from users to compute",
               {{"stage", "users", "requests", "per user", "attempts", "per request", "tokens", "per attempt",
                 "computed", "per token"}}};
  for (const Amplification& a : run.amplification) {
    t.rows.push_back({a.name, count_text(a.users), count_text(a.requests), times_text(a.requests_per_user),
                      count_text(a.attempts), times_text(a.attempts_per_request), count_text(a.tokens),
                      fmt::format("{:.0f}", a.tokens_per_attempt),
                      a.computed_tokens ? count_text(*a.computed_tokens) : "n/a",
                      a.computed_per_token ? times_text(*a.computed_per_token) : "n/a"});
  }
  return t;
}

PlainTable connections(const RunSummary& run) {
  PlainTable t{"connections, and what an attempt waits for before its first byte",
               {{"stage", "attempts", "connections opened", "DNS p50", "TCP p50", "TCP p99", "TLS p50",
                 "first byte p50", "first byte p99"}}};
  for (const PhaseSummary& p : run.phases) {
    t.rows.push_back({p.name, count_text(p.attempts), count_text(p.connections), percentile_text(p.dns, 0.5),
                      percentile_text(p.connect, 0.5), percentile_text(p.connect, 0.99),
                      percentile_text(p.tls, 0.5), percentile_text(p.first_byte, 0.5),
                      percentile_text(p.first_byte, 0.99)});
  }
  return t;
}

}  // namespace

std::vector<PlainTable> breakdown_tables(const RunSummary& run) {
  std::vector<PlainTable> tables;
  if (!run.tenants.empty()) tables.push_back(tenants(run));
  if (!run.turns.empty()) tables.push_back(turns(run));
  if (!run.amplification.empty()) tables.push_back(chain(run));
  if (!run.phases.empty()) tables.push_back(connections(run));
  return tables;
}

std::string fairness_sentence(const RunSummary& run) {
  if (!run.fairness) return "";
  // Of those who came: a class of which nobody was there fares neither well nor ill.
  const auto there = std::count_if(run.tenants.begin(), run.tenants.end(),
                                   [](const TenantSummary& t) { return t.slice.requests > 0; });
  return fmt::format(
      "{:.3f}, Jain's index of the good shares of {} tenants (1: all fare alike; {:.2f}: one alone is "
      "served)",
      *run.fairness, there, 1 / static_cast<double>(std::max<std::ptrdiff_t>(there, 1)));
}

void put_breakdown(Html& html, const RunSummary& run) {
  if (const std::string fairness = fairness_sentence(run); !fairness.empty())
    html.raw("<p>Fairness: ").text(fairness).raw(".</p>\n");
  for (const PlainTable& plain : breakdown_tables(run)) {
    Table table{.caption = plain.title, .head = plain.rows.front(), .rows = {}};
    for (std::size_t i = 1; i < plain.rows.size(); ++i)
      table.rows.emplace_back(plain.rows[i].begin(), plain.rows[i].end());
    put_table(html, table);
  }
}

std::string markdown_breakdown(const RunSummary& run) {
  std::string out;
  if (const std::string fairness = fairness_sentence(run); !fairness.empty())
    fmt::format_to(std::back_inserter(out), "\n- Fairness: {}\n", markdown_escape(fairness));
  for (const PlainTable& table : breakdown_tables(run)) {
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      out += i == 0 ? "\n|" : "|";
      for (const std::string& cell : table.rows[i]) out += " " + markdown_escape(cell) + " |";
      out += "\n";
      if (i > 0) continue;
      out += "|---|";
      for (std::size_t c = 1; c < table.rows[i].size(); ++c) out += "--:|";
      out += "\n";
    }
  }
  return out;
}

}  // namespace dsbench::results::report
