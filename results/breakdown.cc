#include "results/breakdown.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <bit>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "results/histogram.h"
#include "results/latency_summary.h"
#include "results/record.h"
#include "results/sqlite_handles.h"

namespace dsbench::results {
namespace {

using sqlite::Database;
using sqlite::Statement;

// One connection that only reads.
class Reader {
 public:
  static Result<Reader> open(const std::filesystem::path& path) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    Reader reader{raw, path};
    if (code != SQLITE_OK) return reader.error("open");
    return reader;
  }
  // Calls `f` with every row of the answer.
  template <class F>
  Result<void> each(const std::string& sql, F&& f) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) return error("read");
    const Statement statement{raw};
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(raw)) == SQLITE_ROW) f(raw);
    if (code != SQLITE_DONE) return error("read");
    return {};
  }

 private:
  Reader(sqlite3* db, const std::filesystem::path& path) : db_{db}, path_{path.string()} {}
  [[nodiscard]] tl::unexpected<Error> error(std::string_view doing) const {
    const int code = db_ ? sqlite3_extended_errcode(db_.get()) : SQLITE_NOMEM;
    const auto kind = code == SQLITE_NOTADB || code == SQLITE_ERROR ? ErrorKind::usage : ErrorKind::io;
    return fail(kind, "cannot {} '{}' as dsbench.records/1: {} (SQLite code {})", doing, path_,
                db_ ? sqlite3_errmsg(db_.get()) : "out of memory", code);
  }
  Database db_;
  std::string path_;
};

std::int64_t whole(sqlite3_stmt* row, int column) {
  return sqlite3_column_int64(row, column);
}
bool is_null(sqlite3_stmt* row, int column) {
  return sqlite3_column_type(row, column) == SQLITE_NULL;
}
std::string text(sqlite3_stmt* row, int column) {
  const auto* bytes = sqlite3_column_text(row, column);
  return bytes == nullptr ? std::string{} : reinterpret_cast<const char*>(bytes);
}
std::optional<Nanos> time(sqlite3_stmt* row, int column) {
  if (is_null(row, column)) return std::nullopt;
  return Nanos{whole(row, column)};
}

struct Gathered {
  RequestSlice slice;
  Histogram ttft, e2e;
  std::int64_t cached = 0, of_prompt = 0;     // where the server says how much was cached
  std::int64_t reasoning = 0, of_output = 0;  // where it says how much was thought

  [[nodiscard]] RequestSlice finished() const {
    RequestSlice s = slice;
    const auto share = [](std::int64_t part, std::int64_t of) {
      return static_cast<double>(part) / static_cast<double>(of);
    };
    if (s.requests > 0) s.good_share = share(s.good, s.requests);
    if (of_prompt > 0) s.cached_share = share(cached, of_prompt);
    if (of_output > 0) s.reasoning_share = share(reasoning, of_output);
    s.ttft = summarize_latency(ttft);
    s.e2e = summarize_latency(e2e);
    return s;
  }
};

// 0, 1, 2, 3, 4 to 7, 8 to 15 …
std::uint32_t bucket_of(std::uint32_t turn) {
  return turn < 4 ? turn : static_cast<std::uint32_t>(std::bit_width(turn)) + 1;
}
TurnSummary turns_of(std::uint32_t bucket) {
  TurnSummary t;
  t.from = bucket < 4 ? bucket : 1U << (bucket - 2);
  t.to = bucket < 4 ? bucket : 2 * t.from - 1;
  return t;
}

// Slices by two keys at once, in one pass.
struct Slices {
  std::map<std::int64_t, Gathered> tenants, turns;
  template <class F>
  void both(std::int64_t tenant, std::int64_t turn, F&& f) {
    f(tenants[tenant]);
    f(turns[bucket_of(static_cast<std::uint32_t>(turn))]);
  }
};

// A request is measured when it is due in its stage's measured window.
constexpr std::string_view measured =
    "s.stage = r.stage and r.due_ns >= s.measure_from_ns and (s.end_ns is null or r.due_ns < s.end_ns)";

Result<Slices> read_slices(Reader& reader) {
  Slices slices;
  DSBENCH_CHECK(reader.each(
      fmt::format("select r.tenant, r.turn, r.attempts, r.due_ns, r.first_token_ns, r.last_token_ns, "
                  "r.prompt_tokens, r.output_tokens, r.reason, r.good from requests r join stages s on {}",
                  measured),
      [&](sqlite3_stmt* row) {
        const std::string reason = text(row, 8);
        const bool well = reason == to_word(Reason::ok) || reason == to_word(Reason::cancelled);
        const Nanos due{whole(row, 3)};
        const auto first = time(row, 4), last = time(row, 5);
        slices.both(whole(row, 0), whole(row, 1), [&](Gathered& g) {
          ++g.slice.requests;
          g.slice.attempts += whole(row, 2);
          g.slice.good += whole(row, 9);
          g.slice.prompt_tokens += whole(row, 6);
          g.slice.output_tokens += whole(row, 7);
          if (!well) {
            g.ttft.record_infinite();
            g.e2e.record_infinite();
            return;
          }
          ++g.slice.completed;
          if (first) g.ttft.record(*first - due);
          if (last) g.e2e.record(*last - due);
        });
      }));
  // What the server says of its prefix cache and of thinking. The first attempt's due tells whether it is
  // measured; of a retry, near enough.
  DSBENCH_CHECK(reader.each(
      fmt::format("select r.tenant, r.turn, sum(r.cached_prompt_tokens), "
                  "sum(case when r.cached_prompt_tokens is not null then r.prompt_tokens else 0 end), "
                  "sum(r.reasoning_tokens), "
                  "sum(case when r.reasoning_tokens is not null then r.output_tokens else 0 end) "
                  "from attempts r join stages s on {} "
                  "where r.cached_prompt_tokens is not null or r.reasoning_tokens is not null "
                  "group by r.tenant, r.turn",
                  measured),
      [&](sqlite3_stmt* row) {
        slices.both(whole(row, 0), whole(row, 1), [&](Gathered& g) {
          g.cached += whole(row, 2);
          g.of_prompt += whole(row, 3);
          g.reasoning += whole(row, 4);
          g.of_output += whole(row, 5);
        });
      }));
  return slices;
}

Result<std::vector<TenantSummary>> read_tenants(Reader& reader, const Slo& of_run) {
  std::vector<TenantSummary> tenants;
  DSBENCH_CHECK(reader.each(
      "select name, slo_ttft_ns, slo_tpot_ns, slo_e2e_ns, reasoning_share from tenants order by tenant",
      [&](sqlite3_stmt* row) {
        TenantSummary t;
        t.name = text(row, 0);
        t.slo = {time(row, 1), time(row, 2), time(row, 3)};
        if (const double share = sqlite3_column_double(row, 4); share > 0) t.planned_reasoning_share = share;
        tenants.push_back(std::move(t));
      }));
  if (tenants.empty()) tenants.push_back({"all", of_run, std::nullopt, {}});
  return tenants;
}

Result<void> add_amplification(Reader& reader, bool has_sessions, RunSummary& run) {
  std::map<std::int64_t, Amplification> by_stage;
  const std::string users =
      has_sessions ? fmt::format("count(distinct request & {})", (std::int64_t{1} << turn_shift) - 1)
                   : "count(*)";
  DSBENCH_CHECK(reader.each(fmt::format("select stage, {}, count(*) from requests group by stage", users),
                            [&](sqlite3_stmt* row) {
                              Amplification& a = by_stage[whole(row, 0)];
                              a.users = whole(row, 1);
                              a.requests = whole(row, 2);
                            }));
  DSBENCH_CHECK(
      reader.each("select stage, count(*), sum(prompt_tokens + output_tokens) from attempts group by stage",
                  [&](sqlite3_stmt* row) {
                    Amplification& a = by_stage[whole(row, 0)];
                    a.attempts = whole(row, 1);
                    a.tokens = whole(row, 2);
                  }));
  for (const StageSummary& stage : run.stages) {
    const auto found = by_stage.find(stage.index);
    if (found == by_stage.end()) continue;
    Amplification& a = found->second;
    const auto ratio = [](std::int64_t part, std::int64_t of) {
      return of > 0 ? static_cast<double>(part) / static_cast<double>(of) : 0;
    };
    a.stage = stage.index;
    a.name = stage.name;
    a.requests_per_user = ratio(a.requests, a.users);
    a.attempts_per_request = ratio(a.attempts, a.requests);
    a.tokens_per_attempt = ratio(a.tokens, a.attempts);
    if (stage.ledger) {
      a.computed_tokens = stage.ledger->computed_tokens;
      if (a.tokens > 0) a.computed_per_token = ratio(stage.ledger->computed_tokens, a.tokens);
    }
    run.amplification.push_back(a);
  }
  return {};
}

// What the wire tells of its connections, stage by stage; nothing where it tells none (virtual time).
Result<void> add_phases(Reader& reader, RunSummary& run) {
  struct Found {
    PhaseSummary phases;
    Histogram dns, connect, tls, first_byte;
  };
  std::map<std::int64_t, Found> by_stage;
  DSBENCH_CHECK(reader.each(
      "select stage, dns_ns, connect_ns, tls_ns, first_byte_ns - sent_ns from attempts "
      "where connect_ns is not null and sent_ns is not null",
      [&](sqlite3_stmt* row) {
        Found& f = by_stage[whole(row, 0)];
        const auto dns = time(row, 1), connect = time(row, 2), tls = time(row, 3), first = time(row, 4);
        ++f.phases.attempts;
        if (*connect > Nanos{0}) {
          ++f.phases.connections;
          f.connect.record(*connect);
          if (dns) f.dns.record(*dns);
          if (tls) f.tls.record(*tls);
        }
        if (first) f.first_byte.record(*first - *connect - dns.value_or(Nanos{0}) - tls.value_or(Nanos{0}));
      }));
  for (const StageSummary& stage : run.stages) {
    const auto found = by_stage.find(stage.index);
    if (found == by_stage.end()) continue;
    const Found& f = found->second;
    PhaseSummary& p = run.phases.emplace_back(f.phases);
    p.stage = stage.index;
    p.name = stage.name;
    p.dns = summarize_latency(f.dns);
    p.connect = summarize_latency(f.connect);
    p.tls = summarize_latency(f.tls);
    p.first_byte = summarize_latency(f.first_byte);
  }
  return {};
}

// Calibration stays as it is: it was measured before the run.
Result<void> add_token_counts(Reader& reader, RunSummary& run) {
  TokenCounts& t = run.token_counts;
  return reader.each(
      "select sum(p), sum(1 - p), sum(token_source = 'usage'), sum(token_source = 'chunks'), "
      "sum(token_source = 'retokenised'), "
      "1.0 * sum(p * prompt_tokens) / nullif(sum(p * prompt_tokens_asked), 0) - 1, "
      "avg(case when p then e end), max(case when p then e end) from "
      "(select prompt_token_source = 'usage' as p, token_source, prompt_tokens, prompt_tokens_asked, "
      "abs(prompt_tokens - prompt_tokens_asked) * 1.0 / max(prompt_tokens_asked, 1) as e "
      "from attempts where reason = 'ok') "
      "union all select sum(images), sum(image_bytes), 0, 0, 0, null, null, null from attempts "
      "where sent_ns is not null",
      [&, first = true](sqlite3_stmt* row) mutable {
        const auto figure = [row](int column) {
          return is_null(row, column) ? std::optional<double>{} : sqlite3_column_double(row, column);
        };
        if (!std::exchange(first, false)) {
          t.images = whole(row, 0);
          t.image_bytes = whole(row, 1);
          return;
        }
        t.prompts_by_usage = whole(row, 0);
        t.prompts_as_asked = whole(row, 1);
        t.outputs_by_usage = whole(row, 2);
        t.outputs_by_chunks = whole(row, 3);
        t.outputs_retokenised = whole(row, 4);
        t.prompt_bias = figure(5);
        t.prompt_mean_error = figure(6);
        t.prompt_largest_error = figure(7);
      });
}

}  // namespace

std::optional<double> jain_index(std::span<const double> figures) {
  double sum = 0, squares = 0;
  for (const double x : figures) {
    sum += x;
    squares += x * x;
  }
  if (!(squares > 0)) return std::nullopt;
  return sum * sum / (static_cast<double>(figures.size()) * squares);
}

Result<void> add_breakdown(const std::filesystem::path& records, RunSummary& run) {
  run.tenants.clear();
  run.turns.clear();
  run.amplification.clear();
  run.fairness.reset();
  run.phases.clear();
  DSBENCH_TRY(Reader reader, Reader::open(records));
  DSBENCH_TRY(auto tenants, read_tenants(reader, run.slo));
  bool has_sessions = false;
  DSBENCH_CHECK(reader.each("select exists(select 1 from requests where turn > 0)",
                            [&](sqlite3_stmt* row) { has_sessions = whole(row, 0) != 0; }));
  if (tenants.size() > 1 || has_sessions) {
    DSBENCH_TRY(const Slices slices, read_slices(reader));
    if (tenants.size() > 1) {
      std::vector<double> shares;
      for (const auto& [index, gathered] : slices.tenants) {
        while (tenants.size() <= static_cast<std::size_t>(index))
          tenants.push_back({fmt::format("class {}", tenants.size()), run.slo, std::nullopt, {}});
        RequestSlice& slice = tenants[static_cast<std::size_t>(index)].slice;
        slice = gathered.finished();
        shares.push_back(slice.good_share);
      }
      run.tenants = std::move(tenants);
      if (shares.size() > 1) run.fairness = jain_index(shares);
    }
    if (has_sessions) {
      for (const auto& [bucket, gathered] : slices.turns) {
        run.turns.push_back(turns_of(static_cast<std::uint32_t>(bucket)));
        run.turns.back().slice = gathered.finished();
      }
    }
  }
  DSBENCH_CHECK(add_amplification(reader, has_sessions, run));
  DSBENCH_CHECK(add_phases(reader, run));
  return add_token_counts(reader, run);
}

}  // namespace dsbench::results
