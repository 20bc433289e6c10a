#include "results/report/workers.h"

#include <fmt/format.h>

#include "core/text.h"
#include "results/report/escape.h"
#include "results/report/words.h"

namespace dsbench::results::report {
namespace {

std::string time_text(const std::optional<Nanos>& t) {
  return t ? format_duration(*t) : "n/a";
}

std::string offset_text(const WorkerShare& share) {
  if (!share.clock_offset || !share.round_trip) return "n/a";
  const Nanos offset = *share.clock_offset;
  return fmt::format("{}{} ± {}", offset < Nanos{0} ? "-" : "",
                     format_duration(offset < Nanos{0} ? -offset : offset),
                     format_duration(*share.round_trip / 2));
}

}  // namespace

PlainTable worker_table(const RunSummary& run) {
  PlainTable t{"workers",
               {{"worker", "late", "clock offset", "requests", "attempts", "completed", "good",
                 "send lag p99", "send lag max", "ended"}}};
  std::size_t at = 0;
  for (std::int64_t i = 0; i < run.workers_expected; ++i) {
    const std::string name = fmt::format("{} of {}", i, run.workers_expected);
    if (at == run.workers.size() || run.workers[at].share.index != i) {
      t.rows.push_back({name, "", "", "0", "0", "0", "0", "", "", "missing"});
      continue;
    }
    const WorkerSummary& w = run.workers[at++];
    t.rows.push_back({name, time_text(w.share.lateness), offset_text(w.share), count_text(w.requests),
                      count_text(w.attempts), count_text(w.completed), count_text(w.good),
                      time_text(w.send_lag_p99), time_text(w.send_lag_max),
                      w.valid ? w.ended : w.ended + ", invalid"});
  }
  return t;
}

std::string worker_sentence(const RunSummary& run) {
  if (run.workers.empty()) return "";
  const WorkerShare& first = run.workers.front().share;
  return fmt::format("United from {} of {} workers, {}.", run.workers.size(), run.workers_expected,
                     first.start == "rendezvous"   ? "which met and agreed on the start"
                     : first.start == "--start-at" ? "which were told when to begin"
                                                   : "which agreed on no start");
}

void put_workers(Html& html, const RunSummary& run) {
  const PlainTable plain = worker_table(run);
  if (plain.rows.size() < 2) return;
  html.raw("<p>").text(worker_sentence(run)).raw("</p>\n");
  Table table{.caption = "Workers: how each began, and what it sent", .head = plain.rows.front(), .rows = {}};
  for (std::size_t i = 1; i < plain.rows.size(); ++i)
    table.rows.emplace_back(plain.rows[i].begin(), plain.rows[i].end());
  put_table(html, table);
}

std::string markdown_workers(const RunSummary& run) {
  const PlainTable table = worker_table(run);
  if (table.rows.size() < 2) return "";
  std::string out = "\n" + worker_sentence(run) + "\n";
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    out += i == 0 ? "\n|" : "|";
    for (const std::string& cell : table.rows[i]) out += " " + markdown_escape(cell) + " |";
    out += "\n";
    if (i == 0) out += "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
  }
  return out;
}

}  // namespace dsbench::results::report
