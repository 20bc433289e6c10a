#include "results/report/html_parts.h"

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

void put_table(Html& html, const Table& table) {
  const bool many = table.head.size() > most_printed_columns;
  html.add(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"{0}\"><table{1}><caption>{0}</caption><thead><tr>",
      xml_escape(table.caption),
      many            ? " class=\"num many\""
      : table.numeric ? " class=\"num\""
                      : "");
  for (const std::string& h : table.head) html.raw("<th scope=\"col\">").text(h).raw("</th>");
  html.raw("</tr></thead><tbody>\n");
  for (const auto& row : table.rows) {
    html.raw("<tr>");
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i == 0)
        html.raw("<th scope=\"row\">").raw(row[i].html()).raw("</th>");
      else if (many)
        html.raw("<td data-h=\"").text(table.head[i]).raw("\">").raw(row[i].html()).raw("</td>");
      else
        html.raw("<td>").raw(row[i].html()).raw("</td>");
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
