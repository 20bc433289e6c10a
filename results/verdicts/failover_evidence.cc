#include "results/verdicts/failover_evidence.h"

#include <sqlite3.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "results/sqlite_handles.h"
#include "results/verdicts/failover.h"

namespace dsbench::results {
namespace {

using sqlite::Database;
using sqlite::Statement;

// Failures that speak against a provider, as the router counts them (loadgen/router.h, outcome_of).
constexpr const char* failed_sql =
    "reason not in "
    "('ok','cancelled','http_4xx','http_other','abandoned','superseded','breaker_open','unsent',"
    "'interrupted')";

class Records {
 public:
  static Result<Records> open(const std::filesystem::path& path) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    Records records;
    records.path_ = path.string();
    records.db_.reset(raw);
    if (code != SQLITE_OK) return records.error();
    (void)sqlite3_exec(raw, "pragma temp_store=memory", nullptr, nullptr, nullptr);
    return records;
  }

  // Calls `row(number of column → integer)` for every row. A failure is remembered, and told by status().
  template <class F>
  void each(const std::string& sql, const std::vector<std::int64_t>& parameters, F&& row) {
    if (error_) return;
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
      error_ = error().value();
      return;
    }
    const Statement statement{raw};
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      sqlite3_bind_int64(raw, static_cast<int>(i) + 1, parameters[i]);
    }
    for (;;) {
      const int code = sqlite3_step(raw);
      if (code == SQLITE_DONE) return;
      if (code != SQLITE_ROW) {
        error_ = error().value();
        return;
      }
      if (!row(Row{raw})) return;
    }
  }
  [[nodiscard]] Result<void> status() const {
    if (error_) return tl::unexpected(*error_);
    return {};
  }

  class Row {
   public:
    explicit Row(sqlite3_stmt* statement) : statement_{statement} {}
    [[nodiscard]] std::int64_t operator[](int column) const {
      return sqlite3_column_int64(statement_, column);
    }
    [[nodiscard]] std::string_view text(int column) const {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
      return text != nullptr ? text : "";
    }

   private:
    sqlite3_stmt* statement_;
  };

 private:
  [[nodiscard]] tl::unexpected<Error> error() const {
    return fail(ErrorKind::io, "cannot read '{}' to judge its providers: {}", path_,
                sqlite3_errmsg(db_.get()));
  }
  std::string path_;
  Database db_;
  std::optional<Error> error_;
};

template <class Enum>
std::optional<Enum> enum_of(std::string_view word, int count) {
  for (int i = 0; i < count; ++i) {
    if (to_word(static_cast<Enum>(i)) == word) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

void count_providers(Records& db, std::vector<ProviderSummary>& providers) {
  const auto at = [&](std::int64_t index) -> ProviderSummary* {
    return index >= 0 && index < static_cast<std::int64_t>(providers.size())
               ? &providers[static_cast<std::size_t>(index)]
               : nullptr;
  };
  // What was never sent (all breakers were open, no port) went to nobody.
  db.each(
      "select provider, reason, count(*), sum(prompt_tokens) from attempts where sent_ns is not null group "
      "by "
      "1, 2",
      {}, [&](const Records::Row& r) {
        if (ProviderSummary* p = at(r[0])) {
          p->attempts += r[2];
          p->prompt_tokens += r[3];
          if (const auto reason = enum_of<Reason>(r.text(1), reason_count)) {
            p->attempts_by_reason[static_cast<std::size_t>(*reason)] += r[2];
          }
        }
        return true;
      });
  db.each("select provider, count(*), sum(good) from requests group by 1", {}, [&](const Records::Row& r) {
    if (ProviderSummary* p = at(r[0])) {
      p->requests += r[1];
      p->good += r[2];
    }
    return true;
  });
  db.each("select provider, count(*) from decisions where change = 'ejected' group by 1", {},
          [&](const Records::Row& r) {
            if (ProviderSummary* p = at(r[0])) p->ejections += r[1];
            return true;
          });
  std::int64_t request = -1;
  std::uint64_t tried = 0;  // providers, as bits
  db.each(
      "select request, provider, prompt_tokens from attempts where sent_ns is not null and request in "
      "(select "
      "request from attempts where attempt > 0) order by request, attempt",
      {}, [&](const Records::Row& r) {
        if (r[0] != request) tried = 0;
        request = r[0];
        const std::uint64_t own = std::uint64_t{1} << (r[1] & 63);
        if (ProviderSummary* p = at(r[1]); p != nullptr && (tried & ~own) != 0 && (tried & own) == 0) {
          p->resent_tokens += r[2];
        }
        tried |= own;
        return true;
      });
}

void find_moves(Records& db, FailoverEvidence& evidence, std::vector<ProviderSummary>& providers) {
  const std::string session = fmt::format("(request & {})", (std::int64_t{1} << turn_shift) - 1);
  std::int64_t last_session = -1, last_provider = -1;
  db.each(
      fmt::format("select {0}, provider, prompt_tokens, due_ns from requests where {0} in (select {0} from "
                  "requests where turn > 0) order by {0}, turn",
                  session),
      {}, [&](const Records::Row& r) {
        if (r[0] == last_session && r[1] != last_provider) {
          evidence.moves.push_back(
              {Nanos{r[3]}, static_cast<std::uint64_t>(r[0]), static_cast<std::uint16_t>(r[1]), r[2]});
          if (r[1] >= 0 && r[1] < static_cast<std::int64_t>(providers.size())) {
            providers[static_cast<std::size_t>(r[1])].reprefilled_tokens += r[2];
          }
        }
        last_session = r[0];
        last_provider = r[1];
        return true;
      });
}

std::vector<OutcomeCell> cells_by(Records& db, const char* column) {
  std::vector<OutcomeCell> cells;
  db.each(
      fmt::format("select {0} / {1}, count(*), sum(good) from requests where {0} >= 0 group by 1 order by 1",
                  column, outcome_cell.count()),
      {}, [&](const Records::Row& r) {
        cells.push_back({r[0], r[1], r[2]});
        return true;
      });
  return cells;
}

std::vector<ProviderSecond> seconds_of(Records& db) {
  std::map<std::pair<std::int64_t, std::int64_t>, ProviderSecond> seconds;
  const auto add = [&](const std::string& what, std::int64_t ProviderSecond::*field) {
    db.each(what, {}, [&, field](const Records::Row& r) {
      ProviderSecond& s = seconds[{r[0], r[1]}];
      s.second = r[0];
      s.provider = static_cast<std::uint16_t>(r[1]);
      s.*field += r[2];
      return true;
    });
  };
  add("select sent_ns / 1000000000, provider, count(*) from attempts where sent_ns >= 0 group by 1, 2",
      &ProviderSecond::sent);
  add("select done_ns / 1000000000, provider, sum(good) from requests where done_ns >= 0 group by 1, 2",
      &ProviderSecond::good);
  add(fmt::format("select done_ns / 1000000000, provider, count(*) from attempts where done_ns >= 0 and {} "
                  "group by 1, 2",
                  failed_sql),
      &ProviderSecond::failed);
  std::vector<ProviderSecond> all;
  all.reserve(seconds.size());
  for (const auto& [key, second] : seconds) all.push_back(second);
  return all;
}

}  // namespace

Result<void> judge_providers(const std::filesystem::path& path, std::vector<std::string> names,
                             std::vector<Fault> faults, Nanos objective, RunSummary& summary) {
  DSBENCH_TRY(Records db, Records::open(path));
  summary.providers.clear();
  for (std::size_t i = 0; i < names.size(); ++i) {
    ProviderSummary provider;
    provider.index = static_cast<std::uint16_t>(i);
    provider.name = names[i];
    summary.providers.push_back(std::move(provider));
  }
  count_providers(db, summary.providers);
  FailoverEvidence evidence;
  evidence.names = std::move(names);
  evidence.faults = faults;
  evidence.end = summary.duration;
  db.each("select count(distinct worker) from attempts", {}, [&](const Records::Row& r) {
    evidence.workers = static_cast<std::uint32_t>(std::max<std::int64_t>(1, r[0]));
    return true;
  });
  db.each("select at_ns, provider, worker, change from decisions order by at_ns, worker, rowid", {},
          [&](const Records::Row& r) {
            if (const auto change = enum_of<ProviderChange>(r.text(3), provider_change_count)) {
              evidence.decisions.push_back(
                  {Nanos{r[0]}, static_cast<std::uint16_t>(r[1]), static_cast<std::uint32_t>(r[2]), *change});
            }
            return true;
          });
  find_moves(db, evidence, summary.providers);
  evidence.by_due = cells_by(db, "due_ns");
  evidence.by_done = cells_by(db, "done_ns");
  evidence.first_failure = [&db](std::uint16_t provider, Nanos until) {
    Nanos first = until;
    db.each(fmt::format("select done_ns from attempts where provider = ?1 and done_ns <= ?2 and {} order by "
                        "done_ns desc",
                        failed_sql),
            {provider, until.count()}, [&](const Records::Row& r) {
              if (first - Nanos{r[0]} >= Nanos{1'000'000'000}) return false;
              first = Nanos{r[0]};
              return true;
            });
    return first;
  };
  evidence.losses = [&db](Nanos from, Nanos to) {
    FailoverEvidence::Losses losses;
    db.each(
        "select sum(reason not in ('ok', 'cancelled')), sum(reason in ('ok', 'cancelled') and good = 0) from "
        "requests where done_ns >= ?1 and "
        "due_ns < ?2",
        {from.count(), to.count()}, [&](const Records::Row& r) {
          losses = {r[0], r[1]};
          return true;
        });
    return losses;
  };
  Failover failover = judge_failover(evidence, objective);
  failover.seconds = seconds_of(db);
  for (const ProviderSummary& p : summary.providers) failover.resent_tokens += p.resent_tokens;
  DSBENCH_CHECK(db.status());
  summary.faults = std::move(faults);
  summary.failover = std::move(failover);
  return {};
}

}  // namespace dsbench::results
