#include "results/report/latency_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "results/metrics.h"
#include "results/report/axis.h"
#include "results/statistics.h"

namespace dsbench::results::report {
namespace {

constexpr std::int64_t kColumns = 120;
constexpr std::size_t kRows = 36;
constexpr int kShades = 8;

bool is_metric(const HdrInterval& interval, Metric metric) {
  const std::string_view word = to_word(metric);
  return interval.tag.size() > word.size() && interval.tag.starts_with(word) &&
         interval.tag[word.size()] == ';';
}

LatencyPicture::Spectrum spectrum_in(std::span<const HdrInterval> intervals, Metric metric,
                                     std::string name) {
  Histogram all;
  for (const HdrInterval& i : intervals) {
    if (is_metric(i, metric)) all.add(i.histogram);
  }
  return spectrum_of(all, std::move(name));
}

// The cells of the heat map as paths, in units of cells.
std::string cells_of(const LatencyPicture& picture) {
  std::int64_t most = 1;
  for (const auto& column : picture.columns) {
    for (const std::int64_t n : column) most = std::max(most, n);
  }
  // One path a shade, in units of cells: a stroke as thick as a row over neighbours of one shade.
  const auto shade_of = [&](std::int64_t n) {
    if (n == 0) return -1;
    const double depth =
        most <= 1 ? 1 : std::log(static_cast<double>(n)) / std::log(static_cast<double>(most));
    return static_cast<int>(std::clamp(depth * kShades, 0.0, kShades - 1.0));
  };
  std::array<std::string, kShades> shades;
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t c = 0; c < picture.columns.size();) {
      const int shade = shade_of(picture.columns[c][r]);
      std::size_t end = c + 1;
      while (end < picture.columns.size() && shade_of(picture.columns[end][r]) == shade) ++end;
      if (shade >= 0)
        shades[static_cast<std::size_t>(shade)] += fmt::format("M{} {}h{}", c, kRows - 1 - r, end - c);
      c = end;
    }
  }
  std::string svg;
  for (int s = 0; s < kShades; ++s) {
    if (!shades[static_cast<std::size_t>(s)].empty())
      svg += fmt::format("<path stroke-opacity=\"{:.2f}\" d=\"{}\"/>\n", 0.14 + 0.86 * s / (kShades - 1),
                         shades[static_cast<std::size_t>(s)]);
  }
  return svg;
}

}  // namespace

LatencyPicture::Spectrum spectrum_of(const Histogram& all, std::string name) {
  LatencyPicture::Spectrum spectrum{.name = std::move(name), .points = {}};
  const std::int64_t n = all.count() + all.infinite();
  if (n == 0) return spectrum;
  spectrum.failed_share = static_cast<double>(all.infinite()) / static_cast<double>(n);
  // Twelve points a factor of ten, as far as the samples carry a percentile.
  for (double x = 1; x <= 1e6; x *= std::pow(10.0, 1.0 / 12)) {
    const double q = 1 - 1 / x;
    if (q > 0 && n < samples_needed(q)) break;
    const auto value = all.quantile(std::max(q, 0.5 / static_cast<double>(n)));
    if (!value) break;
    spectrum.points.emplace_back(x, to_seconds(*value));
  }
  return spectrum;
}

LatencyPicture picture_of(std::span<const HdrInterval> intervals) {
  LatencyPicture picture;
  std::int64_t last = -1;
  Nanos least{Histogram::highest}, most{0};
  for (const HdrInterval& i : intervals) {
    if (!is_metric(i, Metric::ttft)) continue;
    last = std::max(last, i.start.count() / 1'000'000'000);
    if (i.histogram.count() == 0) continue;
    least = std::min(least, i.histogram.min());
    most = std::max(most, i.histogram.max());
  }
  if (last < 0) return picture;
  // Whole steps that people read, and no more columns than fit.
  for (const std::int64_t step :
       {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400}) {
    picture.bin_s = step;
    if ((last + step) / step <= kColumns) break;
  }
  const std::size_t columns = static_cast<std::size_t>(last / picture.bin_s + 1);
  picture.columns.assign(columns, std::vector<std::int64_t>(kRows, 0));
  picture.failed.assign(columns, 0);
  const double lo = std::log10(std::max(1e-6, to_seconds(least)));
  const double hi = std::max(lo + 0.3, std::log10(std::max(1e-6, to_seconds(most))));
  for (std::size_t r = 0; r <= kRows; ++r)
    picture.edges_s.push_back(std::pow(10.0, lo + (hi - lo) * static_cast<double>(r) / kRows));
  for (const HdrInterval& i : intervals) {
    if (!is_metric(i, Metric::ttft)) continue;
    const std::size_t column = static_cast<std::size_t>(i.start.count() / 1'000'000'000 / picture.bin_s);
    picture.failed[column] += i.histogram.infinite();
    for (int index = i.histogram.next_index(0); index >= 0; index = i.histogram.next_index(index + 1)) {
      const double middle = std::log10(std::max(
          1e-9, (to_seconds(Histogram::lowest_at(index)) + to_seconds(Histogram::highest_at(index))) / 2));
      const double place = std::clamp((middle - lo) / (hi - lo) * kRows, 0.0, static_cast<double>(kRows - 1));
      picture.columns[column][static_cast<std::size_t>(place)] += i.histogram.counter(index);
    }
  }
  picture.spectra.push_back(spectrum_in(intervals, Metric::ttft, "TTFT from due"));
  picture.spectra.push_back(spectrum_in(intervals, Metric::ttft_service, "TTFT from sent"));
  return picture;
}

std::string render_heat_map(const LatencyPicture& picture, std::string_view id, const ChartSize& size) {
  const double font = size.font, left = font * 5.4, top = font * 2.6;
  const double width = size.width - left - font * 1.6, height = size.plot_height * 0.87;
  const double columns = static_cast<double>(picture.columns.size());
  const double w = width / columns, h = height / static_cast<double>(kRows);
  std::string failed;
  for (std::size_t c = 0; c < picture.columns.size(); ++c) {
    if (picture.failed[c] > 0)
      failed +=
          fmt::format("M{:.1f} {:.1f}h{:.1f}v12h-{:.1f}z", left + static_cast<double>(c) * w, top - 18, w, w);
  }
  std::string svg = fmt::format(
      "<svg class=\"chart {4}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-labelledby=\"{2}-{4}-t\" "
      "font-size=\"{3}\"><title id=\"{2}-{4}-t\">Latency over time: requests by second and TTFT</title>\n",
      size.width, top + height + font * 3.4, id, font, size.name);
  svg += fmt::format(
      "<g class=\"c-p99\" fill=\"none\" stroke=\"currentColor\" shape-rendering=\"crispEdges\" "
      "transform=\"translate({:.1f} "
      "{:.2f}) scale({:.4f} {:.4f})\">{}</g>\n",
      left, top + h / 2, w, h,
      size.name == wide_chart.name ? fmt::format("<g id=\"{}-cells\">\n{}</g>", id, cells_of(picture))
                                   : fmt::format("<use href=\"#{}-cells\"/>", id));
  if (!failed.empty()) {
    svg += fmt::format("<path class=\"c-bad\" fill=\"currentColor\" d=\"{}\"/>\n", failed);
    svg += fmt::format("<text class=\"mu\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">failed</text>\n",
                       left - 8, top - 8);
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{0:.0f} {1:.0f}v{2:.0f}h{3:.0f}\"/>\n", left, top, height,
                     width);
  const double lo = std::log10(picture.edges_s.front()), hi = std::log10(picture.edges_s.back());
  for (const double t : log_ticks(picture.edges_s.front(), picture.edges_s.back(), 7)) {
    svg += fmt::format("<text class=\"mu\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                       left - 8, top + height - (std::log10(t) - lo) / (hi - lo) * height + 4,
                       tick_label(t, AxisUnit::duration, t));
  }
  const double seconds = columns * static_cast<double>(picture.bin_s);
  double free_from = -1e9;
  for (const double t : clock_ticks(0, seconds, static_cast<int>(width / (font * 6)))) {
    const std::string label = tick_label(t, AxisUnit::clock, 1);
    const double half = text_width(label, font) / 2,
                 x = std::min(left + t / seconds * width, size.width - half);
    if (x - half < free_from) continue;
    free_from = x + half + font / 2;
    svg += fmt::format("<text class=\"mu\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>\n", x,
                       top + height + font * 1.5, label);
  }
  svg += fmt::format(
      "<text class=\"at\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">time of the run</text>\n</svg>\n",
      left + width, top + height + font * 3);
  return svg;
}

Chart spectrum_chart(const LatencyPicture& picture, std::string id) {
  Chart chart;
  chart.id = std::move(id);
  chart.title = "Percentile spectrum of TTFT";
  chart.description = "TTFT by percentile, on an axis that gives every further nine the same room.";
  chart.x = {.title = "percentile; each further nine has the same room",
             .scale = Scale::log10,
             .unit = AxisUnit::percentile,
             .lo = {},
             .hi = {}};
  chart.y = {.title = "TTFT", .scale = Scale::log10, .unit = AxisUnit::duration, .lo = {}, .hi = {}};
  static constexpr std::array<std::string_view, 2> tones{"p99", "p50"};
  static constexpr std::array<Dash, 2> dashes{Dash::solid, Dash::dashed};
  for (std::size_t i = 0; i < picture.spectra.size() && i < tones.size(); ++i) {
    const auto& s = picture.spectra[i];
    if (s.points.size() < 2) continue;
    ChartLine line{
        .label = s.name, .tone = std::string{tones[i]}, .dash = dashes[i], .points = {}, .scattered = {}};
    for (const auto& [x, y] : s.points) line.points.push_back({x, y, ""});
    chart.lines.push_back(std::move(line));
  }
  return chart;
}

}  // namespace dsbench::results::report
