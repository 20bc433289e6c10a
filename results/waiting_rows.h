#pragma once

#include <string>

struct sqlite3;

namespace dsbench::results {

struct RowBuffer;

// The rows of a buffer as tables of a connection, for `insert … select`: SQLite then takes a batch with one
// statement and fetches each value itself, in two thirds of the time that binding and stepping a row takes.
class WaitingRows {
 public:
  // Makes the tables waiting_attempts and waiting_requests known to the connection, which must not outlive
  // this object. Returns SQLite's code.
  [[nodiscard]] int attach(sqlite3* db);
  // What the tables hold from now on; null: nothing. Must stay as it is while a statement reads it.
  void show(const RowBuffer* rows) { rows_ = rows; }

  // What writes all that they hold into the tables of records.sqlite, by the names of its columns.
  [[nodiscard]] static std::string insert_attempts();
  [[nodiscard]] static std::string insert_requests();

 private:
  const RowBuffer* rows_ = nullptr;
};

}  // namespace dsbench::results
