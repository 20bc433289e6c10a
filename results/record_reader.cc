#include "results/record_reader.h"

#include <sqlite3.h>

#include <memory>
#include <string>

namespace dsbench::results {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* db) const noexcept { (void)sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { (void)sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

std::string_view text_of(sqlite3_stmt* row, int column) {
  const unsigned char* text = sqlite3_column_text(row, column);
  return text == nullptr ? std::string_view{}
                         : std::string_view{reinterpret_cast<const char*>(text),
                                            static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
}

}  // namespace

Result<void> read_recorded_requests(const std::filesystem::path& path,
                                    const std::function<void(const RecordedRequest&)>& f) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, CloseDatabase> db{raw};
  const auto error = [&] {
    return fail(ErrorKind::io, "cannot read '{}': {} (SQLite code {})", path.string(), sqlite3_errmsg(raw),
                sqlite3_extended_errcode(raw));
  };
  if (opened != SQLITE_OK) return error();
  (void)sqlite3_busy_timeout(raw, 2'000);
  Statement statement;
  const auto prepare = [&](const char* sql) {
    sqlite3_stmt* prepared = nullptr;
    const int code = sqlite3_prepare_v2(raw, sql, -1, &prepared, nullptr);
    statement.reset(prepared);
    return code;
  };
  // A file of somebody else's has no such table; a broken one has none that can be read.
  std::string schema;
  if (const int code = prepare("select value from meta where key = 'schema'"); code == SQLITE_OK) {
    if (sqlite3_step(statement.get()) == SQLITE_ROW) schema = text_of(statement.get(), 0);
  } else if (code != SQLITE_ERROR) {
    return error();
  }
  if (schema != "dsbench.records/1") {
    return fail(ErrorKind::usage,
                "'{}' has schema '{}'; accepted: dsbench.records/1, as dsbench load writes it", path.string(),
                schema);
  }
  // The first databases of this schema had fewer columns.
  constexpr const char* whole =
      "select request, due_ns, prompt_tokens, output_tokens_asked, reason, output_tokens, "
      "ifnull(reasoning_tokens, -1), tenant from attempts where attempt = 0 and due_ns is not null";
  constexpr const char* early =
      "select request, due_ns, prompt_tokens, output_tokens_asked, reason, output_tokens, -1, 0 "
      "from attempts where attempt = 0 and due_ns is not null";
  if (prepare(whole) != SQLITE_OK && prepare(early) != SQLITE_OK) return error();
  int code = SQLITE_OK;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
    sqlite3_stmt* row = statement.get();
    RecordedRequest request;
    request.request = static_cast<std::uint64_t>(sqlite3_column_int64(row, 0));
    request.due = Nanos{sqlite3_column_int64(row, 1)};
    request.prompt_tokens = sqlite3_column_int(row, 2);
    request.output_tokens_asked = sqlite3_column_int(row, 3);
    request.reason = text_of(row, 4);
    request.output_tokens = sqlite3_column_int(row, 5);
    request.reasoning_tokens = sqlite3_column_int(row, 6);
    request.tenant = sqlite3_column_int(row, 7);
    f(request);
  }
  if (code != SQLITE_DONE) return error();
  return {};
}

}  // namespace dsbench::results
