#pragma once

#include <sqlite3.h>

#include <memory>

// Owners of SQLite's handles. Private to the files that speak to it.
namespace dsbench::results::sqlite {

struct CloseDatabase {
  void operator()(sqlite3* db) const noexcept { (void)sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { (void)sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

}  // namespace dsbench::results::sqlite
