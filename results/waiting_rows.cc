#include "results/waiting_rows.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <cstddef>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/record.h"
#include "results/row_buffer.h"

namespace dsbench::results {
namespace {

// One value of a row, handed to SQLite.
class Value {
 public:
  explicit Value(sqlite3_context* to) : to_{to} {}
  // A value that is not set is NULL.
  void integer(std::int64_t value) const { sqlite3_result_int64(to_, value); }
  // A number that -1 says is not known.
  void count(std::int32_t n) const {
    if (n >= 0) integer(n);
  }
  void time(Nanos t) const {
    if (t != never) integer(t.count());
  }
  // The text must last as long as the program, as words do.
  void word(std::string_view text) const {
    sqlite3_result_text(to_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  // The bytes must last as long as the statement.
  void bytes(std::string_view text) const {
    if (!text.empty()) sqlite3_result_blob(to_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }

 private:
  sqlite3_context* to_;
};

template <typename Row>
struct Column {
  const char* name;
  void (*put)(const Value& value, const Row& row, const RowBuffer& rows);
};

struct Attempts {
  using Row = RowBuffer::Attempt;
  static constexpr const char* table = "waiting_attempts";
  static const std::vector<Row>& of(const RowBuffer& rows) { return rows.attempts; }
  static constexpr std::array<Column<Row>, 30> columns{{
#define DSBENCH_COLUMN(name, how, member) \
  {name, [](const Value& v, const Row& a, const RowBuffer&) { v.how(a.row.member); }}
      {"request", [](const Value& v, const Row& a,
                     const RowBuffer&) { v.integer(static_cast<std::int64_t>(a.row.request)); }},
      DSBENCH_COLUMN("attempt", integer, attempt),
      DSBENCH_COLUMN("stage", integer, stage),
      DSBENCH_COLUMN("worker", integer, worker),
      DSBENCH_COLUMN("due_ns", time, due),
      DSBENCH_COLUMN("sent_ns", time, sent),
      DSBENCH_COLUMN("first_byte_ns", time, first_byte),
      DSBENCH_COLUMN("first_token_ns", time, first_token),
      DSBENCH_COLUMN("last_token_ns", time, last_token),
      DSBENCH_COLUMN("done_ns", time, done),
      DSBENCH_COLUMN("prompt_tokens", integer, prompt_tokens),
      DSBENCH_COLUMN("output_tokens", integer, output_tokens),
      DSBENCH_COLUMN("output_tokens_asked", integer, output_tokens_asked),
      {"token_source",
       [](const Value& v, const Row& a, const RowBuffer&) { v.word(to_word(a.row.token_source)); }},
      {"reason", [](const Value& v, const Row& a, const RowBuffer&) { v.word(to_word(a.row.reason)); }},
      DSBENCH_COLUMN("http_status", integer, http_status),
      DSBENCH_COLUMN("turn", integer, turn),
      DSBENCH_COLUMN("tenant", integer, tenant),
      DSBENCH_COLUMN("provider", integer, provider),
      DSBENCH_COLUMN("cached_prompt_tokens", count, cached_prompt_tokens),
      DSBENCH_COLUMN("reasoning_tokens", count, reasoning_tokens),
      DSBENCH_COLUMN("connect_ns", time, connect_time),
      DSBENCH_COLUMN("tls_ns", time, tls_time),
      {"gaps_us", [](const Value& v, const Row& a, const RowBuffer& rows) { v.bytes(rows.gaps_of(a)); }},
      DSBENCH_COLUMN("dns_ns", time, dns_time),
      DSBENCH_COLUMN("prompt_tokens_asked", integer, prompt_tokens_asked),
      {"prompt_token_source",
       [](const Value& v, const Row& a, const RowBuffer&) { v.word(to_word(a.row.prompt_token_source)); }},
      DSBENCH_COLUMN("images", integer, images),
      DSBENCH_COLUMN("image_bytes", integer, image_bytes),
      DSBENCH_COLUMN("read_lag_ns", time, read_lag),
#undef DSBENCH_COLUMN
  }};
};

struct Requests {
  using Row = RowBuffer::Request;
  static constexpr const char* table = "waiting_requests";
  static const std::vector<Row>& of(const RowBuffer& rows) { return rows.requests; }
  static constexpr std::array<Column<Row>, 16> columns{{
#define DSBENCH_COLUMN(name, how, member) \
  {name, [](const Value& v, const Row& r, const RowBuffer&) { v.how(r.record.member); }}
      {"request", [](const Value& v, const Row& r,
                     const RowBuffer&) { v.integer(static_cast<std::int64_t>(r.record.request)); }},
      DSBENCH_COLUMN("stage", integer, stage),
      DSBENCH_COLUMN("attempts", integer, attempts),
      DSBENCH_COLUMN("due_ns", time, due),
      DSBENCH_COLUMN("sent_ns", time, sent),
      DSBENCH_COLUMN("final_sent_ns", time, final_sent),
      DSBENCH_COLUMN("first_token_ns", time, first_token),
      DSBENCH_COLUMN("last_token_ns", time, last_token),
      DSBENCH_COLUMN("done_ns", time, done),
      DSBENCH_COLUMN("prompt_tokens", integer, prompt_tokens),
      DSBENCH_COLUMN("output_tokens", integer, output_tokens),
      {"reason", [](const Value& v, const Row& r, const RowBuffer&) { v.word(to_word(r.record.reason)); }},
      {"good", [](const Value& v, const Row& r, const RowBuffer&) { v.integer(r.good ? 1 : 0); }},
      DSBENCH_COLUMN("turn", integer, turn),
      DSBENCH_COLUMN("tenant", integer, tenant),
      DSBENCH_COLUMN("provider", integer, provider),
#undef DSBENCH_COLUMN
  }};
};

template <typename Table>
std::string names_of_columns() {
  std::string names;
  for (const auto& column : Table::columns) {
    if (!names.empty()) names += ", ";
    names += column.name;
  }
  return names;
}

// SQLite's interface of a table that is read from front to back (sqlite.org/vtab.html). The table exists as
// soon as its module does, and has neither index nor memory of its own.
template <typename Table>
struct Module {
  struct Opened : sqlite3_vtab {
    const RowBuffer* const* rows;
  };
  struct Cursor : sqlite3_vtab_cursor {
    const RowBuffer* rows;
    std::size_t at, size;
  };
  static Cursor& self(sqlite3_vtab_cursor* cursor) { return *static_cast<Cursor*>(cursor); }

  static int connect(sqlite3* db, void* rows, int, const char* const*, sqlite3_vtab** table, char**) {
    const int code =
        sqlite3_declare_vtab(db, fmt::format("create table x({})", names_of_columns<Table>()).c_str());
    if (code != SQLITE_OK) return code;
    *table = new (std::nothrow) Opened{{}, static_cast<const RowBuffer* const*>(rows)};
    return *table == nullptr ? SQLITE_NOMEM : SQLITE_OK;
  }
  static int disconnect(sqlite3_vtab* table) {
    delete static_cast<Opened*>(table);
    return SQLITE_OK;
  }
  static int best_index(sqlite3_vtab*, sqlite3_index_info*) { return SQLITE_OK; }
  static int open(sqlite3_vtab*, sqlite3_vtab_cursor** cursor) {
    *cursor = new (std::nothrow) Cursor{};
    return *cursor == nullptr ? SQLITE_NOMEM : SQLITE_OK;
  }
  static int close(sqlite3_vtab_cursor* cursor) {
    delete static_cast<Cursor*>(cursor);
    return SQLITE_OK;
  }
  static int filter(sqlite3_vtab_cursor* cursor, int, const char*, int, sqlite3_value**) {
    Cursor& c = self(cursor);
    c.rows = *static_cast<const Opened*>(c.pVtab)->rows;
    c.at = 0;
    c.size = c.rows == nullptr ? 0 : Table::of(*c.rows).size();
    return SQLITE_OK;
  }
  static int next(sqlite3_vtab_cursor* cursor) {
    ++self(cursor).at;
    return SQLITE_OK;
  }
  static int eof(sqlite3_vtab_cursor* cursor) { return self(cursor).at >= self(cursor).size ? 1 : 0; }
  static int column(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int k) {
    const Cursor& c = self(cursor);
    Table::columns[static_cast<std::size_t>(k)].put(Value{context}, Table::of(*c.rows)[c.at], *c.rows);
    return SQLITE_OK;
  }
  static int row_id(sqlite3_vtab_cursor* cursor, sqlite3_int64* id) {
    *id = static_cast<sqlite3_int64>(self(cursor).at);
    return SQLITE_OK;
  }

  static int make_known(sqlite3* db, const RowBuffer** rows) {
    static const sqlite3_module module = [] {
      sqlite3_module m{};
      m.iVersion = 1;
      m.xConnect = connect;
      m.xBestIndex = best_index;
      m.xDisconnect = disconnect;
      m.xOpen = open;
      m.xClose = close;
      m.xFilter = filter;
      m.xNext = next;
      m.xEof = eof;
      m.xColumn = column;
      m.xRowid = row_id;
      return m;
    }();
    return sqlite3_create_module_v2(db, Table::table, &module, rows, nullptr);
  }
};

template <typename Table>
std::string insert_into(std::string_view table) {
  const std::string names = names_of_columns<Table>();
  return fmt::format("insert into {}({}) select {} from {}", table, names, names, Table::table);
}

}  // namespace

int WaitingRows::attach(sqlite3* db) {
  const int code = Module<Attempts>::make_known(db, &rows_);
  return code != SQLITE_OK ? code : Module<Requests>::make_known(db, &rows_);
}

std::string WaitingRows::insert_attempts() {
  return insert_into<Attempts>("attempts");
}
std::string WaitingRows::insert_requests() {
  return insert_into<Requests>("requests");
}

}  // namespace dsbench::results
