#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "results/hdr_log.h"
#include "results/report/svg_chart.h"

// Latency over time as a heat map, and its whole distribution, both from the one-second histograms of a run's
// latency.hlog: a line of percentiles hides that there are two modes, or none.
namespace dsbench::results::report {

struct LatencyPicture {
  std::int64_t bin_s = 1;       // seconds of a column
  std::vector<double> edges_s;  // of the rows, ascending: rows + 1 of them, evenly spaced in the logarithm
  std::vector<std::vector<std::int64_t>> columns;  // [column][row]: requests
  std::vector<std::int64_t> failed;                // [column]: requests of infinite latency
  struct Spectrum {
    std::string name;
    std::vector<std::pair<double, double>> points;  // 1 ÷ (1 − share), seconds
    double failed_share = 0;
  };
  std::vector<Spectrum> spectra;  // "TTFT from due", "TTFT from sent"
  [[nodiscard]] bool empty() const { return columns.empty(); }
};

// At most 120 columns and 36 rows. Empty when the log has no TTFT.
[[nodiscard]] LatencyPicture picture_of(std::span<const HdrInterval> intervals);

// Of any samples, as far as they carry a percentile.
[[nodiscard]] LatencyPicture::Spectrum spectrum_of(const Histogram& samples, std::string name);

// Static SVG; eight shades by the logarithm of the count, failures in a strip above. One of another size than
// wide_chart takes its cells from the wide one with the same id, which must be in the page too.
[[nodiscard]] std::string render_heat_map(const LatencyPicture& picture, std::string_view id,
                                          const ChartSize& size = wide_chart);
// x: 1 ÷ (1 − share), so that 10 is p90 and 1,000 is p99.9.
[[nodiscard]] Chart spectrum_chart(const LatencyPicture& picture, std::string id);

}  // namespace dsbench::results::report
