#include "results/report/html_parts.h"

#include <cstdint>

#include "results/report/escape.h"

namespace dsbench::results::report {

Html& Html::text(std::string_view words) {
  out_ += xml_escape(words);
  return *this;
}

Cell::Cell(std::string_view text) : html_{xml_escape(text)} {}

Cell Cell::markup(std::string markup) {
  Cell cell;
  cell.html_ = std::move(markup);
  return cell;
}

Cell mark_cell(const Mark& mark) {
  return Cell::markup(fmt::format("<span class=\"mark t-{}\"><i aria-hidden=\"true\">{}</i>&#160;{}</span>",
                                  mark.tone, mark.shape, mark.word));
}

namespace {

// A text as a CSS string: what is not a letter, a digit or a blank becomes an escape.
std::string css_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == ' ' || static_cast<unsigned char>(c) >= 0x80;
    if (plain)
      out += c;
    else
      fmt::format_to(std::back_inserter(out), "\\{:x} ", static_cast<unsigned char>(c));
  }
  return out + '"';
}

// On paper each cell of a table with many columns says the head of its column: as a rule for a column, which
// is shorter than an attribute of every cell.
std::string put_heads_for_paper(Html& html, const Table& table) {
  std::uint32_t hash = 2'166'136'261U;  // FNV-1a: the name of the rules
  for (const std::string& head : table.head) {
    for (const char c : head + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619U;
  }
  const std::string name = fmt::format("h{:08x}", hash);
  html.raw("<style>@media print{");
  for (std::size_t i = 1; i < table.head.size(); ++i)
    html.add(".{} td:nth-child({})::before{{content:{}}}", name, i + 1, css_string(table.head[i] + ": "));
  html.raw("}</style>\n");
  return name;
}

}  // namespace

void put_table(Html& html, const Table& table) {
  std::string classes = table.numeric ? "num" : "";
  if (table.head.size() > most_printed_columns) classes = "num many " + put_heads_for_paper(html, table);
  html.add(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"{0}\"><table{1}><caption>{0}</caption><thead><tr>",
      xml_escape(table.caption), classes.empty() ? "" : " class=\"" + classes + "\"");
  for (const std::string& h : table.head) html.raw("<th scope=\"col\">").text(h).raw("</th>");
  html.raw("</tr></thead><tbody>\n");
  for (const auto& row : table.rows) {
    html.raw("<tr>");
    for (std::size_t i = 0; i < row.size(); ++i) {
      html.raw(i == 0 ? "<th scope=\"row\">" : "<td>").raw(row[i].html()).raw(i == 0 ? "</th>" : "</td>");
    }
    html.raw("</tr>\n");
  }
  html.raw("</tbody></table></div>\n");
}

void put_figure(Html& html, std::span<const Chart> charts, std::string_view caption, const Table& table) {
  html.raw("<figure>\n");
  for (const Chart& chart : charts) {
    for (ChartSize size : {wide_chart, narrow_chart}) {
      if (charts.size() > 1) size.plot_height = size.plot_height * 0.6;
      html.raw(render_svg(chart, size)).raw("\n");
    }
  }
  html.raw("<figcaption>")
      .text(caption)
      .raw("</figcaption>\n<details><summary>The numbers as a table</summary>\n");
  put_table(html, table);
  html.raw("</details></figure>\n");
}

void open_section(Html& html, std::string_view id, std::string_view title) {
  html.add("<section id=\"{0}\" aria-labelledby=\"{0}-h\"><h2 id=\"{0}-h\">{1}</h2>\n", id,
           xml_escape(title));
}
void close_section(Html& html) {
  html.raw("</section>\n");
}

}  // namespace dsbench::results::report
