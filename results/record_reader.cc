#include "results/record_reader.h"

#include <sqlite3.h>

#include <string>

#include "results/sqlite_handles.h"

namespace dsbench::results {
namespace {

using sqlite::Database;
using sqlite::Statement;

std::string_view text_of(sqlite3_stmt* row, int column) {
  const unsigned char* text = sqlite3_column_text(row, column);
  return text == nullptr ? std::string_view{}
                         : std::string_view{reinterpret_cast<const char*>(text),
                                            static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
}

// A database of ours, one statement at a time.
class Records {
 public:
  static Result<Records> open(const std::filesystem::path& path) {
    Records records;
    sqlite3* raw = nullptr;
    const int opened =
        sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    records.db_.reset(raw);
    records.path_ = path.string();
    if (opened != SQLITE_OK) return records.error();
    (void)sqlite3_busy_timeout(raw, 2'000);
    // A file of somebody else's has no such table; a broken one has none that can be read.
    std::string schema;
    if (const int code = records.prepare("select value from meta where key = 'schema'"); code == SQLITE_OK) {
      if (sqlite3_step(records.row()) == SQLITE_ROW) schema = text_of(records.row(), 0);
    } else if (code != SQLITE_ERROR) {
      return records.error();
    }
    if (schema != "dsbench.records/1") {
      return fail(ErrorKind::usage,
                  "'{}' has schema '{}'; accepted: dsbench.records/1, as dsbench load writes it",
                  records.path_, schema);
    }
    return records;
  }
  int prepare(const char* sql) {
    sqlite3_stmt* prepared = nullptr;
    statement_.reset();
    const int code = sqlite3_prepare_v2(db_.get(), sql, -1, &prepared, nullptr);
    statement_.reset(prepared);
    return code;
  }
  [[nodiscard]] sqlite3_stmt* row() const { return statement_.get(); }
  [[nodiscard]] tl::unexpected<Error> error() const {
    return fail(ErrorKind::io, "cannot read '{}': {} (SQLite code {})", path_, sqlite3_errmsg(db_.get()),
                sqlite3_extended_errcode(db_.get()));
  }

 private:
  Database db_;
  Statement statement_;
  std::string path_;
};

}  // namespace

Result<void> read_recorded_requests(const std::filesystem::path& path,
                                    const std::function<void(const RecordedRequest&)>& f) {
  DSBENCH_TRY(Records records, Records::open(path));
  // The first databases of this schema had fewer columns.
  constexpr const char* whole =
      "select request, due_ns, prompt_tokens, output_tokens_asked, reason, output_tokens, "
      "ifnull(reasoning_tokens, -1), tenant from attempts where attempt = 0 and due_ns is not null";
  constexpr const char* early =
      "select request, due_ns, prompt_tokens, output_tokens_asked, reason, output_tokens, -1, 0 "
      "from attempts where attempt = 0 and due_ns is not null";
  if (records.prepare(whole) != SQLITE_OK && records.prepare(early) != SQLITE_OK) return records.error();
  int code = SQLITE_OK;
  while ((code = sqlite3_step(records.row())) == SQLITE_ROW) {
    sqlite3_stmt* row = records.row();
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
  if (code != SQLITE_DONE) return records.error();
  return {};
}

Result<void> read_request_rows(const std::filesystem::path& path,
                               const std::function<void(const RequestRecord&, bool good)>& f) {
  DSBENCH_TRY(Records records, Records::open(path));
  if (records.prepare("select request, stage, attempts, due_ns, sent_ns, final_sent_ns, first_token_ns, "
                      "last_token_ns, done_ns, prompt_tokens, output_tokens, reason, good, turn, tenant, "
                      "provider from requests") != SQLITE_OK)
    return records.error();
  int code = SQLITE_OK;
  while ((code = sqlite3_step(records.row())) == SQLITE_ROW) {
    sqlite3_stmt* row = records.row();
    const auto whole = [row](int column) { return sqlite3_column_int64(row, column); };
    const auto time = [&](int column) {
      return sqlite3_column_type(row, column) == SQLITE_NULL ? never : Nanos{whole(column)};
    };
    RequestRecord r;
    r.request = static_cast<std::uint64_t>(whole(0));
    r.stage = static_cast<std::uint32_t>(whole(1));
    r.attempts = static_cast<std::uint32_t>(whole(2));
    r.due = time(3);
    r.sent = time(4);
    r.final_sent = time(5);
    r.first_token = time(6);
    r.last_token = time(7);
    r.done = time(8);
    r.prompt_tokens = static_cast<std::int32_t>(whole(9));
    r.output_tokens = static_cast<std::int32_t>(whole(10));
    const std::string_view reason = text_of(row, 11);
    r.reason = Reason::interrupted;  // a word of a later version is no success
    for (int i = 0; i < reason_count; ++i) {
      if (to_word(static_cast<Reason>(i)) == reason) r.reason = static_cast<Reason>(i);
    }
    r.turn = static_cast<std::uint32_t>(whole(13));
    r.tenant = static_cast<std::uint16_t>(whole(14));
    r.provider = static_cast<std::uint16_t>(whole(15));
    f(r, whole(12) != 0);
  }
  if (code != SQLITE_DONE) return records.error();
  return {};
}

}  // namespace dsbench::results
