#include "results/record_database.h"

#include <sqlite3.h>

#include <utility>

#include "core/version.h"
#include "results/row_buffer.h"
#include "results/sqlite_handles.h"
#include "results/waiting_rows.h"

namespace dsbench::results {
namespace {

using sqlite::Database;
using sqlite::Statement;

constexpr const char* schema = R"(
create table meta(key text primary key, value text) without rowid;
create table tenants(tenant integer primary key, name text not null, slo_ttft_ns integer, slo_tpot_ns integer,
  slo_e2e_ns integer, reasoning_share real not null);
create table stages(stage integer primary key, name text not null, kind text not null, planned_rps real not null,
  start_ns integer not null, measure_from_ns integer not null, end_ns integer);
create table attempts(request integer not null, attempt integer not null, stage integer not null, worker integer not null,
  due_ns integer, sent_ns integer, first_byte_ns integer, first_token_ns integer, last_token_ns integer, done_ns integer,
  prompt_tokens integer not null, output_tokens integer not null, output_tokens_asked integer not null,
  token_source text not null, reason text not null, http_status integer not null,
  turn integer not null, tenant integer not null, provider integer not null, cached_prompt_tokens integer, reasoning_tokens integer,
  connect_ns integer, tls_ns integer, gaps_us blob, dns_ns integer, prompt_tokens_asked integer not null,
  prompt_token_source text not null, images integer not null, image_bytes integer not null, read_lag_ns integer);
create table requests(request integer not null, stage integer not null, attempts integer not null, due_ns integer,
  sent_ns integer, final_sent_ns integer, first_token_ns integer, last_token_ns integer, done_ns integer,
  prompt_tokens integer not null, output_tokens integer not null, reason text not null, good integer not null,
  turn integer not null, tenant integer not null, provider integer not null);
create table decisions(at_ns integer not null, worker integer not null, provider integer not null, change text not null);
)";

// Binds the parameters of one row in order. A failure to bind (out of memory) shows when the row is stepped.
class Binder {
 public:
  explicit Binder(sqlite3_stmt* statement) : statement_{statement} {}
  Binder& integer(std::int64_t value) {
    sqlite3_bind_int64(statement_, ++at_, value);
    return *this;
  }
  Binder& real(double value) {
    sqlite3_bind_double(statement_, ++at_, value);
    return *this;
  }
  Binder& time(Nanos t) { return t == never ? null() : integer(t.count()); }
  // The text must outlive the step.
  Binder& text(std::string_view value) {
    sqlite3_bind_text(statement_, ++at_, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
    return *this;
  }
  Binder& null() {
    sqlite3_bind_null(statement_, ++at_);
    return *this;
  }

 private:
  sqlite3_stmt* statement_;
  int at_ = 0;
};

}  // namespace

struct RecordDatabase::Handles {
  std::string path;
  WaitingRows waiting;
  Database db;  // reads from `waiting`
  Statement begin, commit, roll_back, stage, attempts, requests, decision;

  [[nodiscard]] tl::unexpected<Error> error(std::string_view doing) const {
    const int code = sqlite3_extended_errcode(db.get());
    return fail(ErrorKind::io, "cannot {} '{}': {} (SQLite code {})", doing, path, sqlite3_errmsg(db.get()),
                code);
  }
  Result<void> run(const char* sql, std::string_view doing) {
    if (sqlite3_exec(db.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error(doing);
    return {};
  }
  Result<void> prepare(Statement& statement, const char* sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(db.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
      return error("prepare");
    }
    statement.reset(raw);
    return {};
  }
  Result<void> step(const Statement& statement, std::string_view doing) {
    const int code = sqlite3_step(statement.get());
    Result<void> result;
    if (code != SQLITE_DONE && code != SQLITE_ROW) result = error(doing);
    sqlite3_reset(statement.get());
    return result;
  }
};

RecordDatabase::RecordDatabase(std::unique_ptr<Handles> handles) : handles_{std::move(handles)} {}
RecordDatabase::RecordDatabase(RecordDatabase&&) noexcept = default;
RecordDatabase::~RecordDatabase() = default;

Result<RecordDatabase> RecordDatabase::create(const std::filesystem::path& path, const Slo& slo,
                                              std::int64_t most_pages) {
  std::error_code ec;
  if (std::filesystem::exists(path, ec)) {
    return fail(ErrorKind::usage,
                "cannot record into '{}': it holds a former run; a run is never written over", path.string());
  }
  auto handles = std::make_unique<Handles>();
  handles->path = path.string();
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(handles->path.c_str(), &raw, flags, nullptr);
  handles->db.reset(raw);
  if (code != SQLITE_OK) return handles->error("create");
  (void)sqlite3_busy_timeout(raw, 2'000);
  // Rows come one after the other and are read the same way: pages of 16 KiB take a sixth less time than
  // SQLite's 4 KiB. In WAL mode `normal` syncs at checkpoints only: a crash of the program loses nothing that
  // was committed, a crash of the machine at most what came after the last checkpoint.
  DSBENCH_CHECK(
      handles->run("pragma page_size=16384; pragma journal_mode=wal; pragma synchronous=normal; pragma "
                   "cache_size=-8192; pragma "
                   "temp_store=memory;",
                   "set up"));
  if (most_pages > 0)
    DSBENCH_CHECK(handles->run(fmt::format("pragma max_page_count={};", most_pages).c_str(), "set up"));
  DSBENCH_CHECK(handles->run("begin", "write"));
  DSBENCH_CHECK(handles->run(schema, "write the schema of"));
  {
    Statement meta;
    DSBENCH_CHECK(handles->prepare(meta, "insert into meta values(?1, ?2)"));
    const auto put = [&](std::string_view key, const std::string& value) -> Result<void> {
      Binder{meta.get()}.text(key).text(value);
      return handles->step(meta, "write");
    };
    DSBENCH_CHECK(put("schema", "dsbench.records/1"));
    DSBENCH_CHECK(put("dsbench_version", std::string{dsbench::version()}));
    DSBENCH_CHECK(put("dsbench_commit", std::string{dsbench::commit()}));
    if (slo.ttft) DSBENCH_CHECK(put("slo_ttft_ns", std::to_string(slo.ttft->count())));
    if (slo.tpot) DSBENCH_CHECK(put("slo_tpot_ns", std::to_string(slo.tpot->count())));
    if (slo.e2e) DSBENCH_CHECK(put("slo_e2e_ns", std::to_string(slo.e2e->count())));
  }
  DSBENCH_CHECK(handles->run("commit", "write"));
  DSBENCH_CHECK(handles->prepare(handles->begin, "begin immediate"));
  DSBENCH_CHECK(handles->prepare(handles->commit, "commit"));
  DSBENCH_CHECK(handles->prepare(handles->roll_back, "rollback"));
  DSBENCH_CHECK(handles->prepare(handles->stage, "insert or replace into stages values(?,?,?,?,?,?,?)"));
  if (handles->waiting.attach(raw) != SQLITE_OK) return handles->error("prepare");
  DSBENCH_CHECK(handles->prepare(handles->attempts, WaitingRows::insert_attempts().c_str()));
  DSBENCH_CHECK(handles->prepare(handles->requests, WaitingRows::insert_requests().c_str()));
  DSBENCH_CHECK(handles->prepare(handles->decision, "insert into decisions values(?,?,?,?)"));
  return RecordDatabase{std::move(handles)};
}

Result<void> RecordDatabase::write_meta(std::string_view key, std::string_view value) {
  Statement insert;
  DSBENCH_CHECK(handles_->prepare(insert, "insert or replace into meta values(?1, ?2)"));
  Binder{insert.get()}.text(key).text(value);
  return handles_->step(insert, "write");
}

Result<void> RecordDatabase::write_tenants(std::span<const Tenant> tenants) {
  Statement insert;
  DSBENCH_CHECK(handles_->prepare(insert, "insert into tenants values(?,?,?,?,?,?)"));
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    const Tenant& t = tenants[i];
    Binder row{insert.get()};
    row.integer(static_cast<std::int64_t>(i)).text(t.name);
    row.time(t.slo.ttft.value_or(never)).time(t.slo.tpot.value_or(never)).time(t.slo.e2e.value_or(never));
    row.real(t.reasoning_share);
    DSBENCH_CHECK(handles_->step(insert, "write"));
  }
  return {};
}

Result<void> RecordDatabase::begin() {
  return handles_->step(handles_->begin, "write");
}
Result<void> RecordDatabase::commit() {
  return handles_->step(handles_->commit, "write");
}
void RecordDatabase::roll_back() {
  // A full disk may have rolled back by itself.
  if (sqlite3_get_autocommit(handles_->db.get()) == 0) (void)handles_->step(handles_->roll_back, "roll back");
}

Result<void> RecordDatabase::write_stage(std::uint32_t index, const StageInfo& stage) {
  Binder row{handles_->stage.get()};
  row.integer(index).text(stage.name).text(to_word(stage.kind)).real(stage.planned.per_second());
  row.integer(stage.start.count()).integer(stage.measure_from.count());
  if (stage.end > stage.start)
    row.integer(stage.end.count());
  else
    row.null();
  return handles_->step(handles_->stage, "write");
}

Result<void> RecordDatabase::write(const RowBuffer& rows) {
  handles_->waiting.show(&rows);
  Result<void> written = handles_->step(handles_->attempts, "write");
  if (written) written = handles_->step(handles_->requests, "write");
  handles_->waiting.show(nullptr);
  DSBENCH_CHECK(written);
  for (const ProviderDecision& decision : rows.decisions) {
    Binder row{handles_->decision.get()};
    row.integer(decision.at.count()).integer(decision.worker).integer(decision.provider);
    row.text(to_word(decision.change));
    DSBENCH_CHECK(handles_->step(handles_->decision, "write"));
  }
  return {};
}

Result<void> RecordDatabase::close() {
  if (!handles_) return {};
  Result<void> result = write_meta("closed", "yes");
  if (auto done = handles_->run("pragma wal_checkpoint(truncate)", "checkpoint"); !done && result)
    result = std::move(done);
  // Refused while somebody reads: the file is whole all the same, with its -wal beside it.
  (void)handles_->run("pragma journal_mode=delete", "leave WAL mode of");
  handles_.reset();
  return result;
}

}  // namespace dsbench::results
