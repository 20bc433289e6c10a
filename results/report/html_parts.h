#pragma once

#include <fmt/format.h>

#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "results/report/charts.h"
#include "results/report/words.h"

// Pieces of the page. Whatever comes from a run goes through text(), which escapes it; what add() gets is
// markup of ours.
namespace dsbench::results::report {

class Html {
 public:
  template <class... Args>
  Html& add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    return *this;
  }
  Html& raw(std::string_view markup) {
    out_ += markup;
    return *this;
  }
  Html& text(std::string_view words);
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// A cell of a table: text, escaped here, or markup of ours.
class Cell {
 public:
  Cell(std::string_view text);  // NOLINT(google-explicit-constructor): a row is a list of texts
  Cell(const std::string& text) : Cell(std::string_view(text)) {}
  Cell(const char* text) : Cell(std::string_view(text)) {}
  [[nodiscard]] static Cell markup(std::string markup);
  [[nodiscard]] const std::string& html() const { return html_; }

 private:
  Cell() = default;
  std::string html_;
};

// A table with more columns than these is a list of rows on paper, each cell with the head of its column.
inline constexpr std::size_t most_printed_columns = 9;
// A table whose first column heads the rows.
struct Table {
  std::string caption;  // for screen readers
  std::vector<std::string> head;
  std::vector<std::vector<Cell>> rows;
  bool numeric = true;  // all columns but the first are numbers
};
void put_table(Html& html, const Table& table);
// Shape and word in the colour of the verdict, as a cell.
[[nodiscard]] Cell mark_cell(const Mark& mark);

// The charts, each for wide and for narrow screens, then the table in a <details> that prints open.
void put_figure(Html& html, std::span<const Chart> charts, std::string_view caption, const Table& table);

void open_section(Html& html, std::string_view id, std::string_view title);
void close_section(Html& html);

// Tables that several sections use.
[[nodiscard]] Table capacity_table(const RunSummary& run);
[[nodiscard]] Table latency_table(const RunSummary& run);
[[nodiscard]] Table recovery_table(const RunSummary& run);
[[nodiscard]] Table error_table(const RunSummary& run);
[[nodiscard]] Table health_table(const RunSummary& run);
[[nodiscard]] Table waste_table(const RunSummary& run);
[[nodiscard]] Table stage_table(const RunSummary& run);
[[nodiscard]] Table timeline_table(const RunSummary& run);

}  // namespace dsbench::results::report
