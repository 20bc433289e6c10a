#include "results/record_replay.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "results/gap_codec.h"
#include "results/sqlite_handles.h"

namespace dsbench::results {
namespace {

using sqlite::Database;
using sqlite::Statement;

// One row, column by column.
class Row {
 public:
  explicit Row(sqlite3_stmt* row) : row_{row} {}
  std::int64_t whole() { return sqlite3_column_int64(row_, at_++); }
  template <class Number>
  void to(Number& n) {
    n = static_cast<Number>(whole());
  }
  // -1 where it is not known.
  std::int32_t count() {
    if (null()) return ++at_, -1;
    return static_cast<std::int32_t>(whole());
  }
  Nanos time() {
    if (null()) return ++at_, never;
    return Nanos{whole()};
  }
  std::string_view text() { return view(sqlite3_column_text(row_, at_)); }
  std::string_view blob() { return view(sqlite3_column_blob(row_, at_)); }

 private:
  [[nodiscard]] bool null() const { return sqlite3_column_type(row_, at_) == SQLITE_NULL; }
  std::string_view view(const void* bytes) {
    const int size = sqlite3_column_bytes(row_, at_++);
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
  }
  sqlite3_stmt* row_;
  int at_ = 0;
};

// The enumerator of a word; `otherwise` for one of a later version.
template <class Enum>
Enum of_word(std::string_view word, int count, Enum otherwise) {
  for (int i = 0; i < count; ++i) {
    if (to_word(static_cast<Enum>(i)) == word) return static_cast<Enum>(i);
  }
  return otherwise;
}
Reason reason_of(std::string_view word) {
  return of_word(word, reason_count, Reason::interrupted);  // an unknown one is no success
}
TokenSource source_of(std::string_view word) {
  return of_word(word, 4, TokenSource::chunks);
}

struct Files {
  std::string path;
  Database db;

  [[nodiscard]] tl::unexpected<Error> error() const {
    return fail(ErrorKind::io, "cannot read '{}': {} (SQLite code {})", path, sqlite3_errmsg(db.get()),
                sqlite3_extended_errcode(db.get()));
  }
  Result<void> prepare(Statement& statement, const char* sql) {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(db.get(), sql, -1, &raw, nullptr);
    statement.reset(raw);
    if (code == SQLITE_ERROR)
      return fail(ErrorKind::usage, "'{}' is of an earlier dsbench ({}); run the load again with this one",
                  path, sqlite3_errmsg(db.get()));
    if (code != SQLITE_OK) return error();
    return {};
  }
  static Result<Files> open(const std::filesystem::path& path) {
    Files files;
    files.path = path.string();
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    files.db.reset(raw);
    if (code != SQLITE_OK) return files.error();
    (void)sqlite3_busy_timeout(raw, 2'000);
    sqlite3_stmt* meta = nullptr;
    std::string schema;
    if (sqlite3_prepare_v2(raw, "select value from meta where key = 'schema'", -1, &meta, nullptr) ==
            SQLITE_OK &&
        sqlite3_step(meta) == SQLITE_ROW) {
      schema = Row{meta}.text();
    }
    (void)sqlite3_finalize(meta);
    if (schema != "dsbench.records/1") {
      return fail(ErrorKind::usage,
                  "'{}' has schema '{}'; accepted: dsbench.records/1, as dsbench load writes it", files.path,
                  schema);
    }
    return files;
  }
};

constexpr std::array<const char*, 3> selects{
    "select done_ns, request, attempt, stage, worker, due_ns, sent_ns, first_byte_ns, first_token_ns, "
    "last_token_ns, done_ns, prompt_tokens, output_tokens, output_tokens_asked, token_source, reason, "
    "http_status, turn, tenant, provider, cached_prompt_tokens, reasoning_tokens, connect_ns, tls_ns, "
    "gaps_us, dns_ns, prompt_tokens_asked, prompt_token_source, images, image_bytes, read_lag_ns from "
    "attempts "
    "order by done_ns, rowid",
    "select done_ns, request, stage, attempts, due_ns, sent_ns, final_sent_ns, first_token_ns, "
    "last_token_ns, done_ns, prompt_tokens, output_tokens, reason, turn, tenant, provider from requests "
    "order by done_ns, rowid",
    "select at_ns, at_ns, worker, provider, change from decisions order by at_ns, rowid"};

}  // namespace

struct RecordReplay::Handles {
  Files files;
  std::array<Statement, 3> rows;  // by Kind
  std::array<std::optional<Nanos>, 3> at;
  Item item;

  Result<void> advance(std::size_t kind) {
    const int code = sqlite3_step(rows[kind].get());
    at[kind].reset();
    if (code == SQLITE_ROW)
      at[kind] = Nanos{sqlite3_column_int64(rows[kind].get(), 0)};
    else if (code != SQLITE_DONE)
      return files.error();
    return {};
  }
  // At the same instant: attempts, then the requests that they end.
  [[nodiscard]] std::optional<std::size_t> first() const {
    std::optional<std::size_t> best;
    for (std::size_t k = 0; k < at.size(); ++k) {
      if (at[k] && (!best || *at[k] < *at[*best])) best = k;
    }
    return best;
  }

  Result<void> read_attempt(Row row) {
    AttemptRecord& r = item.attempt;
    r.request = static_cast<std::uint64_t>(row.whole());
    row.to(r.attempt);
    row.to(r.stage);
    row.to(r.worker);
    r.due = row.time();
    r.sent = row.time();
    r.first_byte = row.time();
    r.first_token = row.time();
    r.last_token = row.time();
    r.done = row.time();
    row.to(r.prompt_tokens);
    row.to(r.output_tokens);
    row.to(r.output_tokens_asked);
    r.token_source = source_of(row.text());
    r.reason = reason_of(row.text());
    row.to(r.http_status);
    row.to(r.turn);
    row.to(r.tenant);
    row.to(r.provider);
    r.cached_prompt_tokens = row.count();
    r.reasoning_tokens = row.count();
    r.connect_time = row.time();
    r.tls_time = row.time();
    auto gaps = decode_gaps(row.blob());
    if (!gaps)
      return fail(ErrorKind::usage, "'{}': the gaps of attempt {} of request {} cannot be read", files.path,
                  r.attempt, r.request);
    r.gaps = std::move(*gaps);
    r.dns_time = row.time();
    row.to(r.prompt_tokens_asked);
    r.prompt_token_source = source_of(row.text());
    row.to(r.images);
    row.to(r.image_bytes);
    r.read_lag = row.time();
    return {};
  }
  void read_request(Row row) {
    RequestRecord& r = item.request;
    r.request = static_cast<std::uint64_t>(row.whole());
    row.to(r.stage);
    row.to(r.attempts);
    r.due = row.time();
    r.sent = row.time();
    r.final_sent = row.time();
    r.first_token = row.time();
    r.last_token = row.time();
    r.done = row.time();
    row.to(r.prompt_tokens);
    row.to(r.output_tokens);
    r.reason = reason_of(row.text());
    row.to(r.turn);
    row.to(r.tenant);
    row.to(r.provider);
  }
  void read_decision(Row row) {
    ProviderDecision& d = item.decision;
    d.at = row.time();
    row.to(d.worker);
    row.to(d.provider);
    d.change = of_word(row.text(), provider_change_count, ProviderChange::probed);
  }
};

RecordReplay::RecordReplay(std::unique_ptr<Handles> handles) : handles_{std::move(handles)} {}
RecordReplay::RecordReplay(RecordReplay&&) noexcept = default;
RecordReplay::~RecordReplay() = default;

Result<RecordReplay> RecordReplay::open(const std::filesystem::path& path) {
  auto handles = std::make_unique<Handles>();
  DSBENCH_TRY(handles->files, Files::open(path));
  for (std::size_t k = 0; k < selects.size(); ++k) {
    DSBENCH_CHECK(handles->files.prepare(handles->rows[k], selects[k]));
    DSBENCH_CHECK(handles->advance(k));
  }
  return RecordReplay{std::move(handles)};
}

std::optional<Nanos> RecordReplay::next_at() const {
  const auto kind = handles_->first();
  return kind ? handles_->at[*kind] : std::nullopt;
}

Result<const RecordReplay::Item*> RecordReplay::next() {
  Handles& h = *handles_;
  const std::size_t kind = *h.first();
  h.item.kind = static_cast<Kind>(kind);
  h.item.at = *h.at[kind];
  Row row{h.rows[kind].get()};
  (void)row.whole();
  switch (h.item.kind) {
    case Kind::attempt:
      DSBENCH_CHECK(h.read_attempt(row));
      break;
    case Kind::request:
      h.read_request(row);
      break;
    case Kind::decision:
      h.read_decision(row);
      break;
  }
  DSBENCH_CHECK(h.advance(kind));
  return &h.item;
}

Result<std::vector<Tenant>> read_tenants(const std::filesystem::path& path) {
  DSBENCH_TRY(Files files, Files::open(path));
  Statement rows;
  DSBENCH_CHECK(files.prepare(
      rows,
      "select name, slo_ttft_ns, slo_tpot_ns, slo_e2e_ns, reasoning_share from tenants order by tenant"));
  std::vector<Tenant> tenants;
  int code = SQLITE_OK;
  while ((code = sqlite3_step(rows.get())) == SQLITE_ROW) {
    Row row{rows.get()};
    Tenant tenant;
    tenant.name = row.text();
    for (std::optional<Nanos>* bound : {&tenant.slo.ttft, &tenant.slo.tpot, &tenant.slo.e2e}) {
      if (const Nanos t = row.time(); t != never) *bound = t;
    }
    tenant.reasoning_share = sqlite3_column_double(rows.get(), 4);
    tenants.push_back(std::move(tenant));
  }
  if (code != SQLITE_DONE) return files.error();
  return tenants;
}

Slo RecordedPlan::slo() const {
  Slo slo;
  const auto bound = [&](const char* key) -> std::optional<Nanos> {
    const auto found = meta.find(key);
    if (found == meta.end()) return std::nullopt;
    return Nanos{std::strtoll(found->second.c_str(), nullptr, 10)};
  };
  slo.ttft = bound("slo_ttft_ns");
  slo.tpot = bound("slo_tpot_ns");
  slo.e2e = bound("slo_e2e_ns");
  return slo;
}

Result<RecordedPlan> read_plan(const std::filesystem::path& path) {
  DSBENCH_TRY(Files files, Files::open(path));
  RecordedPlan plan;
  Statement rows;
  DSBENCH_CHECK(files.prepare(rows, "select key, value from meta"));
  int code = SQLITE_OK;
  while ((code = sqlite3_step(rows.get())) == SQLITE_ROW) {
    Row row{rows.get()};
    const std::string key{row.text()};
    plan.meta[key] = row.text();
  }
  if (code != SQLITE_DONE) return files.error();
  DSBENCH_CHECK(files.prepare(
      rows, "select name, kind, planned_rps, start_ns, measure_from_ns, end_ns from stages order by stage"));
  while ((code = sqlite3_step(rows.get())) == SQLITE_ROW) {
    Row row{rows.get()};
    StageInfo stage;
    stage.name = row.text();
    stage.kind = of_word(row.text(), stage_kind_count, StageKind::load);
    stage.planned = Rate::per_second(sqlite3_column_double(rows.get(), 2));
    (void)row.whole();
    stage.start = row.time();
    stage.measure_from = row.time();
    stage.end = std::max(row.time(), stage.start);  // an open one ends where it begins
    plan.stages.push_back(std::move(stage));
  }
  if (code != SQLITE_DONE) return files.error();
  return plan;
}

Result<void> settle_records(const std::filesystem::path& path) {
  Files files;
  files.path = path.string();
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  files.db.reset(raw);
  if (code != SQLITE_OK) return files.error();
  Statement mode;
  DSBENCH_CHECK(files.prepare(mode, "pragma journal_mode=delete"));
  const int stepped = sqlite3_step(mode.get());
  const std::string_view now = stepped == SQLITE_ROW ? Row{mode.get()}.text() : "";
  if (now == "delete") return {};
  if (stepped == SQLITE_BUSY || stepped == SQLITE_LOCKED || now == "wal") {
    return fail(
        ErrorKind::usage,
        "'{}' is open in another process: the run that writes it, or a reader; what it comes to is known "
        "when that has ended",
        files.path);
  }
  return files.error();
}

}  // namespace dsbench::results
