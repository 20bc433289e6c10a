#include "results/report/html_sections.h"
#include "results/report/latency_picture.h"
#include "results/statistics.h"

namespace dsbench::results::report {

void put_latency_picture(Html& html, const LatencyPicture& picture, const std::string& prefix) {
  open_section(html, prefix + "latency-picture", "Latency over time, and its spectrum");
  html.raw("<figure>");
  for (const ChartSize& size : {wide_chart, narrow_chart})
    html.raw(render_heat_map(picture, prefix + "heat", size));
  html.raw("<figcaption>")
      .text(fmt::format("Every request by the time of its answer and its TTFT from due, darker where there "
                        "are more (in eight steps by the "
                        "logarithm); one column is {} s. In the strip above: seconds in which requests "
                        "failed. Two bands are two kinds of "
                        "requests or two states of the service, which a line of percentiles would not show.",
                        picture.bin_s))
      .raw("</figcaption></figure>\n");
  const Chart chart = spectrum_chart(picture, prefix + "spectrum");
  if (!chart.lines.empty()) {
    Table table{.caption = "TTFT by percentile", .head = {"share"}, .rows = {}, .numeric = true};
    for (const auto& s : picture.spectra) table.head.push_back(s.name);
    for (const double q : {0.5, 0.9, 0.95, 0.99, 0.999}) {
      std::vector<Cell> row{fmt::format("p{:g}", 100 * q)};
      for (const auto& s : picture.spectra) {
        std::string value = "n/a";
        for (const auto& [x, y] : s.points) {
          if (x <= 1 / (1 - q) * 1.001) value = fmt::format("{:.4g} s", y);
        }
        if (s.points.empty() || s.points.back().first < 1 / (1 - q) * 0.8)
          value = fmt::format("n/a (needs {} samples, or failed)", samples_needed(q));
        row.emplace_back(value);
      }
      table.rows.push_back(std::move(row));
    }
    put_figure(html, std::span{&chart, 1},
               "Solid: from the instant when the request was due, what a user waits. Dashed: from when it "
               "was sent, what the server took. Where "
               "they part, requests waited on our side or for a retry. A line ends where the samples do not "
               "carry it further.",
               table);
  }
  close_section(html);
}

}  // namespace dsbench::results::report
